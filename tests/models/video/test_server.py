"""Groups as they are served: what the writer refers to is what a reader has, and damage is told."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.contract import registry
from models.entropy.coder import container
from models.video import server
from tests.models.examples import moving
from tests.models.kinds import tiny

pytestmark = pytest.mark.slow

FRAMES = moving(4, 50, 37)


@pytest.fixture(scope="module", autouse=True)
def as_traced():
    """TensorFlow's optimiser takes longer for a function than all that is asked of it."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


@pytest.fixture(scope="module")
def served():
    """The server of a codec, with enhancement in the loop; its motion has something to code."""
    recipe = registry.get("dvc")
    config = recipe.make_config("small", tiny(recipe) | {"enhancement": "half"})
    keras.utils.set_random_seed(2)
    model = recipe.build(config)
    model.motion.analysis.layers[-1].scale *= 8.0
    return server.signatures(model, config)


@pytest.fixture(scope="module")
def stream(served):
    """Of all frames."""
    return served.compress(tf.constant(FRAMES))["bitstream_bytes"]


@pytest.fixture(scope="module")
def decoded(served, stream):
    """What it stands for."""
    return served.decompress(stream)["frames"].numpy()


def test_readers_have_the_very_references_of_the_writer(served, decoded):
    """Closed loop: frame by frame the writer's decoded frame is the reader's, without any difference."""
    step, reference = tf.constant(server.DEFAULT_STEP), server._padded(decoded[0])
    for frame, expected in zip(FRAMES[1:], decoded[1:], strict=True):
        strings, mark, reference, _ = served.frames.write(server._padded(frame), reference, step)
        assert int(np.abs(reference[0, :50, :37].numpy().astype(int) - expected).max()) == 0 and int(mark) < 2**32
        assert all(len(s) > 1 for s in strings.numpy())


def test_groups_are_of_any_size_and_cost_what_their_parts_do(served, stream, decoded):
    assert decoded.shape == FRAMES.shape
    one = served.compress(tf.constant(FRAMES[:1]))["bitstream_bytes"]
    assert np.array_equal(served.decompress(one)["frames"], decoded[:1])  # the first frame needs no other
    for shape in ((2, 1, 1), (2, 16, 33)):
        frames = FRAMES[: shape[0], : shape[1], : shape[2]]
        assert (
            served.decompress(served.compress(tf.constant(frames))["bitstream_bytes"])["frames"].shape == frames.shape
        )
    sizes = served._read(stream[0])[1].numpy()
    assert (sizes > 0).all() and 0 < len(stream[0].numpy()) - sizes.sum() < 90
    low, high = (served.compress_at(tf.constant(FRAMES), tf.constant([q]))["bitstream_bytes"][0] for q in (0, 100))
    assert len(low.numpy()) < len(high.numpy())


def test_what_is_no_group_is_refused(served):
    for frames in (np.concatenate([FRAMES, FRAMES]), FRAMES[:0]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="a group of this model has 1 to 4 frames, not"):
            served.compress(tf.constant(frames))


def test_damage_is_told(served, stream):
    data = stream[0].numpy()
    for place in np.random.default_rng(1).integers(0, 8 * len(data), 12):
        broken = bytearray(data)
        broken[place // 8] ^= 1 << place % 8
        with pytest.raises(tf.errors.InvalidArgumentError, match="damaged|not a Kompakt stream|unsupported version"):
            served.decompress(tf.constant([bytes(broken)]))


def test_a_stream_that_lies_is_refused(served, stream):
    """With a checksum that fits: other numbers of frames, other sizes, other latents."""
    own = tf.constant(served.fingerprint, tf.int64)
    header, parts = container.unpack(stream[0], own[None], 3)
    head = parts[0].numpy()
    lies = [({}, b"\3\0" + head[2:]), ({}, b"\xff\xff" + head[2:]), ({}, head[:-1]), ({"height": 500}, head),
            ({"flags": header.flags + 1}, head),
            ({"latents_fingerprint": header.latents_fingerprint ^ 1}, head)]  # fmt: skip
    for said, first in lies:
        said = header._replace(**{k: tf.cast(v, tf.int64) for k, v in said.items()})
        lie = container.pack(*said[:4], own, [tf.constant(first), *parts[1:]])
        with pytest.raises(tf.errors.InvalidArgumentError, match="damaged|differ"):
            served.decompress(lie[None])


def test_frames_that_have_drifted_are_not_given(served, stream):
    """The writer's samples are changed, as if its frames had been others."""
    own = tf.constant(served.fingerprint, tf.int64)
    header, parts = container.unpack(stream[0], own[None], 3)
    head = np.frombuffer(parts[0].numpy(), np.uint8).astype(int)
    for levels, far in ((1, False), (2, True)):
        moved = head.copy()
        moved[2:] += np.where(moved[2:] < 128, levels, -levels)
        lie = container.pack(*header[:4], own, [tf.constant(moved.astype(np.uint8).tobytes()), *parts[1:]])
        if not far:
            assert served.decompress(lie[None])["frames"].shape == FRAMES.shape
            continue
        with pytest.raises(tf.errors.InvalidArgumentError, match="drifted from the writer.*no frames"):
            served.decompress(lie[None])


def test_other_weights_are_other_models(served, stream):
    """And so is one without motion, whose frames have a string less."""
    recipe = registry.get("dvc")
    config = recipe.make_config("small", tiny(recipe) | {"motion": False})
    other = server.signatures(recipe.build(config), config)
    assert other.fingerprint != served.fingerprint and other.frames.string_count == 2 and "flow" not in other.functions
    header, parts = container.unpack(stream[0], tf.constant([served.fingerprint], tf.int64), 3)
    theirs = container.pack(*header[:4], tf.constant(other.fingerprint, tf.int64), parts)
    with pytest.raises(tf.errors.InvalidArgumentError, match="written by another model"):
        served.decompress(theirs[None])
