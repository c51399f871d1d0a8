"""Matrices of -1, 0 and 1 that are learned through full-precision ones by straight-through estimation."""

import keras
from keras import ops

FORMS = ("full", "ternary", "folded")
_DELTA = 0.7  # threshold of a ternary network over the mean magnitude of its weights (arXiv:1605.04711, section 2.3)


def ternary(weights):
    """The nearest scaled ternary tensor, as in ternary weight networks (arXiv:1605.04711).

    The threshold follows from the mean magnitude of the whole tensor: one that is fixed would leave nothing of a wide
    layer, whose weights are small.

    Returns:
      (values of -1, 0 and 1 in the shape of `weights`; their scale, the mean magnitude of those beyond the threshold),
      float32.
    """
    weights = ops.cast(weights, "float32")
    size = ops.abs(weights)
    chosen = ops.cast(size > _DELTA * ops.mean(size), "float32")
    scale = ops.sum(size * chosen) / ops.maximum(ops.sum(chosen), 1.0)
    return ops.sign(weights) * chosen, scale


def fixed_ternary(weights):
    """-1, 0 or 1 by the fixed threshold 1/2, for weights that live in [-1, 1]."""
    return ops.sign(weights) * ops.cast(ops.abs(weights) > 0.5, weights.dtype)


def straight_through(weights, values):
    """`values` going forward, the gradient of `weights` going backward."""
    return weights + ops.stop_gradient(values - weights)


@keras.saving.register_keras_serializable("kompakt")
class TernaryMatrix(keras.layers.Layer):
    """A matrix in one of three forms; a layer, so that a phase of a training can freeze it.

    Args:
      shape: of the matrix; the last axis is that of the outputs, the others are summed over.
      form: "full", plain weights; "ternary", the scaled ternary values of such weights, which learn through them;
        "folded", values of -1, 0 and 1 that do not learn, whose scale is somebody else's.

    Raises:
      ValueError: unknown form.
    """

    def __init__(self, shape: tuple[int, ...], form: str = "full", **kwargs):
        super().__init__(**kwargs)
        if form not in FORMS:
            raise ValueError(f"form={form!r}: not one of {', '.join(FORMS)}")
        self.shape, self.form = tuple(shape), form
        self.build()

    def build(self, input_shape=None):
        """Makes the weights, which do not depend on what is multiplied."""
        # Thresholds must be the same in every precision, or a folded network would be another one.
        own = {"name": "kernel", "shape": self.shape, "dtype": "float32", "autocast": False}
        if self.form == "folded":
            self.kernel = self.add_weight(initializer=_random_ternary, trainable=False, **own)
        else:
            self.kernel = self.add_weight(initializer=keras.initializers.GlorotNormal(), **own)
        self.built = True

    def matrix(self, dtype: str = "float32"):
        """What to multiply with."""
        if self.form == "ternary":
            values, scale = ternary(self.kernel)
            return ops.cast(straight_through(self.kernel, scale * values), dtype)
        return ops.cast(self.kernel, dtype)

    def folded(self):
        """(values of -1, 0 and 1, their scale) of what `matrix` gives.

        Raises:
          ValueError: the weights are in full precision.
        """
        if self.form == "full":
            raise ValueError("weights in full precision have no ternary values; train them as such first")
        return (self.kernel, 1.0) if self.form == "folded" else ternary(self.kernel)

    def get_config(self):
        return super().get_config() | {"shape": self.shape, "form": self.form}


def _random_ternary(shape, dtype="float32"):
    """About two thirds of the values are not zero, as of a trained matrix."""
    return ops.round(keras.initializers.RandomUniform(-1.499, 1.499)(shape, dtype))
