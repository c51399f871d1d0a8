"""The exact hyper-synthesis of a picture of any size, a band of rows at a time.

What it gives is most of what coding would have to hold: for a Gaussian mixture 9 numbers a latent. Its layers that see
neighbours run for a band of rows, whose outputs are kept while the coder passes through them; the layers behind, which
see one position each, run for the positions of one chunk of symbols. All numbers are integers (`fixed_point`), so
bands give the bits that one piece gives.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from models.codecs.serving.picture_files import in_tiles
from models.layers import fixed_point
from models.layers.hyper import STRIDE

HALO = 2  # hyper-latents around: a latent's parameters follow from two above its own and one below
TILE = 24  # side of the pieces of a band, hyper-latents
BAND = 1 << 15  # positions of a band, about


class Window(NamedTuple):
    """The band that is kept."""

    band: tf.Tensor  # int32 [rows * width, C], outputs of the layers that see neighbours
    top: tf.Tensor  # int32 scalar, its first row


class HyperBands:
    """Evaluates a hyper-synthesis, checked by `fixed_point.check`."""

    def __init__(self, network: keras.Sequential, longest: int, offsets: Callable[[], tf.Tensor] | None = None):
        """Args:
        network: [1, h, w, N] -> [1, 4h, 4w, D].
        longest: positions that `window` is asked for at most.
        offsets: gives [4, 4, D] float32, added to what the network gives by the place among 4x4 positions.
        """
        self.network, self.positions, self.offsets = network, max(BAND, longest), offsets
        convolutions = [i for i, layer in enumerate(network.layers) if hasattr(layer, "kernel")]
        self._wide = [i for i in convolutions if max(network.layers[i].kernel_size) > 1]
        self._first_pointwise = next((i for i in convolutions if i > self._wide[-1]), len(network.layers))
        self.channels = network.layers[self._wide[-1]].filters
        # One trace of each, whichever signature calls it.
        graph = functools.partial(tf.function, autograph=False)
        self._tile = graph(self._tile_of, [tf.TensorSpec([1, None, None, network.input_shape[-1]], tf.float32)])
        self._pointwise = graph(self.pointwise, [tf.TensorSpec([None, self.channels], tf.int32)])

    def _tile_of(self, z_hat: tf.Tensor) -> tf.Tensor:
        values = fixed_point.apply(self.network, fixed_point.to_fixed(z_hat), 0, self._first_pointwise)
        return tf.cast(values, tf.int32)

    def rows(self, z_hat: tf.Tensor, top: tf.Tensor, bottom: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """Outputs of the layers that see neighbours, for rows of latents.

        Args:
          z_hat: [1, h', w', N] float32. top, bottom, width: int32 scalars, latents.

        Returns:
          [bottom - top, width, C] int32, in units of 2^-VALUE_BITS.
        """
        first = tf.maximum(top // STRIDE - HALO, 0)
        last = tf.minimum((bottom + STRIDE - 1) // STRIDE + HALO, tf.shape(z_hat)[1])
        found = in_tiles(
            self._tile, z_hat[0, first:last], last - first, tf.shape(z_hat)[2], scale_in=1, scale_out=STRIDE, tile=TILE,
            halo=HALO, channels=self.channels, dtype=tf.int32,
        )  # fmt: skip
        return found[top - STRIDE * first : bottom - STRIDE * first, :width]

    def pointwise(self, values: tf.Tensor) -> tf.Tensor:
        """What the layers behind give for `rows` of positions: int32 [n, C] -> float64 [n, D], fixed-point."""
        values = tf.cast(values, tf.float64)
        if self._first_pointwise == len(self.network.layers):
            return values
        return fixed_point.apply(self.network, values[None, None], self._first_pointwise)[0, 0]

    def start(self, height: tf.Tensor) -> Window:
        """A window before the first row."""
        return Window(tf.zeros(tf.stack([tf.minimum(height, 0), self.channels]), tf.int32), tf.constant(-1 << 20))

    def window(
        self, window: Window, z_hat: tf.Tensor, height: tf.Tensor, width: tf.Tensor, first: tf.Tensor, last: tf.Tensor
    ) -> tuple[Window, tf.Tensor]:
        """Parameters of positions in raster order, the runs of a picture one after the other.

        Args:
          window: of the last call, or from `start`.
          z_hat: [1, h', w', N] float32.
          height, width: int32 scalars, latents. first, last: int32 scalars, the run of positions.

        Returns:
          The window, and the outputs of the hyper-synthesis, [last - first, D] float64, fixed-point.
        """
        # Enough for any run, whose first row may be the fourth of its hyper-latents.
        rows = STRIDE * (self.positions // width // STRIDE + 2)

        def compute():
            top = first // width // STRIDE * STRIDE
            band = self.rows(z_hat, top, tf.minimum(top + rows, height), width)
            return Window(tf.reshape(band, [-1, self.channels]), top)

        kept = last <= (window.top + rows) * width
        window = tf.cond(kept, lambda: Window(*map(tf.identity, window)), compute)
        begin = window.top * width
        return window, self._placed(self._pointwise(window.band[first - begin : last - begin]), first, width)

    def _placed(self, values: tf.Tensor, first: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """Adds the offsets to values [n, D] of positions from `first` on."""
        if self.offsets is None:
            return values
        at = first + tf.range(tf.shape(values)[0])
        place = at // width % STRIDE * STRIDE + at % width % STRIDE
        table = fixed_point.to_fixed(self.offsets())
        return values + tf.gather(tf.reshape(table, [STRIDE**2, table.shape[-1]]), place)

    def whole(self, z_hat: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """Outputs for all positions at once: float64 [1, height, width, D], fixed-point."""
        values = self._pointwise(tf.reshape(self.rows(z_hat, 0, height, width), [-1, self.channels]))
        return tf.reshape(self._placed(values, 0, width), tf.stack([1, height, width, self.network.output_shape[-1]]))
