"""The conditional probability codec: what reaches what in training, its options, and that tiles do not show."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.codecs import residual_transforms
from models.contract import registry
from models.contract.recipe import ConfigError
from tests.models.kinds import KINDS, photograph

RECIPE = registry.get("conditional_probability")


def built(**options):
    """An untrained codec."""
    keras.utils.set_random_seed(3)
    return RECIPE.build(RECIPE.make_config("small", KINDS["codec"].tiny | options))


def batch(count: int = 2, side: int = 64):
    return np.stack([photograph(side, side, 50 * n) for n in range(count)]).astype("float32") / 255


def gradients(model, output, x):
    """Of what `output` makes of the model's answer in training, by variable, None where it does not depend on it."""
    with tf.GradientTape() as tape:
        value = output(model(x, training=True))
    variables = model.trainable_variables
    return dict(zip([v.path for v in variables], tape.gradient(value, [v.value for v in variables]), strict=True))


def test_bits_teach_the_context_network_alone():
    found = gradients(model := built(), lambda y: tf.reduce_sum(y["bits"]), batch())
    moved = {path for path, g in found.items() if g is not None and np.any(g)}
    assert moved == {v.path for v in model.context.trainable_variables}


def test_masked_bits_reach_the_encoder_through_the_map_alone():
    model = built()
    found = gradients(model, lambda y: tf.reduce_sum(y["masked_bits"]), batch())
    moved = {path for path, g in found.items() if g is not None and np.any(g)}
    assert moved and moved <= {v.path for v in model.analysis.trainable_variables}
    last = found["analysis/latents/kernel" if "analysis/latents/kernel" in found else next(
        p for p in found if p.endswith("latents/kernel"))]  # fmt: skip
    assert np.any(last[..., 0]) and not np.any(last[..., 1:])


def test_below_the_target_the_rate_does_not_weigh():
    x, losses = batch(), {}
    for target in (0.0, 100.0):
        model = built(target_bpp=target, rate_weight=3.0)
        answer = model(x, training=False)
        losses[target] = float(model.compute_loss(x, None, answer))
    bpp = 0.5 * (answer["bits"] + answer["masked_bits"]) / 64**2
    assert np.isclose(losses[0.0] - losses[100.0], 3.0 * np.mean(bpp), rtol=1e-5) and np.mean(bpp) > 0.01


@pytest.mark.parametrize("importance", ["soft", "binary", "none"])
def test_masks(importance):
    model = built(importance=importance)
    z, mask = (np.array(v) for v in model.analysis.with_mask(batch()))
    assert z.shape == mask.shape == (2, 8, 8, 12) and (np.diff(mask, axis=-1) <= 0).all()
    assert not z[mask == 0].any()
    if importance == "soft":
        assert ((mask > 0) & (mask < 1)).sum() == 2 * 8 * 8  # of each place one channel is kept in part
    else:
        assert set(np.unique(mask)) == ({0.0, 1.0} if importance == "binary" else {1.0})


def test_a_binary_mask_has_the_gradient_of_the_soft_one():
    features = tf.random.stateless_normal([1, 2, 3, 6], [1, 2])
    found = []
    for binary in (False, True):
        layer = residual_transforms.ImportanceMap(binary)
        with tf.GradientTape() as tape:
            tape.watch(features)
            mask = layer(features)[1]
        found.append((np.array(mask), np.array(tape.gradient(mask, features))))
    (soft, slope), (hard, same) = found
    np.testing.assert_array_equal(hard, np.ceil(soft))
    np.testing.assert_allclose(same, slope, rtol=1e-6)
    assert np.any(slope)


@pytest.mark.parametrize("groups", [1, 2])
def test_tiles_do_not_show(groups, monkeypatch):
    model = built(groups=groups)
    payload = RECIPE.signatures(model, model.config).payload
    size = 8 * 45, 8 * 33
    pixels = tf.constant(photograph(*size))
    whole, y = payload.analyse(pixels).numpy(), payload.latents.model.quantizer(payload.analyse(pixels))
    drawn = payload.synthesise(y, *size).numpy().astype(int)
    assert np.ptp(drawn) > 20
    monkeypatch.setattr(payload, "tile", 7)
    np.testing.assert_allclose(payload.analyse(pixels), whole, atol=2e-5)
    assert np.abs(payload.synthesise(y, *size).numpy() - drawn).max() <= 1


def test_batch_statistics_are_frozen_when_served():
    """Untrained averages are mean 0 and variance 1: what is served does not depend on the picture it comes with."""
    model = built(normalised=True)
    model(batch(), training=True)
    x = batch(2)
    alone = model(x[:1], training=False)["x_hat"]
    np.testing.assert_allclose(model(x, training=False)["x_hat"][:1], alone, atol=1e-5)
    moved = [v for v in model.non_trainable_variables if "moving_mean" in v.path and np.any(v)]
    assert len(moved) == sum("moving_mean" in v.path for v in model.non_trainable_variables) > 10


def test_published_sizes():
    """Kodak's medium point: 32 channels; 5 groups of 3 blocks and one more, each way."""
    config = RECIPE.make_config("paper")
    assert (config.channels, config.groups, config.latents, config.centres) == (128, 5, 32, 6)
    network = residual_transforms.analysis(128, 5, 33, True)
    kernels = [layer.kernel.shape for layer in network.layers if hasattr(layer, "kernel")]
    assert len(kernels) == 2 + 2 * 16 + 1 and kernels[0] == (5, 5, 3, 64) and kernels[-1] == (5, 5, 128, 33)
    with pytest.raises(ConfigError, match="crop_size=100: must be a multiple of 8"):
        RECIPE.make_config("paper", {"crop_size": 100})
