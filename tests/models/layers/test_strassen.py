"""Sum-product layers against what they stand for: shapes, padding, patches, groups, folding."""

import keras
import numpy as np
import pytest

from models.layers.strassen import StrassenConv2D, StrassenDense


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 3)])
@pytest.mark.parametrize(("kernel", "strides", "patch"), [(3, 1, 1), (3, 1, 2), (3, 2, 2), (1, 2, 1), ((1, 3), 1, 3)])
def test_shapes_are_those_of_a_same_convolution(size, kernel, strides, patch):
    x = np.ones((2, *size, 4), "float32")
    layer = StrassenConv2D(6, kernel, 4, strides=strides, patch=patch, groups=2, use_bias=True)
    plain = keras.layers.Conv2D(6, kernel, strides, padding="same")(x)
    assert layer(x).shape == plain.shape == layer.compute_output_shape(x.shape)


@pytest.mark.parametrize(("size", "strides", "patch"), [((6, 6), 1, 1), ((7, 5), 1, 2), ((8, 7), 2, 2), ((7, 7), 2, 3)])
def test_with_enough_products_it_is_the_convolution(size, strides, patch):
    """Each output of a patch gets a product of its own, whose sum is that output's convolution."""
    k, filters = 3, 2
    x = np.random.default_rng(1).normal(size=(2, *size, 3)).astype("float32")
    plain = keras.layers.Conv2D(filters, k, strides, padding="same", use_bias=False)
    expected = plain(x)
    layer = StrassenConv2D(filters, k, patch**2 * filters, strides=strides, patch=patch)
    layer(x)
    sums = np.zeros(layer.w_b.shape, "float32")
    combined = np.zeros(layer.w_c.shape, "float32")
    for n in range(patch**2):
        i, j = (strides * place for place in divmod(n, patch))
        sums[i : i + k, j : j + k, :, n * filters : (n + 1) * filters] = plain.kernel
        for c in range(filters):
            combined[n * filters + c, n * filters + c] = 1
    layer.w_b.kernel.assign(sums)
    layer.w_c.kernel.assign(combined)
    layer.norm.epsilon = 0.0  # a normalisation of mean 0 and variance 1 then changes nothing
    np.testing.assert_allclose(layer(x, training=False), expected, atol=1e-5)


def test_groups_sum_over_their_own_channels():
    layer = StrassenConv2D(4, 3, 6, groups=2)
    x = np.random.default_rng(1).normal(size=(1, 5, 5, 4)).astype("float32")
    layer(x)
    other = x.copy()
    other[..., 2:] += 1
    sums, moved = (np.array(layer._sums(layer._padded(v))) for v in (x, other))
    assert np.array_equal(sums[..., :3], moved[..., :3]) and (sums[..., 3:] != moved[..., 3:]).all()


@pytest.mark.parametrize("make", [
    lambda form: StrassenDense(5, 7, form=form, use_bias=True),
    lambda form: StrassenConv2D(5, 3, 8, strides=2, patch=2, groups=2, form=form, use_bias=True),
])  # fmt: skip
def test_folding_changes_no_output(make):
    random = np.random.default_rng(2)
    layer, folded = make("ternary"), make("folded")
    shape = (3, 4) if isinstance(layer, StrassenDense) else (3, 7, 9, 4)
    x = random.normal(size=shape).astype("float32")
    layer(x), folded(x)
    for weight in (layer.norm.beta, layer.norm.moving_mean, layer.bias):
        weight.assign(random.normal(size=weight.shape))
    layer.norm.moving_variance.assign(random.uniform(0.3, 3, layer.norm.moving_variance.shape))
    layer.a.assign(np.maximum(random.normal(1, 1, layer.a.shape), 0))
    layer.a.assign(np.concatenate([[0.0], layer.a[1:]]))  # a product that went out of use
    folded.fold(layer)
    np.testing.assert_allclose(folded(x), layer(x, training=False), atol=1e-5)
    assert set(np.unique(folded.w_b.kernel)) | set(np.unique(folded.w_c.kernel)) <= {-1, 0, 1}
    again = make("folded")
    again(x)
    again.fold(folded)
    assert np.array_equal(again(x), folded(x))


def test_factors_stay_between_their_bounds():
    layer = StrassenDense(2, 3)
    layer(np.ones((1, 2), "float32"))
    assert np.array_equal(layer.a.constraint(np.array([-1.0, 2.0, 300.0])), [0, 2, 100])


def test_bad_arguments_are_named():
    for wrong in (lambda: StrassenDense(3, 0), lambda: StrassenConv2D(3, 3, 4, patch=0)):
        with pytest.raises(ValueError, match="at least 1"):
            wrong()
    with pytest.raises(ValueError, match="groups=2: must divide 3 channels and 4 products"):
        StrassenConv2D(3, 3, 4, groups=2)(np.ones((1, 4, 4, 3), "float32"))


def test_layers_are_saved_with_their_arguments():
    layer = StrassenConv2D(6, 3, 4, strides=2, patch=2, groups=2, form="folded", use_bias=True)
    assert keras.layers.deserialize(keras.layers.serialize(layer)).get_config() == layer.get_config()
