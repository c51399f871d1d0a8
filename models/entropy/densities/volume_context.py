"""The probability of each of a few symbols at every place of a volume, from the places before it.

Four causal 3D convolutions over the decoded values (Mentzer, Agustsson, Tschannen, Timofte, Van Gool, arXiv:1801.04260,
section 3.2 and figure 3), the volume's depth being the channels of the latents:

    values --pad--> first (does not see the place itself) --> two layers, added to what they are given --> logits

Each reaches one slice and one row or column further, so that a place is seen with 4 slices before it and 4 rows and
columns around. Beyond the volume there is one value, the same on both sides of a stream.
"""

import keras
from keras import ops

from models.layers.conv import MaskedConv3D

REACH = 4  # slices, rows and columns that a place sees; layers, too


@keras.saving.register_keras_serializable("kompakt")
class VolumeContext(keras.layers.Layer):
    """Logits of symbols; the published code also rectifies them, which is taken for an accident.

    [B, h, w, K] values, and the value beyond -> [B, h, w, K, L] float32.
    """

    def __init__(self, symbols: int, features: int = 24, **kwargs):
        """Args:
        symbols: L, of the alphabet. features: of the layers between.
        """
        super().__init__(**kwargs)
        self.symbols, self.features = symbols, features
        he = {"kernel_initializer": "he_normal", "dtype": self.dtype_policy}
        self.first = MaskedConv3D(features, sees_centre=False, name="first", **he)
        self.inner = MaskedConv3D(features, name="inner", **he)
        self.outer = MaskedConv3D(features, name="outer", dtype=self.dtype_policy)
        self.last = MaskedConv3D(symbols, name="last", dtype=self.dtype_policy)

    def build(self, *shapes):
        for layer in self.layers:
            layer.build((None, None, None, None, 1 if layer is self.first else self.features))
        self.built = True

    @property
    def layers(self) -> tuple[MaskedConv3D, ...]:
        """In the order of evaluation."""
        return self.first, self.inner, self.outer, self.last

    def call(self, values, beyond):
        """See the class; `beyond` is a scalar."""
        values, beyond = (ops.cast(x, self.compute_dtype) for x in (values, beyond))
        volume = ops.transpose(values - beyond, (0, 3, 1, 2))[..., None]
        volume = ops.pad(volume, [(0, 0), (REACH, 0), (REACH, REACH), (REACH, REACH), (0, 0)]) + beyond
        known = ops.relu(self.first(volume))
        more = self.outer(ops.relu(self.inner(known)))
        logits = self.last(known[:, 2:, 2:-2, 2:-2] + more)
        return ops.cast(ops.transpose(logits, (0, 2, 3, 1, 4)), "float32")

    def get_config(self):
        return super().get_config() | {"symbols": self.symbols, "features": self.features}
