"""How `causal_mixture` is served: the encoder in parallel, the decoder along wavefronts, both in the same integers.

    pixels --what is known--> network in fixed point --> means, levels, logits --> intervals --> a stream a strip

`models.lossless.wavefront` has the order, `lane_coder` the coder, `level_cdf` the distributions.
"""

import types

import numpy as np
import tensorflow as tf

from models.codecs.serving.server import PictureServer
from models.entropy.coder import joined
from models.entropy.coder.bit_fields import require
from models.entropy.coder.rans_stream import DAMAGED, join_chunks
from models.entropy.densities import mixture_cdf
from models.entropy.in_place import overwrite
from models.entropy.lanes import const, shift_left, shift_right
from models.lossless import causal_adaptation, lane_coder, level_cdf, wavefront
from models.lossless import causal_features as features
from models.lossless.causal_exact import ExactNetwork, Weights, own_size
from models.lossless.causal_network import CHANNELS, picture_bits
from models.lossless.wavefront import Strip
from models.publishing import export

_FORMAT = "causal mixture 1"
_COLUMNS = 1024  # of a band that the encoder works on at once
_HALO = 8  # columns around them: what is known of a pixel depends on these
_LOGS = "causal.logarithms"
# Levels of `MixtureCdf` are 4 * 63 steps from 0.04 to 128: of 2^-12 octaves, with 2^-20 of a level.
_LEVELS_AN_OCTAVE, _FIRST_OCTAVE = 5540, -19021  # round(2^20 * 252 / log2(3200) / 2^12), round(2^12 * log2(0.04))
_FARTHEST = 1 << 22  # of means, 2^-8 levels


def signatures(model, config) -> PictureServer:
    """The module to save: `signatures` of the recipe."""
    return PictureServer(CausalPayload(model, config), config.store, lossless=True)


class CausalPayload(tf.Module):
    """A trained model and its coder, as `models.codecs.serving.server.Payload`; the decoded values are the pixels."""

    measures = ("bpsp", "estimated_bpsp")
    variable, chooses = False, True
    section_count = 2

    def __init__(self, model, config):
        super().__init__(name="payload")
        self.model, self.network = model, ExactNetwork(model.network)
        tables = model.tables or {
            **mixture_cdf.integer_tables(mixture_cdf.LOGISTIC),
            _LOGS: features.logarithms().astype(np.int64),
        }
        self.tables = types.MappingProxyType(tables)
        self.mixtures = mixture_cdf.MixtureCdf(self.tables, mixture_cdf.LOGISTIC)
        self.fingerprint, self.reads = export.fingerprint_of(_FORMAT, model, config, self.tables), model.reads
        with tf.init_scope():
            self.logarithms = tf.Variable(self.tables[_LOGS].astype(np.int32), trainable=False, name="logarithms")

    def encode(
        self, pixels: tf.Tensor, step: tf.Tensor, passes: tf.Tensor | None = None
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Sections of pixels uint8 [H, W, 3], and the pixels; see `Payload`. With passes, weights are adapted first."""
        colour, size = tf.reduce_any(pixels != pixels[..., 1:2]), own_size(self.model.network)
        sections = self._sections(pixels, colour, tf.zeros([size], tf.int64), causal_adaptation.write(colour))
        if passes is None:
            return sections, pixels

        def adapted():
            own = causal_adaptation.search(self.model.network, pixels, passes, self.logarithms.read_value())
            found = self._sections(pixels, colour, own, causal_adaptation.write(colour, own))
            shorter = tf.reduce_sum(tf.strings.length(found)) < tf.reduce_sum(tf.strings.length(sections))
            return tf.cond(shorter, lambda: tf.stack(found), lambda: tf.stack(sections))

        return tf.unstack(tf.cond(passes > 0, adapted, lambda: tf.stack(sections)), num=2), pixels

    def _sections(self, pixels, colour, own: tf.Tensor, head: tf.Tensor) -> list[tf.Tensor]:
        weights = self.network.weights(own)

        def strip(begin, end, state):
            return self._encode_strip(pixels[begin:end], weights, colour), state

        return [head, join_chunks(strip, tf.shape(pixels)[0], wavefront.strip_rows(tf.shape(pixels)[1]))[0]]

    def _encode_strip(self, pixels: tf.Tensor, weights: Weights, colour: tf.Tensor) -> tf.Tensor:
        strip = wavefront.strip_of(*tf.unstack(tf.shape(pixels)[:2]))
        padded = tf.pad(pixels, [[0, strip.lanes - strip.height], [0, 0], [0, 0]])
        bands = tf.reshape(padded, tf.stack([strip.bands, strip.rows, strip.width, 3]))
        across = -(-strip.width // _COLUMNS)

        def part(place, both):
            band, left = place // across, _COLUMNS * (place % across)
            found = self._intervals(bands[band], left, weights, colour)
            begin = [band * strip.rows, left]
            return place + 1, overwrite(both, begin, found)

        both = tf.zeros(tf.stack([strip.lanes, strip.width, 6]), tf.int32)
        both = tf.while_loop(lambda place, _: place < strip.bands * across, part, (0, both), parallel_iterations=1)[1]
        exists = tf.range(strip.lanes) < strip.height
        nothing = tf.constant([lane_coder.WHOLE] * 3 + [0] * 3)
        both = tf.where(exists[:, None, None], both, nothing) - nothing
        rows = tf.reshape(
            tf.transpose(strip.skew(both, 0) + nothing, [0, 2, 1]), tf.stack([strip.steps, 2, 3, strip.lanes])
        )
        frequencies, starts = (tf.reshape(rows[:, n], tf.stack([3 * strip.steps, strip.lanes])) for n in range(2))
        tail = self._tail(strip, frequencies)
        return lane_coder.encode(frequencies, starts, strip.ended(strip.steps - tail), 3 * tail)

    def _tail(self, strip: Strip, frequencies: tf.Tensor) -> tf.Tensor:
        """How many of the last steps best give the other lanes their first words, int32 scalar; any would decode."""
        bits = tf.reduce_sum(lane_coder.PRECISION - tf.math.log(tf.cast(frequencies, tf.float32)) / np.log(2.0), 1)
        bits = tf.cumsum(tf.reduce_sum(tf.reshape(bits, [-1, 3]), 1), reverse=True)  # from each step on
        last = wavefront.REACH * strip.row_in_band() + strip.width  # the step that each lane has ended at
        last = tf.where(tf.range(strip.lanes) < strip.height, last, 0)
        ended = tf.searchsorted(tf.sort(last), tf.range(strip.steps), side="right")
        words = (bits - 16.0 * tf.cast(strip.lanes - ended, tf.float32)) / 32.0
        handed = tf.reverse(tf.minimum(tf.cast(ended, tf.float32), words), [0])
        return tf.argmax(tf.floor(handed), output_type=tf.int32) + 1

    def _intervals(self, band: tf.Tensor, left: tf.Tensor, weights: Weights, colour: tf.Tensor) -> tf.Tensor:
        """Frequencies and starts of some columns of a band uint8 [rows, W, 3]: int32 [rows, columns, 6]."""
        width = tf.shape(band)[1]
        right = tf.minimum(left + _COLUMNS, width)
        first, last = tf.maximum(left - _HALO, 0), tf.minimum(right + _HALO, width)
        seen = tf.cast(band[None, :, first:last], tf.float32)
        planes = features.planes_of(seen)
        known = features.known_of(planes, self.logarithms.read_value())
        inner = slice(left - first, right - first)
        known = features.Known(*(tf.reshape(v[0, :, inner], [-1, v.shape[-1]]) for v in known))
        planes = tf.reshape(planes[0, :, inner], [-1, 3])
        levels = tf.cast(tf.reshape(seen[0, :, inner], [-1, 3]), tf.int64)
        trunk, shift = self.network.trunk(weights, known.features)
        found = []
        for plane, channel in enumerate(CHANNELS):
            of = self._fields(weights, plane, trunk, shift, planes, known, levels[:, 1])
            found.append(level_cdf.intervals(self.mixtures, of, levels[:, channel]))
            if plane:  # of a grey picture one plane is coded
                frequencies, starts = found[-1]
                found[-1] = tf.where(colour, frequencies, lane_coder.WHOLE), tf.where(colour, starts, 0)
        both = tf.stack([*(f for f, _ in found), *(s for _, s in found)], -1)
        return tf.cast(tf.reshape(both, tf.stack([tf.shape(band)[0], right - left, 6])), tf.int32)

    def _fields(
        self, weights: Weights, plane: int, trunk, shift, planes, known: features.Known, green
    ) -> level_cdf.Fields:
        """A plane's distributions over levels, given the planes before, [N, n], and green, int64 [N]."""
        beside = features.beside_plane(planes, known, plane)
        means, logs, logits = self.network.plane(weights, plane, trunk, shift, beside)
        numbers = (known.prediction, known.scale, known.log_scale)
        prediction, scale, octaves = (tf.cast(values[:, plane], tf.int64) for values in numbers)
        # Of 2^-3 levels a scale, 2^-12 of it a mean: 2^-15, in 2^-8 levels.
        means = shift_left(prediction, const(5)) + shift_right(scale * means, const(7))
        means = tf.clip_by_value(means, -_FARTHEST, _FARTHEST)
        if plane:
            means += shift_left(green, const(8))
        octaves = shift_left(octaves, const(6)) - (features.PREDICTION_BITS << 12) - _FIRST_OCTAVE
        levels = shift_right((logs + octaves) * _LEVELS_AN_OCTAVE + (1 << 19), const(20))
        return level_cdf.fields(self.mixtures, means, levels, shift_right(logits, const(4)))

    def decode(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The pixels, twice, see `Payload`."""
        colour, own = causal_adaptation.read(sections[0], own_size(self.model.network))
        weights = self.network.weights(own)
        count = -(-height // wavefront.strip_rows(width))
        strings = joined.split(sections[1], count)
        each = -(-height // count)

        def part(place, whole):
            rows = tf.minimum(each, height - place * each)
            pixels = self._decode_strip(strings[place], wavefront.strip_of(rows, width), weights, colour)
            return place + 1, overwrite(whole, [place * each], pixels)

        # Sides that lie are seen before memory and time are taken for them: a row is a lane.
        bits = 8 * tf.cast(tf.strings.length(sections[1]), tf.int64)
        enough = bits >= lane_coder.least_bits(tf.cast(height, tf.int64))
        with tf.control_dependencies([own, require(enough, DAMAGED + "it is too short for its picture")]):
            whole = tf.zeros(tf.stack([height, width, 3]), tf.uint8)
        whole = tf.while_loop(lambda place, _: place < count, part, (0, whole), parallel_iterations=1)[1]
        return whole, whole

    def _decode_strip(self, stream: tf.Tensor, strip: Strip, weights: Weights, colour: tf.Tensor) -> tf.Tensor:
        """uint8 [rows, W, 3] of a strip's stream."""
        opened = lane_coder.open_stream(stream, 3 * strip.steps, strip.lanes)
        begin = strip.steps - tf.cast(opened.tail, tf.int32) // 3
        reader = lane_coder.begin(opened)
        history = tf.zeros(tf.stack([_DEPTH, strip.lanes, 7]), tf.float32)
        pixels = tf.TensorArray(tf.uint8, strip.steps, element_shape=[None, 3])
        around = _Around.of(strip)

        def one(step, history, reader, pixels):
            history, reader, levels = self._step(strip, around, weights, colour, step, history, reader)
            return step + 1, history, reader, pixels.write(step, tf.cast(levels, tf.uint8))

        def stretch(end, loop):
            def more(step, history, reader, *_):
                return (step < end) & lane_coder.sound(reader)

            return tf.while_loop(more, one, loop, parallel_iterations=1)

        step, history, reader, pixels = stretch(begin, (0, history, reader, pixels))
        reader = lane_coder.hand_over(reader, opened, strip.ended(begin))
        _, _, reader, pixels = stretch(strip.steps, (step, history, reader, pixels))
        with tf.control_dependencies([lane_coder.check_end(reader)]):
            return strip.unskew(pixels.stack())[: strip.height]

    def _step(self, strip: Strip, around: "_Around", weights, colour, step, history, reader):
        """Decodes the positions of a step: (history, reader, levels int64 [lanes, 3])."""
        column = strip.column(step)
        valid = (column >= 0) & (column < strip.width)
        taps, exists, errors = around.look(history)
        prediction = features.predict(taps[:, : len(features.NEAR)], exists[:, : len(features.NEAR)])
        known = features.describe(taps, exists, errors, prediction, self.logarithms.read_value())
        trunk, shift = self.network.trunk(weights, known.features)
        levels, planes = [], tf.zeros([strip.lanes, 0])
        for plane in range(3):
            green = levels[0] if plane else None
            of = self._fields(weights, plane, trunk, shift, planes, known, green)
            coded = valid & colour if plane else valid
            found, states = level_cdf.search(self.mixtures, of, reader.states)
            reader = lane_coder.advance(reader, tf.where(coded, states, reader.states))
            levels.append(tf.where(coded, found, green if plane else 0))
            value = levels[-1] - green if plane else found
            planes = tf.concat([planes, tf.cast(value, tf.float32)[:, None]], 1)
        error = 2.0**features.PREDICTION_BITS * planes - prediction.value
        here = tf.cast(valid, tf.float32)[:, None]
        newest = tf.concat([planes * here, error * here, here], 1)
        history = tf.concat([newest[None], history[:-1]], 0)
        return history, reader, tf.stack([levels[plane] for plane in CHANNELS], 1)

    def draw(self, decoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """The pixels, see `Payload`."""
        return decoded

    def measure(self, pixels, decoded, drawn, bpp, step) -> tuple[tf.Tensor, tf.Tensor]:
        """Bits per sub-pixel: of the stream, and what the model's floats expect of the picture cut into tiles."""
        height, width = tf.unstack(tf.shape(pixels)[:2])
        across = -(-width // _COLUMNS)

        def part(place, bits):
            top, left = wavefront.BAND * (place // across), _COLUMNS * (place % across)
            tile = tf.cast(pixels[None, top : top + wavefront.BAND, left : left + _COLUMNS], tf.float32)
            return place + 1, bits + tf.reduce_sum(self.model(tile / 255.0)["bits"])

        count = -(-height // wavefront.BAND) * across
        loop = (0, tf.constant(0.0))
        bits = tf.while_loop(lambda place, _: place < count, part, loop, parallel_iterations=1)[1]
        return bpp / 3.0, bits / tf.cast(3 * height * width, tf.float32)

    def bit_maps(self, pixels: tf.Tensor) -> tf.Tensor:
        """Bits that the model's floats expect of each pixel's three values, float32 [h, w], of uint8 [h, w, 3]."""
        table = tf.constant(self.tables[_LOGS].astype(np.int32))
        bits = picture_bits(tf.cast(pixels, tf.float32)[None], self.model.network, table)
        return tf.reshape(bits, tf.shape(pixels)[:2])


_AGES = [-(column + wavefront.REACH * row) for row, column in features.TAPS]
_DEPTH = max(_AGES)


class _Around:
    """Where in the history of a strip the pixels around the current ones lie."""

    def __init__(self, places: tf.Tensor, inside: tf.Tensor):
        self.places, self.inside = places, inside

    @classmethod
    def of(cls, strip: Strip) -> "_Around":
        """For all lanes of a strip."""
        rows = tf.constant([row for row, _ in features.TAPS])
        inside = strip.row_in_band()[:, None] + rows >= 0
        lanes = tf.maximum(tf.range(strip.lanes)[:, None] + rows, 0)
        places = (tf.constant(_AGES) - 1) * strip.lanes + lanes
        return cls(places, tf.cast(inside, tf.float32)[..., None])

    def look(self, history: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(pixels [lanes, 24, 3], whether there is one [lanes, 24, 1], errors [lanes, 6, 3], zero where not)."""
        found = tf.gather(tf.reshape(history, [-1, 7]), self.places)
        exists = found[..., 6:] * self.inside
        return found[..., :3], exists, found[:, : features.ERRORS, 3:6] * exists[:, : features.ERRORS]
