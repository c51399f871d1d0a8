"""Symbols of a volume whose distributions depend on those before, in depth, row and column; exact.

What a place depends on lies in the slice before (one row and column further a layer) and in its own slice before it. So
step t of the decoder takes the places (d, r, c) with t = c + 2 r + 4 d, all at once: a wavefront. The layers of the
context network follow one another within a step, and each looks back seven steps at most, which rings of buffers hold.
The encoder knows all symbols and goes through the slices, a convolution each. Both work on integers (`fixed_point`), so
that both have the same frequencies.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.codecs.serving.latents import Room, Tables, believed_sides
from models.codecs.serving.picture_files import in_tiles
from models.entropy.coder import frequency_coder
from models.entropy.densities import softmax_cdf
from models.entropy.densities.volume_context import REACH
from models.entropy.lanes import bit_and, const, shift_right
from models.layers import fixed_point

ROW, SLICE = 2, 4  # steps from a place to the one in the next row, and in the next slice
_RING = 8  # steps that are kept: the farthest neighbour lies a slice, a row and a column back, seven steps
_TILE = 48  # side of the pieces in which the float network is asked, latents
_TOTAL = 1 << softmax_cdf.PRECISION


class Volume(NamedTuple):
    """The sides of a volume: slices are a number, rows and columns int32 scalars."""

    depth: int
    height: tf.Tensor
    width: tf.Tensor

    @property
    def steps(self) -> tf.Tensor:
        """Steps from the first place to the last."""
        return self.width + ROW * (self.height - 1) + SLICE * (self.depth - 1)

    @property
    def lanes(self) -> tf.Tensor:
        """Rows of all slices with what lies `REACH` beyond: a step has one column of each at most."""
        return (self.depth + REACH) * (self.height + 2 * REACH)

    def places(self, step: tf.Tensor, margin: int) -> tf.Tensor:
        """The lanes int32 [n] that have a place in a step, of the volume and `margin` places beyond it, in order."""
        rows = self.height + 2 * REACH
        lane = tf.range(self.lanes)
        d, r = lane // rows - REACH, lane % rows - REACH
        c = step - ROW * r - SLICE * d
        inside = (d >= -margin) & (r >= -margin) & (r < self.height + margin) & (c >= -margin)
        return tf.cast(tf.where(inside & (c < self.width + margin))[:, 0], tf.int32)

    def order(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Where each place of the volume is coded: its step and its number there, int32 [D, h, w], and steps' sizes."""
        d, step = tf.range(self.depth), tf.range(self.steps)[:, None]
        column_of_first_row = step - SLICE * d
        first = tf.maximum(-(-(column_of_first_row - self.width + 1) // ROW), 0)
        last = tf.minimum(column_of_first_row // ROW, self.height - 1)
        counts = tf.maximum(last - first + 1, 0)  # [steps, D]
        begins = tf.cumsum(counts, axis=1, exclusive=True) - first
        d, r, c = (tf.range(side) for side in (self.depth, self.height, self.width))
        d, r, c = d[:, None, None], r[:, None], c
        steps = c + ROW * r + SLICE * d
        numbers = tf.gather_nd(begins, tf.stack([steps, tf.broadcast_to(d, tf.shape(steps))], -1)) + r
        return steps, numbers, tf.reduce_sum(counts, axis=1)


class VolumeLatents(tf.Module):
    """One section: the symbols of all latents, step by step."""

    section_count, chooses = 1, False

    @staticmethod
    def tables_of(model) -> Tables:
        """What the constructor takes."""
        return softmax_cdf.integer_tables()

    def __init__(self, model, tables: Tables):
        """Args:
        model: a trained codec with `context` and `quantizer`.
        tables: `tables_of` that codec.

        Raises ValueError: its weights are too large for exact sums.
        """
        super().__init__(name="latents")
        self.model, self.depth = model, model.config.latents
        for layer in model.context.layers:
            fixed_point.check_convolution(layer)
        self.cdf = softmax_cdf.SoftmaxCdf(tables)
        self.fewest_bits = self.depth * softmax_cdf.fewest_bits(model.config.centres)
        self._nearest = tf.function(self.nearest, [tf.TensorSpec([1, None, None, self.depth], tf.float32)], False)
        self._estimated = tf.function(
            lambda values: model.estimated_bits(values)[..., None],
            [tf.TensorSpec([1, None, None, self.depth], tf.float32)], False,
        )  # fmt: skip

    def nearest(self, y: tf.Tensor) -> tf.Tensor:
        """Symbols int32 [h, w, D] of latents y [1, h, w, D]: the nearest centre, one after the other to save memory."""
        centres = self.centres
        symbols, least = tf.zeros(tf.shape(y), tf.int32), tf.square(y - centres[0])
        for symbol in range(1, self.model.config.centres):
            distance = tf.square(y - centres[symbol])
            symbols = tf.where(distance < least, symbol, symbols)
            least = tf.minimum(least, distance)
        return symbols[0]

    @property
    def centres(self) -> tf.Tensor:
        """[L] float32."""
        return tf.convert_to_tensor(self.model.quantizer.centres)[:, 0]

    def encode(self, y: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Returns (sections, decoded latents) of y [1, h, w, M] float32."""
        symbols = self._nearest(y)
        volume = Volume(self.depth, tf.shape(y)[1], tf.shape(y)[2])
        of_slices = tf.transpose(symbols, [2, 0, 1])
        coded = self.intervals(of_slices)
        steps, numbers, counts = volume.order()
        shape = tf.stack([volume.steps, tf.reduce_max(counts)])
        places = tf.reshape(steps * shape[1] + numbers, [-1, 1])
        null = const(_TOTAL << 32)  # where a step has fewer: a symbol that is certain
        rows = tf.tensor_scatter_nd_update(tf.fill([shape[0] * shape[1]], null), places, tf.reshape(coded, [-1]))
        rows = tf.reshape(rows, shape)
        section = frequency_coder.encode(shift_right(rows, const(32)), bit_and(rows, const((1 << 32) - 1)))
        return [section], tf.gather(self.centres, symbols)[None]

    def decode(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """Returns latents [1, height, width, M] float32."""
        height, width = believed_sides(sections[0], height, width, self.fewest_bits)
        state = frequency_coder.begin(sections[0], Volume(self.depth, height, width).steps)
        with tf.control_dependencies([state.states]):  # only a size of as many steps may set how much is reserved
            volume = Volume(self.depth, tf.identity(height), tf.identity(width))
        found = self._symbols(state, volume)
        steps, numbers, counts = volume.order()
        places = tf.gather(tf.cumsum(counts, exclusive=True), steps) + numbers
        values = tf.gather(tf.gather(self.centres, found), places)
        return tf.transpose(values, [1, 2, 0])[None]

    def decode_flat(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor, room: Room) -> tf.Tensor:
        """Returns the bytes of latents [height * width * M] float32, and the room: uint8 [n]."""
        return tf.pad(tf.reshape(tf.bitcast(self.decode(sections, height, width), tf.uint8), [-1]), [room])

    def estimated_bits(self, y: tf.Tensor, y_hat: tf.Tensor) -> tf.Tensor:
        """What the context network, in floating point, expects the latents to cost: [1] float32 bits."""
        bits = in_tiles(
            self._estimated, y_hat[0], tf.shape(y_hat)[1], tf.shape(y_hat)[2], scale_in=1, scale_out=1, tile=_TILE,
            halo=REACH, channels=1, dtype=tf.float32,
        )  # fmt: skip
        return tf.reduce_sum(bits)[None]

    def fixed_centres(self) -> tf.Tensor:
        """What the integer network sees of the centres, float64 [L]; the first one is what lies beyond the volume."""
        return fixed_point.to_fixed(self.centres)

    def _weights(self) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Integers in float64 of each layer: kernel [2, 3, 3, C, F], bias [F]."""
        return [fixed_point.fixed_weights(layer) for layer in self.model.context.layers]

    def intervals(self, symbols: tf.Tensor) -> tf.Tensor:
        """Frequency << 32 | start of every symbol int32 [D, h, w], given those before it: int64 [D, h, w].

        A slice's layers need but what the slice before had.
        """
        centres, layers = self.fixed_centres(), self._weights()
        # Two slices are the channels of one plane. What is masked is zero in the kernels.
        planes = [(tf.concat(tf.unstack(kernel, num=2), 2), bias) for kernel, bias in layers]
        height, width = tf.unstack(tf.shape(symbols)[1:])
        pad = [[REACH, REACH], [REACH, REACH]]
        beyond = tf.fill(tf.stack([1, height + 2 * REACH, width + 2 * REACH, 1]), centres[0])

        def applied(layer, before, now):
            kernel, bias = planes[layer]
            return tf.nn.conv2d(tf.concat([before, now], -1), kernel, 1, "VALID") + bias

        def body(d, before, found):
            def given():
                values = tf.gather(centres, symbols[tf.maximum(d, 0)])
                return tf.pad(values, pad, constant_values=centres[0])[None, :, :, None]

            now = [tf.cond(d < 0, lambda: tf.identity(beyond), given)]
            now.append(_rectified(applied(0, before[0], now[0])))
            now.append(_rectified(applied(1, before[1], now[1])))
            now.append(_sum(applied(2, before[2], now[2]), now[1][:, 2:-2, 2:-2]))
            logits = fixed_point.rescale(applied(3, before[3], now[3]))

            def coded():
                of_places = tf.cast(tf.reshape(logits, [-1, logits.shape[-1]]), tf.int64)
                flat = tf.reshape(symbols[d], [-1])
                return softmax_cdf.intervals(self.cdf.frequencies(of_places), flat)

            # Slices before the volume are there for the layers alone.
            found = tf.cond(d < 0, lambda: found, lambda: found.write(d, coded()))
            return d + 1, now, found

        features = self.model.config.features
        before = [beyond]
        for lost in (2, 4, 6):
            sides = height + 2 * REACH - lost, width + 2 * REACH - lost
            before.append(tf.zeros(tf.stack([1, *sides, features]), tf.float64))
        shapes = [tf.TensorShape([1, None, None, v.shape[-1]]) for v in before]
        before = [tf.ensure_shape(v, s) for v, s in zip(before, shapes, strict=True)]
        found = tf.TensorArray(tf.int64, self.depth, element_shape=[None])
        _, _, found = tf.while_loop(
            lambda d, *_: d < self.depth, body, (1 - REACH, before, found),
            (tf.TensorShape([]), shapes, tf.TensorShape(None)), parallel_iterations=1,
        )  # fmt: skip
        return tf.reshape(found.stack(), tf.shape(symbols))

    def _symbols(self, state, volume: Volume) -> tf.Tensor:
        """Decodes the symbols in the order of the steps, int32 [D * h * w]."""
        network = _Wavefront(self.model.context, self._weights(), volume)
        centres = self.fixed_centres()
        rings = network.rings(centres[0])

        def before(step, rings):
            rings = network.hidden(step, rings)
            return step + 1, network.put(step, rings, tf.zeros([0], tf.int32), tf.zeros([0], tf.float64), centres[0])

        def body(step, rings, state, found):
            rings = network.hidden(step, rings)
            places = volume.places(step, 0)
            logits = tf.cast(network.logits(step, rings, places), tf.int64)
            state, symbols = frequency_coder.pull(state, self.cdf.frequencies(logits))
            rings = network.put(step, rings, places, tf.gather(centres, symbols), centres[0])
            return step + 1, rings, state, found.write(step, symbols)

        # What lies before the first place is known, and the layers see it.
        _, rings = tf.while_loop(
            lambda step, *_: step < 0, before, (-(REACH - 1) * (1 + ROW + SLICE), rings), parallel_iterations=1
        )
        found = tf.TensorArray(tf.int32, volume.steps, infer_shape=False, element_shape=[None])
        loose = tf.nest.map_structure(lambda t: tf.TensorShape([None] * t.shape.rank), state)
        shapes = tf.TensorShape([]), [ring.shape for ring in rings], loose, tf.TensorShape(None)
        _, _, state, found = tf.while_loop(
            lambda step, rings, state, found: (step < volume.steps) & frequency_coder.is_sound(state),
            body, (0, rings, state, found), shapes, parallel_iterations=1,
        )  # fmt: skip
        with tf.control_dependencies([frequency_coder.finish(state)]):
            return found.concat()


class _Wavefront:
    """The context network, of which each step evaluates the places whose neighbours are known."""

    def __init__(self, context, weights: list[tuple[tf.Tensor, tf.Tensor]], volume: Volume):
        self.volume, self.features = volume, context.features
        taps = [np.array(layer.taps) for layer in context.layers]
        self.ages = [-(t @ (SLICE, ROW, 1)) for t in taps]  # steps since a neighbour's turn
        self.offsets = [t[:, 0] * (volume.height + 2 * REACH) + t[:, 1] for t in taps]  # in lanes
        self.matrices = []
        for layer, (kernel, bias) in zip(context.layers, weights, strict=True):
            seen = np.flatnonzero(layer.mask)
            rows = tf.gather(tf.reshape(kernel, [layer.mask.size, -1]), seen)
            self.matrices.append((tf.reshape(rows, [len(seen) * kernel.shape[-2], layer.filters]), bias))

    def rings(self, beyond: tf.Tensor) -> list[tf.Tensor]:
        """Values [8 * lanes] or features [8 * lanes, F] of the last steps, float64: those that the layers are given."""
        lanes = _RING * self.volume.lanes
        features = [tf.zeros(tf.stack([lanes, self.features]), tf.float64) for _ in range(3)]
        return [tf.fill(tf.stack([lanes, 1]), beyond), *(tf.ensure_shape(f, (None, self.features)) for f in features)]

    def _turn(self, step: tf.Tensor) -> tf.Tensor:
        """Where in the rings a step's lanes begin."""
        return step % _RING * self.volume.lanes

    def _applied(self, layer: int, step: tf.Tensor, ring: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Sums of a layer at places, [n, F] float64."""
        neighbours = self._turn(step - self.ages[layer]) + self.offsets[layer]
        known = tf.gather(ring, places[:, None] + neighbours)
        matrix, bias = self.matrices[layer]
        return tf.matmul(tf.reshape(known, tf.stack([tf.size(places), matrix.shape[0]])), matrix) + bias

    def hidden(self, step: tf.Tensor, rings: list[tf.Tensor]) -> list[tf.Tensor]:
        """The rings with what all layers but the last give in a step."""
        values, *features = rings
        given, now = values, self._turn(step)
        for layer in range(3):
            places = self.volume.places(step, REACH - 1 - layer)
            sums = self._applied(layer, step, given, places)
            if layer < 2:
                found = _rectified(sums)
            else:
                found = _sum(sums, tf.gather(features[0], now + places))
            features[layer] = tf.tensor_scatter_nd_update(features[layer], (now + places)[:, None], found)
            given = features[layer]
        return [values, *features]

    def logits(self, step: tf.Tensor, rings: list[tf.Tensor], places: tf.Tensor) -> tf.Tensor:
        """[n, L] float64, fixed-point, of a step's places."""
        return fixed_point.rescale(self._applied(3, step, rings[3], places))

    def put(
        self, step: tf.Tensor, rings: list[tf.Tensor], places: tf.Tensor, values: tf.Tensor, beyond: tf.Tensor
    ) -> list[tf.Tensor]:
        """The rings with a step's values [n], and what lies beyond the volume in all other lanes."""
        lanes = self.volume.lanes
        row = tf.tensor_scatter_nd_update(tf.fill([lanes], beyond), places[:, None], values)
        now = self._turn(step) + tf.range(lanes)
        return [tf.tensor_scatter_nd_update(rings[0], now[:, None], row[:, None]), *rings[1:]]


def _rectified(sums: tf.Tensor) -> tf.Tensor:
    return fixed_point.rescale(fixed_point.leaky(sums, 0.0))


def _sum(sums: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """What a layer adds to the values that it was given, clipped as all values are."""
    return fixed_point.clip(fixed_point.rescale(sums) + values)
