"""Bounds whose gradient still pushes a value back inside."""

from keras import ops


def _pass_inside(values, bound, keep):
    @ops.custom_gradient
    def bounded(x):
        def grad(*args, upstream=None):
            (upstream,) = (upstream,) if upstream is not None else args
            return ops.where(keep(x, upstream), upstream, ops.zeros_like(upstream))

        return bound(x), grad

    return bounded(1.0 * values)  # a product is a plain tensor: TensorFlow refuses variables under a custom gradient


def lower_bound(values, bound: float):
    """max(values, bound), any shape and float dtype; below the bound only gradients that raise the value pass.

    A plain maximum kills the gradient of a value that fell below the bound for good. Used for the likelihood floor,
    the scales and the parameters of GDN (as in arXiv:1802.01436's published code).
    """
    return _pass_inside(values, lambda x: ops.maximum(x, bound), lambda x, g: ops.logical_or(x >= bound, g < 0))


def upper_bound(values, bound: float):
    """min(values, bound), the mirror of `lower_bound`."""
    return _pass_inside(values, lambda x: ops.minimum(x, bound), lambda x, g: ops.logical_or(x <= bound, g > 0))


class RootParametrization:
    """Stores a non-negative parameter as its root, so that small values move slowly (arXiv:1802.01436, appendix).

    Stored p = sqrt(v + 2**-36); used v = max(p, sqrt(minimum + 2**-36))**2 - 2**-36. Dimensionless.
    """

    PEDESTAL = 2.0**-36

    def __init__(self, minimum: float = 0.0):
        self.minimum = minimum

    def store(self, values):
        """The stored form of the values, same shape."""
        return ops.sqrt(ops.maximum(values + self.PEDESTAL, self.PEDESTAL))

    def use(self, stored):
        """The values of the stored form, same shape, at least `minimum`."""
        return ops.square(lower_bound(stored, (self.minimum + self.PEDESTAL) ** 0.5)) - self.PEDESTAL
