"""Terms of adversarial objectives. What a critic says, `scores`, is a tensor or a list of them, one a scale.

Every term is a value for each example, [B] float32; a weight of examples (`models.contract.example_weights`) and the
mean over the batch come after it.
"""

import importlib

import keras
from keras import ops

_TINY = 1e-12  # under the root of a norm, whose slope at zero is infinite


def least_squares(scores, target: float):
    """(score - target)^2, averaged over the places of a scale and summed over scales (LSGAN, arXiv:1611.04076).

    Args:
      scores: [B, ...] or a list of such. target: 1 of real pictures and of made ones that shall pass, 0 of made ones.
    """
    return sum(_mean(ops.square(one - target)) for one in _float32(scores))


def wasserstein(made, real):
    """What a critic minimises whose scores approach the Wasserstein distance (arXiv:1701.07875): made less real.

    The generator minimises `-mean_score(made)`.
    """
    return mean_score(made) - mean_score(real)


def mean_score(scores):
    """The mean score of an example over places, summed over scales."""
    return sum(_mean(one) for one in _float32(scores))


def gradient_penalty(critic, real, made, place, per: str = "image"):
    """(|gradient of the critic| - 1)^2 at points between real and made examples (arXiv:1704.00028).

    Args:
      critic: function of examples, which gives scores. real, made: [B, H, W, C]; no gradient goes to them.
      place: [B, 1, 1, 1] in [0, 1], drawn uniformly: the share of `real`.
      per: the norm is of the slope of a whole "image"; or of the slope at each "position" over its channels, averaged
        over positions, as the published code of arXiv:1805.11057 has it.

    Raises:
      ValueError: another `per`.
    """
    if per not in ("image", "position"):
        raise ValueError(f"per={per}: not one of image, position")
    real, made, place = (ops.stop_gradient(ops.cast(v, "float32")) for v in (real, made, place))
    slope = slope_of(lambda x: mean_score(critic(x)), place * real + (1.0 - place) * made)
    axes = (1, 2, 3) if per == "image" else (3,)
    norm = ops.sqrt(ops.sum(ops.square(slope), axis=axes) + _TINY)
    return _mean(ops.square(norm - 1.0))


def slope_of(function, x):
    """The gradient by examples x [B, ...] of what a function makes of each, [B]; itself differentiable.

    Raises:
      NotImplementedError: a backend besides TensorFlow and JAX.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x)
    if keras.backend.backend() == "jax":
        jax = importlib.import_module("jax")  # there where Keras runs on it, and in no image that serves

        return jax.grad(lambda values: ops.sum(function(values)))(x)
    raise NotImplementedError("slopes are taken by TensorFlow or JAX")


def feature_matching(real, made):
    """Mean absolute difference of a critic's activations, summed over layers and scales (arXiv:1711.11585).

    Args:
      real, made: lists of [B, ...], of the same layers. No gradient goes to `real`.
    """
    pairs = zip(_float32(real), _float32(made), strict=True)
    return sum(_mean(ops.abs(ops.stop_gradient(one) - other)) for one, other in pairs)


def _float32(values) -> list:
    return [ops.cast(v, "float32") for v in (values if isinstance(values, list | tuple) else [values])]


def _mean(values):
    """Over all axes but the first."""
    return ops.mean(ops.reshape(values, (ops.shape(values)[0], -1)), axis=-1)
