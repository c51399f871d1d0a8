"""In which order the positions of a picture are decoded: strips, bands of rows side by side, wavefronts in each band.

A strip is coded on its own, which bounds memory. Its bands know nothing of each other, so that they are decoded side by
side; in a band, row r is `REACH` columns behind row r - 1: step t holds the positions (r, t - REACH * r).
A lane is a row of a strip.
"""

from typing import NamedTuple

import tensorflow as tf

from models.lossless.causal_features import REACH

BAND = 128  # rows at most: more lose less at edges between bands, and make more steps
STRIP_PIXELS = 1 << 20  # about so many at most, one band at least


class Strip(NamedTuple):
    """A strip's geometry, int32 scalars."""

    height: tf.Tensor  # rows that there are
    width: tf.Tensor
    bands: tf.Tensor
    rows: tf.Tensor  # of each band; the last band's last ones may lie beyond the strip
    steps: tf.Tensor

    @property
    def lanes(self) -> tf.Tensor:
        """Rows of all bands."""
        return self.bands * self.rows

    def row_in_band(self) -> tf.Tensor:
        """Of each lane, int32 [lanes]."""
        return tf.range(self.lanes) % self.rows

    def column(self, step: tf.Tensor) -> tf.Tensor:
        """Of each lane at a step, int32 [lanes]; beyond the picture where it has none."""
        columns = step - REACH * self.row_in_band()
        return tf.where(tf.range(self.lanes) < self.height, columns, -1)

    def ended(self, step: tf.Tensor) -> tf.Tensor:
        """Which lanes have no position at this step or later, bool [lanes]."""
        behind = step - REACH * self.row_in_band() >= self.width
        return behind | (tf.range(self.lanes) >= self.height)

    def skew(self, values: tf.Tensor, filler) -> tf.Tensor:
        """Values [lanes, width, n] by steps: [steps, lanes, n]; `filler` where there is no position."""
        n = values.shape[-1]
        padding = [[0, 0], [0, self.steps + REACH - self.width], [0, 0]]
        padded = tf.pad(values, padding, constant_values=filler)
        rows = tf.reshape(padded, tf.stack([self.bands, self.rows * (self.steps + REACH), n]))
        rows = tf.reshape(rows[:, : self.rows * self.steps], tf.stack([self.lanes, self.steps, n]))
        return tf.transpose(rows, [1, 0, 2])

    def unskew(self, values: tf.Tensor) -> tf.Tensor:
        """The inverse of `skew`: [steps, lanes, n] -> [lanes, width, n]."""
        n = values.shape[-1]
        rows = tf.reshape(tf.transpose(values, [1, 0, 2]), tf.stack([self.bands, self.rows * self.steps, n]))
        rows = tf.pad(rows, [[0, 0], [0, self.rows * REACH], [0, 0]])
        return tf.reshape(rows, tf.stack([self.lanes, self.steps + REACH, n]))[:, : self.width]


def strip_of(height: tf.Tensor, width: tf.Tensor) -> Strip:
    """The geometry of a strip of that size, int32 scalars."""
    bands = -(-height // BAND)
    rows = -(-height // bands)
    return Strip(height, width, bands, rows, width + REACH * (rows - 1))


def strip_rows(width: tf.Tensor) -> tf.Tensor:
    """Rows of a strip at most, int32 scalar: whole bands."""
    return tf.maximum(STRIP_PIXELS // (width * BAND), 1) * BAND
