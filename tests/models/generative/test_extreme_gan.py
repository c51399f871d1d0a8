"""The codec for extreme rates: its bound, what is served of it, and a training that is killed."""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.contract import registry
from models.generative import extreme_networks as networks
from models.generative.extreme_serving import ExtremePayload
from models.generative.inputs import inputs
from models.publishing import pushed
from models.records import pictures as picture_records
from models.training.loop import train
from tests.models.examples import photograph, png
from tests.models.kinds import tiny

RECIPE = registry.get("extreme_gan")
SMALLEST = tiny(RECIPE) | {"filters": 3, "latents": 2, "critic_channels": 1, "crop_size": 32, "scales": 1, "blocks": 1}
HEADER = 27  # bytes of a stream besides its codes, with the byte that says how they are written


def config_of(**options):
    return RECIPE.make_config("small", SMALLEST | options)


@pytest.mark.slow
def test_no_stream_exceeds_the_bound_and_symbols_come_back(trained):
    done = trained("extreme_gan")
    pictures = [photograph(s, t) for s, t in ((1, 1), (50, 67), (16, 160))]
    pictures.append(np.random.default_rng(0).integers(0, 256, (96, 64, 3), dtype=np.uint8))
    payload = ExtremePayload(*reversed(pushed.load(str(done.directory))[1:]))
    with done.served() as served:
        streams = served["compress"](image_bytes=tf.constant([png(p) for p in pictures]))["bitstream_bytes"].numpy()
    for picture, stream in zip(pictures, streams, strict=True):
        symbols = done.config.latents * math.prod(-(-side // 16) for side in picture.shape[:2])
        assert 8 * (len(stream) - HEADER) <= math.ceil(symbols * math.log2(5) / 8) * 8
        sections, coded = payload.encode(tf.constant(picture), tf.constant(0))
        assert int(tf.reduce_max(coded)) <= 4 and coded.shape[-1] == done.config.latents
        decoded, _ = payload.decode(sections, *(tf.constant(side) for side in picture.shape[:2]))
        assert np.array_equal(decoded, coded)


@pytest.mark.slow
def test_nothing_of_the_critic_is_exported(trained):
    directory = str(trained("extreme_gan").directory)
    _, config, model = pushed.load(directory)
    assert config.part == "codec" and not any("critic" in v.path for v in model.variables)
    saved = dict(tf.train.list_variables(f"{directory}/variables/variables"))
    assert saved and not any("critic" in name or "average" in name for name in saved)
    floats = sum(math.prod(shape) for name, shape in saved.items() if "restored" in name)
    assert floats == sum(math.prod(v.shape) for v in model.variables)  # nothing beside the codec


def test_what_is_exported_has_the_averaged_weights():
    config = config_of()
    game = RECIPE.build(config)
    game.averages[0].assign(game.averages[0] + 1.0)
    expected = np.array(game(np.full((1, 32, 32, 3), 0.5, "float32"), training=False)["x_hat"])
    _, codec, served = RECIPE.served(game, config)
    assert served == dataclasses.replace(config, part="codec")
    np.testing.assert_allclose(codec(np.full((1, 32, 32, 3), 0.5, "float32"))["x_hat"], expected, atol=1e-6)


def test_without_a_critic_it_is_the_same_codec_that_learns_from_the_mse_alone():
    models = []
    for adversarial in (False, True):
        keras.utils.set_random_seed(1)
        models.append(RECIPE.build(config_of(adversarial=adversarial)))
    twin, game = models
    assert all(np.array_equal(*pair) for pair in zip(*(m.codec.get_weights() for m in models), strict=True))
    assert twin.critic is None and game.critic is not None
    x = photograph(32, 32).astype("float32")[None] / 255.0
    mse = np.square(x - np.array(twin(x, training=False)["x_hat"])).mean()
    assert np.isclose(float(twin.compute_loss(x, training=False)), 12.0 * 4.0 * mse, rtol=1e-5)
    assert set(game.trackers) - set(twin.trackers) == {"deceived", "features", "real", "made"}


def test_all_five_centres_can_be_reached():
    model = RECIPE.build(config_of(part="codec", filters=4, latents=8))
    assert model.analysis.layers[-1].activation is keras.activations.linear
    assert np.array_equal(np.ravel(model.quantizer.centres), [-2, -1, 0, 1, 2])
    assert not any(v is model.quantizer.centres for v in model.trainable_variables)
    x = np.random.default_rng(0).uniform(size=(4, 64, 64, 3)).astype("float32")
    shares = np.bincount(np.ravel(model.symbols(x)), minlength=5) / model.symbols(x).shape[0] / 16 / 8
    assert (shares > 0.02).sum() >= 4


def test_noise_changes_what_is_drawn_and_a_stream_has_one_picture():
    config = config_of(noise=2, part="codec")
    payload = ExtremePayload(RECIPE.build(config), config)
    symbols = tf.zeros((2, 3, 2), tf.int32)
    sides = tf.constant(30), tf.constant(41)
    drawn = payload.draw(symbols, *sides, tf.constant(0))
    assert drawn.shape == (30, 41, 3) and np.array_equal(drawn, payload.draw(symbols, *sides, tf.constant(0)))
    assert not np.array_equal(drawn, payload.draw_tile(tf.zeros((1, 2, 3, 4)))[0, :30, :41])


@pytest.mark.parametrize("upsampling", ["resize", "transposed"])
def test_a_picture_does_not_depend_on_the_tiles(upsampling):
    config = config_of(part="codec", upsampling=upsampling)
    model = RECIPE.build(config)
    model.tile = 4
    payload = ExtremePayload(model, config)
    pixels = photograph(200, 150)
    found = payload.analyse(tf.constant(pixels), tf.constant(13), tf.constant(10))
    x = np.pad(pixels, [(0, 8), (0, 10), (0, 0)], "edge")[None].astype("float32") / 255.0
    assert np.array_equal(found, model.symbols(x)[0])
    whole = np.array(model.draw_symbols(found[None]))[0, :200, :150]
    drawn = payload.draw(found, tf.constant(200), tf.constant(150), tf.constant(0))
    assert np.abs(np.rint(255 * whole) - drawn.numpy()).max() <= 1


def test_the_critics_see_halves():
    critic = networks.Critic(3, 2, 2)
    found = critic(np.zeros((1, 64, 32, 3), "float32"))
    assert [len(layers) for layers in found] == [5, 5]
    assert [tuple(s.shape) for s in networks.scores(found)] == [(1, 4, 2, 1), (1, 2, 1, 1)]
    assert [f.shape[-1] for f in networks.features(found)] == [2, 4, 8, 16] * 2


def test_an_epochs_crops_are_its_own(records):
    files, config = [records("codec")["train"]], config_of(steps=6, steps_per_epoch=2)
    whole = [np.array(b) for b in inputs(files, config, True).take(6)]
    for epoch in (1, 2):
        later = inputs(files, dataclasses.replace(config, seed=config.seed + epoch), True)
        assert all(np.array_equal(a, b) for a, b in zip(later, whole[2 * epoch :], strict=False))
    assert not np.array_equal(whole[0], whole[2]) and whole[0].shape == (2, 32, 32, 3)
    assert picture_records.held(tf.data.Dataset.from_tensors(tf.constant(b"x")), 256) == 256


class Kill(keras.callbacks.Callback):
    """Stops the process, as a kill does, after so many steps."""

    def __init__(self, steps: int):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_training_that_was_killed_anywhere_ends_where_it_would_have(records, tmp_path):
    files = records("codec")
    config = config_of(steps=6, steps_per_epoch=2, plain_share=0.34, noise=1, average=0.5, batch_size=1)

    def run(folder, *callbacks):
        model = train(RECIPE, config, [files["train"]], [files["validation"]], work_dir=str(tmp_path / folder),
                      log_dir=str(tmp_path / folder / "logs"), callbacks=callbacks, progress=False)  # fmt: skip
        return [np.array(v) for v in (*model.weights, *model.optimizer.variables)]

    tf.config.run_functions_eagerly(True)  # tracing takes longer than all steps
    try:
        whole = run("whole")
        for kill in (1, 5):  # in the first phase; in the game's second epoch
            with pytest.raises(KeyboardInterrupt):
                run("killed", Kill(kill))
        assert all(np.array_equal(a, b) for a, b in zip(run("killed"), whole, strict=True))
    finally:
        tf.config.run_functions_eagerly(False)
