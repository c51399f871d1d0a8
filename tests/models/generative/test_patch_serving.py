"""What is served of a generative codec: bits packed exactly, pictures of any size, seeds."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.entropy.coder.header import FIXED
from models.generative import distribution_preserving as dplc
from models.generative import patch_serving
from tests.models.examples import photograph, picture_record, png
from tests.models.generative import small_dplc


def server(**options):
    """Of a model that was never trained."""
    config = small_dplc.config(**options)
    return dplc.signatures(small_dplc.settled(config), config)


@pytest.fixture(scope="module")
def served():
    return server()


@pytest.fixture(scope="module")
def stream(served):
    """Of a picture of 3 x 2 pieces."""
    return served.functions["compress"](tf.constant([png(photograph(37, 30))]))["bitstream_bytes"][0].numpy()


def decoded(served, stream, *seed):
    name = "decompress_seeded" if seed else "decompress"
    seeds = [tf.constant(seed, tf.int64)] if seed else []
    answer = served.functions[name](tf.constant([stream] * max(1, len(seed))), *seeds)
    return [np.array(Image.open(io.BytesIO(p))) for p in answer["image_bytes"].numpy()]


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_numbers_are_packed_without_a_bit_between(bits):
    symbols = np.random.default_rng(bits).integers(0, 2**bits, (3, 32))
    data = patch_serving.packed(tf.constant(symbols, tf.int32), bits)
    assert data.shape == (3, 4 * bits) and data.dtype == tf.uint8
    expected = np.packbits((symbols[..., None] >> np.arange(bits) & 1).reshape(3, -1), axis=1, bitorder="little")
    assert np.array_equal(data, expected) and np.array_equal(patch_serving.unpacked(data, bits), symbols)


@pytest.mark.parametrize(("options", "sides"), [({}, (37, 30)), ({"levels": 8, "code_channels": 5}, (16, 17))])
def test_the_stream_is_as_long_as_its_codes(options, sides):
    payload = server(**options).payload
    config = small_dplc.config(**options)
    pixels = tf.constant(photograph(*sides))
    (section,), codes = payload.encode(pixels, tf.constant(0))
    places = 16 * -(-sides[0] // 16) * -(-sides[1] // 16)
    assert len(section.numpy()) == np.ceil(places * config.code_channels * np.log2(config.levels) / 8)
    again, values = payload.decode([section], *tf.unstack(tf.shape(pixels)[:2]))
    assert np.array_equal(values, codes) and np.array_equal(again, codes)
    first = payload.model.symbols(pixels[None, :16, :16].numpy() / np.float32(255))
    bits = (config.levels - 1).bit_length()
    assert np.array_equal(patch_serving.unpacked(codes[:1], bits)[0], np.ravel(first))


def test_a_stream_and_a_seed_give_one_picture(served, stream):
    assert len(stream) <= FIXED + 3 + 6 * small_dplc.config().bits // 8
    own, again = decoded(served, stream)[0], decoded(served, stream)[0]
    assert own.shape == (37, 30, 3) and np.array_equal(own, again)
    first, same, other = decoded(served, stream, 5, 5, 6)
    assert np.array_equal(first, same) and not np.array_equal(first, other) and not np.array_equal(first, own)
    anew = server()  # the same weights, traced again
    assert anew.fingerprint == served.fingerprint and np.array_equal(decoded(anew, stream, 5)[0], first)


def test_pieces_have_noise_of_their_own_whatever_their_number(served):
    count = patch_serving.TOGETHER + 1
    codes = tf.zeros([count, served.payload.bytes], tf.uint8)  # all alike
    seed, side = tf.constant(7, tf.int64), small_dplc.SIDE
    row = served.payload.drawn(codes, tf.constant(side), tf.constant(count * side), seed).numpy()
    pieces = row.reshape(side, count, side, 3).swapaxes(0, 1)
    assert len(np.unique(pieces.reshape(count, -1), axis=0)) > count // 2
    few = served.payload.drawn(codes[:3], tf.constant(side), tf.constant(3 * side), seed).numpy()
    np.testing.assert_allclose(few.astype(int), row[:, : 3 * side], atol=1)


@pytest.mark.slow
def test_the_variance_over_the_noise_is_measured(served):
    examples = tf.constant([picture_record(photograph(37, 30))])
    numbers = {name: np.ravel(v)[0] for name, v in served.functions["serving_default"](examples).items()}
    assert numbers["noise_variance"] > 0
    assert np.isclose(numbers["estimated_bpp"], 6 * small_dplc.config().bits / (37 * 30))
    silent, pixels = server(noise=False).payload, tf.constant(photograph(16, 9))
    _, codes = silent.encode(pixels, tf.constant(0))
    drawn = silent.drawn(codes, tf.constant(16), tf.constant(9), silent.seed_of(codes, tf.constant(16), tf.constant(9)))
    assert float(silent.measure(pixels, codes, drawn, tf.constant(0.0), tf.constant(0))[1]) == 0


def test_without_codes_decoding_is_sampling():
    served = server(code_channels=0)
    streams = [served.functions["compress"](tf.constant([png(photograph(16, 16, o))]))["bitstream_bytes"][0].numpy()
               for o in (0, 40)]  # fmt: skip
    assert streams[0] == streams[1] and len(streams[0]) < FIXED + 4  # nothing of either
    samples = served.functions["sample"](tf.constant([5, 6], tf.int64))["picture_bytes"].numpy()
    drawn = [np.array(Image.open(io.BytesIO(p))) for p in samples]
    assert all(np.array_equal(a, b) for a, b in zip(drawn, decoded(served, streams[0], 5, 6), strict=True))
    assert not np.array_equal(*drawn) and drawn[0].shape == (16, 16, 3)


def test_grey_alpha_and_single_pixels_come_back_as_they_were(served):
    for mode, shape in (("L", (20, 9)), ("RGBA", (5, 40)), ("RGB", (1, 1))):
        file = io.BytesIO()
        Image.fromarray(photograph(*shape)).convert(mode).save(file, "PNG")
        stream = served.functions["compress"](tf.constant([file.getvalue()]))["bitstream_bytes"][0].numpy()
        answer = served.functions["decompress_seeded"](tf.constant([stream]), tf.constant([1], tf.int64))
        with Image.open(io.BytesIO(answer["image_bytes"][0].numpy())) as picture:
            assert picture.mode == mode and picture.size == shape[::-1]


@pytest.mark.slow
def test_damage_and_streams_of_others_are_refused(served, stream):
    other = server(code_channels=4)
    for damaged in (stream[:-1], stream[:-1] + bytes([stream[-1] ^ 1]), stream + b"\0"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            served.functions["decompress"](tf.constant([damaged]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="model"):
        other.functions["decompress"](tf.constant([stream]))
    short = [tf.constant(b"\0" * 17)]
    with pytest.raises(tf.errors.InvalidArgumentError, match="not the bits of a picture of its size"):
        served.payload.decode(short, tf.constant(37), tf.constant(30))
