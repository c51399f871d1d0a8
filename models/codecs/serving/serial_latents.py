"""Serial coding of latents whose distributions depend on the ones decoded before, in exact fixed-point arithmetic.

The positions are skewed: step t holds the positions (i, t - skew * i). With skew 3 the 5x5 causal neighbourhood of
every position of a step was decoded in earlier steps, so a step is one small batch (a wavefront); with skew = width it
is the raster order, one position a step. Encoder and decoder run the same loop body; only the symbols' source differs.
"""

from typing import NamedTuple

import tensorflow as tf

from models.codecs.codec import GAIN
from models.codecs.serving.latents import GaussianLatents, Room, Tables, to_symbols
from models.layers import fixed_point


class Schedule(NamedTuple):
    """Which positions a step holds; int32 scalars."""

    height: tf.Tensor
    width: tf.Tensor
    skew: tf.Tensor
    steps: tf.Tensor
    lanes: tf.Tensor  # most positions of one step

    def first_row(self, step: tf.Tensor) -> tf.Tensor:
        """First row that has a position in that step."""
        return tf.maximum(0, -(-(step - self.width + 1) // self.skew))

    def positions(self, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Flat positions int32 [lanes] of a step, clipped into the picture, and which of them exist, bool [lanes]."""
        rows = self.first_row(step) + tf.range(self.lanes)
        columns = step - self.skew * rows
        valid = (rows < self.height) & (columns >= 0) & (columns < self.width)
        flat = rows * self.width + columns
        return tf.where(valid, flat, 0), valid


class ContextLatents(GaussianLatents):
    """Hyper-latents as in GaussianLatents; latents in causal order with the context model."""

    chooses = False  # what a latent costs depends on those before

    def __init__(self, model, tables: Tables):
        super().__init__(model, tables)
        fixed_point.check_convolution(model.context)
        fixed_point.check(model.fusion)
        self.taps = model.context.taps
        self.raster = model.config.order == "raster"

    def schedule(self, height: tf.Tensor, width: tf.Tensor) -> Schedule:
        """The order of positions of latents of that size."""
        reach = 1 + max(column for _, column in self.taps)
        skew = tf.maximum(width, reach) if self.raster else tf.constant(reach)
        lanes = tf.minimum(height, -(-width // skew))
        return Schedule(height, width, skew, width + skew * (height - 1), lanes)

    def _weights(self) -> list[tuple]:
        """Context and fusion layers as matrices of integers in float64: [(matrix [K, N], bias [N])]."""
        kernel, bias = fixed_point.fixed_weights(self.model.context)
        centre = self.model.context.kernel_size[0] // 2
        rows = [kernel[r + centre, c + centre] for r, c in self.taps]
        layers = [(tf.concat(rows, 0), bias)]
        for layer in self.model.fusion.layers:
            if hasattr(layer, "kernel"):
                matrix, bias = fixed_point.fixed_weights(layer)
                layers.append((matrix[0, 0], bias))
        return layers

    def _step_parameters(self, weights, schedule: Schedule, step, history, side):
        """Means and levels of a step's positions: ([lanes, M] float32, [lanes, M] int32).

        Args:
          weights: `_weights()`.
          step: int32 scalar.
          history: float64 [depth, height + margins, M], the last steps' latents by row, newest first.
          side: int32 [h*w, 2M], the hyper-synthesis' outputs, fixed-point.
        """
        first, margin = schedule.first_row(step), -min(row for row, _ in self.taps)
        known = []
        for row, column in self.taps:
            age = -(column + schedule.skew * row)
            start = first + row + margin
            known.append(history[age - 1, start : start + schedule.lanes])
        (matrix, bias), *fusion = weights
        context = fixed_point.rescale(tf.matmul(tf.concat(known, 1), matrix) + bias)
        positions, valid = schedule.positions(step)
        values = tf.concat([tf.cast(tf.gather(side, positions), tf.float64), context], 1)
        for i, (matrix, bias) in enumerate(fusion):
            values = tf.matmul(values, matrix) + bias
            values = fixed_point.rescale(values if i == len(fusion) - 1 else fixed_point.leaky(values, self.leak))
        return *self.means_and_levels(values), positions, valid

    @property
    def leak(self) -> float:
        """Negative slope between the fusion's layers."""
        return float(self.model.fusion.layers[1].negative_slope)

    def _run(self, schedule: Schedule, side: tf.Tensor, symbols_of, state):
        """The serial loop.

        Args:
          schedule: the order.
          side: int32 [h*w, 2M].
          symbols_of: (state, mean, level, positions, valid) -> (state, symbols int32 [lanes, M]).
          state: tuple of tensors that `symbols_of` carries on.

        Returns:
          (state, symbols int32 [steps, lanes, M], levels likewise, valid bool [steps, lanes], latents [1, h, w, M]).
        """
        weights, channels = self._weights(), self.channels
        margin, depth = -min(row for row, _ in self.taps), self._depth(schedule)
        # Rows above the picture and, for the slices of short steps, below it.
        history = tf.zeros(tf.stack([depth, schedule.height + schedule.lanes + 2 * margin, channels]), tf.float64)
        types = (tf.int32, tf.int32, tf.float32)
        arrays = [tf.TensorArray(t, schedule.steps, element_shape=(None, None)) for t in types]
        rows = tf.range(schedule.height + schedule.lanes + 2 * margin)

        def body(step, history, arrays, state):
            mean, level, positions, valid = self._step_parameters(weights, schedule, step, history, side)
            state, symbols = symbols_of(state, mean, level, positions, valid)
            latents = tf.where(valid[:, None], tf.cast(symbols, tf.float32) + mean, 0.0)
            fixed = fixed_point.to_fixed(latents / GAIN)
            begin = schedule.first_row(step) + margin
            newest = tf.pad(fixed, [[begin, tf.size(rows) - begin - schedule.lanes], [0, 0]])
            history = tf.concat([newest[None], history[:-1]], 0)
            arrays = [a.write(step, v) for a, v in zip(arrays, (symbols, level, latents), strict=True)]
            return step + 1, history, arrays, state

        loose = tf.nest.map_structure(lambda t: tf.TensorShape([None] * t.shape.rank), state)
        invariants = (tf.TensorShape([]), tf.TensorShape([None, None, channels]), [tf.TensorShape(None)] * 3, loose)
        _, _, (symbols, levels, latents), state = tf.while_loop(
            lambda step, *_: step < schedule.steps, body, (0, history, arrays, state), invariants, parallel_iterations=1
        )
        steps = tf.range(schedule.steps)
        valid = tf.vectorized_map(lambda step: schedule.positions(step)[1], steps)
        return state, symbols.stack(), levels.stack(), valid, self._unskew(schedule, latents.stack())

    def _depth(self, schedule: Schedule) -> tf.Tensor:
        """How many past steps the neighbourhood reaches into."""
        return tf.reduce_max(tf.stack([-(column + schedule.skew * row) for row, column in self.taps]))

    def _unskew(self, schedule: Schedule, latents: tf.Tensor) -> tf.Tensor:
        """[steps, lanes, M] -> [1, h, w, M]."""
        rows, columns = tf.range(schedule.height)[:, None], tf.range(schedule.width)[None]
        steps = columns + schedule.skew * rows
        return tf.gather_nd(latents, tf.stack([steps, rows - schedule.first_row(steps)], -1))[None]

    def _side(self, z_hat: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        return tf.reshape(self.bands.rows(z_hat, 0, height, width), [height * width, 2 * self.channels])

    def encode(self, y: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Returns (sections, decoded latents) of y [1, h, w, M] float32."""
        height, width = tf.shape(y)[1], tf.shape(y)[2]
        hyper_section, z_hat = self.encode_hyper(y)
        flat = tf.reshape(y, [height * width, self.channels])

        def symbols_of(state, mean, level, positions, valid):
            symbols = tf.reshape(to_symbols(tf.gather(flat, positions) - mean), tf.shape(mean))
            return state, tf.where(valid[:, None], symbols, 0)

        schedule = self.schedule(height, width)
        _, symbols, levels, valid, y_hat = self._run(schedule, self._side(z_hat, height, width), symbols_of, ())
        steps = tf.shape(symbols)[0]
        symbols, levels = (tf.reshape(t, [steps, schedule.lanes * self.channels]) for t in (symbols, levels))
        section = self.coder.encode_steps(symbols, levels, tf.repeat(valid, self.channels, axis=1))
        return [hyper_section, section], y_hat

    def decode_flat(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor, room: Room) -> tf.Tensor:
        """See `SideInformation`; what lies along the steps is put into order in one piece."""
        return tf.pad(tf.reshape(tf.bitcast(self.decode(sections, height, width), tf.uint8), [-1]), [room])

    def decode(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """Returns latents [1, height, width, M] float32."""
        z_hat = self.decode_hyper(sections, height, width)
        with tf.control_dependencies([z_hat]):  # only a size that was true so far may set how much is reserved
            height, width = tf.identity(height), tf.identity(width)

        def symbols_of(state, mean, level, positions, valid):
            state, symbols = self.coder.pull(state, tf.reshape(level, [-1]), tf.repeat(valid, self.channels))
            return state, tf.reshape(symbols, tf.shape(level))

        side = self._side(z_hat, height, width)
        state = self.coder.begin(sections[1])
        state, _, _, _, y_hat = self._run(self.schedule(height, width), side, symbols_of, state)
        with tf.control_dependencies([self.coder.finish(state)]):
            return tf.identity(y_hat)
