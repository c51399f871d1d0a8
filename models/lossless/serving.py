"""How a lossless hierarchy is served: tiles that know nothing of each other, each a string of its scales.

A tile is coded from the coarsest scale down: z3 under a uniform distribution, the others and the pixels under what the
exact networks say. Of values with three channels under sub-pixel terms each channel is a string of its own. Tiles bound
what a large picture takes; only its pixels are held whole. A grey tile is coded as one channel.
"""

import contextlib
import functools
import types

import numpy as np
import tensorflow as tf

from models.codecs.serving.server import PictureServer
from models.entropy.coder import joined
from models.entropy.coder.bit_fields import require
from models.entropy.coder.bounded_coder import BoundedCoder
from models.entropy.coder.rans import RansCoder
from models.entropy.densities.mixture_cdf import LOGISTIC, integer_tables
from models.entropy.densities.tables import CdfTables, tables_from_pmfs
from models.entropy.in_place import overwrite
from models.layers import integer
from models.layers.padding import pad_to_multiple
from models.publishing import export

TILE = 96  # side of a tile, in values of the coarsest scale: 768 pixels where that has an eighth of their side
SPLIT = 64  # alphabets from this size on are coded in two steps
_FORMAT = "lossless tiles, 1"
_ROUNDING = 0.8  # share of the coarsest scale's bits that its string has for sure


def signatures(model, config) -> PictureServer:
    """The module to save: `signatures` of a recipe of a hierarchy."""
    return PictureServer(HierarchyPayload(model, config), config.store, lossless=True)


def uniform_tables(size: int) -> CdfTables:
    """The table of an alphabet whose symbols are alike."""
    return tables_from_pmfs([np.full(size, 1.0 / size)], np.zeros(1, int), np.array([1e-9]))


def _is_split(size: int) -> bool:
    """Whether an alphabet is coded in two steps: a large one whose size is a power of four."""
    return size >= SPLIT and size == 4 ** (size.bit_length() // 2)


class HierarchyPayload(tf.Module):
    """A trained hierarchy and its coders, as `models.codecs.serving.server.Payload`; what it decodes are pixels."""

    section_count, variable, chooses = 1, False, False

    def __init__(self, model, config):
        super().__init__(name="payload")
        self.model, self.scale_count = model, len(model.parameters)
        self.stride = 2**self.scale_count
        self.measures = ("bpsp", "estimated_bpsp", *(f"estimated_bpsp_{n}" for n in range(self.scale_count + 1)))
        made = integer_tables(LOGISTIC) | uniform_tables(model.size).arrays("top")
        self.tables = types.MappingProxyType(model.tables or made)
        self.fingerprint, self.reads = export.fingerprint_of(_FORMAT, model, config, self.tables), model.reads
        self.top = RansCoder(CdfTables.of(self.tables, "top", 1))
        sizes = sorted({of.size for of in model.parameters})
        self.coders = {str(size): BoundedCoder(size, _is_split(size), self.tables) for size in sizes}
        graph = functools.partial(tf.function, autograph=False)
        pixels, side = tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([], tf.int32)
        self._encode_tile = graph(self.encode_tile, [pixels])
        self._decode_tile = graph(self.decode_tile, [tf.TensorSpec([], tf.string), side, side])
        self._estimate_tile = graph(self.estimate_tile, [pixels])
        # The weights as they are used, rounded once.
        self.weights = [
            tuple(tf.Variable(v, trainable=False) for v in layer.weights_used())
            for layer in integer.convolutions(model)
        ]
        # One trace of each coder and number of components, however many channels call it.
        self._traced = {}

    def encode(self, pixels: tf.Tensor, step: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """One section, and the pixels again; see `Payload`."""
        shape = tf.shape(pixels)
        count, at = self._tiles(shape[0], shape[1])

        def body(place, strings):
            top, left, bottom, right = at(place)
            return place + 1, strings.write(place, self._encode_tile(pixels[top:bottom, left:right]))

        strings = tf.TensorArray(tf.string, count, element_shape=[])
        _, strings = tf.while_loop(lambda place, _: place < count, body, (0, strings), parallel_iterations=1)
        return [joined.join(strings.stack())], pixels

    def decode(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The pixels, uint8 [height, width, 3], twice; see `Payload`."""
        height, width = self._believed(sections[0], height, width)
        count, at = self._tiles(height, width)
        strings = joined.split(sections[0], count)

        def body(place, whole):
            top, left, bottom, right = at(place)
            found = self._decode_tile(strings[place], bottom - top, right - left)
            return place + 1, overwrite(whole, [top, left], found)

        loop = (0, tf.zeros(tf.stack([height, width, 3]), tf.uint8))
        _, whole = tf.while_loop(lambda place, _: place < count, body, loop, parallel_iterations=1)
        whole = tf.ensure_shape(whole, (None, None, 3))
        return whole, whole

    def draw(self, decoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """The pixels; see `Payload`."""
        return decoded

    def measure(
        self, pixels: tf.Tensor, decoded: tf.Tensor, drawn: tf.Tensor, bpp: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """Bits per sub-pixel: of the stream; what the model expects in all, of the pixels and of each scale."""
        shape = tf.shape(pixels)
        count, at = self._tiles(shape[0], shape[1])

        def body(place, sums):
            top, left, bottom, right = at(place)
            return place + 1, sums + self._estimate_tile(pixels[top:bottom, left:right])

        loop = (0, tf.zeros([self.scale_count + 1]))
        _, sums = tf.while_loop(lambda place, _: place < count, body, loop, parallel_iterations=1)
        sums /= 3.0 * tf.cast(shape[0] * shape[1], tf.float32)
        return bpp / 3.0, tf.reduce_sum(sums), *tf.unstack(sums, num=self.scale_count + 1)

    def encode_tile(self, pixels: tf.Tensor) -> tf.Tensor:
        """The string of a tile, uint8 [h, w, 3]."""
        with self._exactly():
            shape, scales = tf.shape(pixels), self._scales(pixels)
            strings = [self.top.encode(tf.reshape(scales[-1], [-1]), tf.zeros([tf.size(scales[-1])], tf.int32))]
            above = None
            for scale in reversed(range(self.scale_count)):
                above, outputs = self._outputs(scale, scales[scale], above)
                if scale:
                    strings += self._encode_values(scale, outputs, scales[scale - 1])
                else:
                    # Of what was continued beyond the edge nothing is coded.
                    strings += self._encode_values(0, outputs[: shape[0], : shape[1]], tf.cast(pixels, tf.int32))
            return joined.join(tf.stack(strings))

    def decode_tile(self, string: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """The pixels, uint8 [height, width, 3], of a string of `encode_tile`.

        Raises:
          tf.errors.InvalidArgumentError: the string is damaged.
        """
        with self._exactly():
            counts = [self._string_count(scale) for scale in reversed(range(self.scale_count))]
            strings = tf.unstack(joined.split(string, 1 + sum(counts)), num=1 + sum(counts))
            sides = [-(-side // self.stride) for side in (height, width)]
            size = sides[0] * sides[1] * self.model.channels
            values = self.top.decode(strings.pop(0), tf.zeros([size], tf.int32))
            # A damaged string may hold what lies outside; the fingerprint of the pixels refuses it.
            values = tf.clip_by_value(values, 0, self.model.size - 1)
            values, above = tf.reshape(values, [*sides, self.model.channels]), None
            for scale in reversed(range(self.scale_count)):
                above, outputs = self._outputs(scale, values, above)
                if scale == 0:
                    outputs = outputs[:height, :width]
                values = self._decode_values(scale, outputs, [strings.pop(0) for _ in range(self._string_count(scale))])
            return tf.cast(values, tf.uint8)

    def estimate_tile(self, pixels: tf.Tensor) -> tf.Tensor:
        """Bits that the model expects of the pixels [h, w, 3] and of each scale, [scales + 1] float32."""
        with self._exactly():
            shape, scales = tf.shape(pixels), self._scales(pixels)
            given = [tf.cast(values, tf.float32)[None] for values in scales]
            padded = tf.cast(pad_to_multiple(pixels, self.stride), tf.float32)[None]
            pixel_bits, *others = self.model.bits_of(padded, given)
            top = tf.cast(tf.size(scales[-1]), tf.float32) * float(np.log2(self.model.size))
            sums = [pixel_bits[:, : shape[0], : shape[1]], *others]
            return tf.stack([*(tf.reduce_sum(bits) for bits in sums), top])

    def bit_maps(self, pixels: tf.Tensor) -> tf.Tensor:
        """Bits that the model expects of each pixel's three values, float32 [h, w], of a tile uint8 [h, w, 3]."""
        with self._exactly():
            given = [tf.cast(values, tf.float32)[None] for values in self._scales(pixels)]
            padded = tf.cast(pad_to_multiple(pixels, self.stride), tf.float32)[None]
            found = tf.reduce_sum(self.model.bits_of(padded, given)[0], -1)[0]
            return found[: tf.shape(pixels)[0], : tf.shape(pixels)[1]]

    @contextlib.contextmanager
    def _exactly(self):
        """On the processor, where sums are sums, and with weights that are rounded already."""
        with tf.device("CPU:0"), integer.fixed_weights(self.model, self.weights):
            yield

    def _scales(self, pixels: tf.Tensor) -> list[tf.Tensor]:
        """What is coded beside the pixels [h, w, 3], int32 [h', w', C] each, finest first."""
        padded = tf.cast(pad_to_multiple(pixels, self.stride), tf.float32)
        return [tf.cast(tf.round(values[0]), tf.int32) for values in self.model.scales(padded[None])]

    def _outputs(self, scale: int, values: tf.Tensor, above: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        """Features [1, h, w, F] and outputs [h, w, D] for a scale, of the values [h', w', C] of the one above."""
        values = tf.ensure_shape(tf.cast(values, tf.float32)[None], (1, None, None, self.model.channels))
        features, outputs = self.model.decode_scale(scale, values, above)
        return features, outputs[0]

    def _string_count(self, scale: int) -> int:
        of = self.model.parameters[scale]
        return of.channels if of.subpixel or scale == 0 else 1

    def _encode_values(self, scale: int, outputs: tf.Tensor, values: tf.Tensor) -> list[tf.Tensor]:
        """Strings of values int32 [h, w, C] under outputs [h, w, D]."""
        of, coder = self.model.parameters[scale], self._coder("encode", scale)
        outputs, columns = (
            tf.reshape(outputs, [-1, of.outputs]),
            tf.unstack(tf.reshape(values, [-1, of.channels]), axis=1),
        )
        if self._string_count(scale) == 1:
            mixtures = [of.integers(outputs, c, []) for c in range(of.channels)]
            return [coder(tf.concat(columns, 0), *(tf.concat(part, 1) for part in zip(*mixtures, strict=True)))]
        strings = [
            functools.partial(lambda c: coder(columns[c], *of.integers(outputs, c, columns[:c])), c)
            for c in range(of.channels)
        ]
        grey = tf.reduce_all([tf.reduce_all(tf.equal(columns[0], column)) for column in columns[1:]])
        if scale:
            grey = tf.constant(False)
        return [strings[0](), *(tf.cond(grey, lambda: tf.constant(b""), one) for one in strings[1:])]

    def _decode_values(self, scale: int, outputs: tf.Tensor, strings: list[tf.Tensor]) -> tf.Tensor:
        """Values int32 [h, w, C] of strings under outputs [h, w, D]."""
        of, coder = self.model.parameters[scale], self._coder("decode", scale)
        sides, outputs = tf.shape(outputs)[:2], tf.reshape(outputs, [-1, of.outputs])
        if len(strings) == 1:
            mixtures = [of.integers(outputs, c, []) for c in range(of.channels)]
            found = coder(strings[0], *(tf.concat(part, 1) for part in zip(*mixtures, strict=True)))
            columns = tf.unstack(tf.reshape(found, [of.channels, -1]))
        else:
            columns = []
            for c, string in enumerate(strings):
                decoded = functools.partial(coder, string, *of.integers(outputs, c, columns))
                if c == 0 or scale:
                    columns.append(decoded())
                else:  # an empty string: as the first channel
                    first = columns[0]
                    columns.append(tf.cond(tf.equal(string, b""), lambda first=first: first, decoded))
        return tf.reshape(tf.stack(columns, 1), tf.concat([sides, [of.channels]], 0))

    def _coder(self, name: str, scale: int):
        of = self.model.parameters[scale]
        key = f"{name} {of.size} {of.components}"
        if key not in self._traced:
            numbers = [tf.TensorSpec([of.components, None], tf.int64)] * 3
            given = tf.TensorSpec([None], tf.int32) if name == "encode" else tf.TensorSpec([], tf.string)
            function = getattr(self.coders[str(of.size)], name)
            self._traced[key] = tf.function(function, [given, *numbers], autograph=False)
        return self._traced[key]

    def _tiles(self, height: tf.Tensor, width: tf.Tensor):
        """How many tiles a picture has, and a function of their number: top, left, bottom, right in pixels."""
        sides = [-(-side // self.stride) for side in (height, width)]
        counts = [-(-side // TILE) for side in sides]
        each = [-(-side // count) for side, count in zip(sides, counts, strict=True)]  # tiles of about the same size
        across = -(-sides[1] // each[1])

        def at(place):
            top, left = place // across * each[0] * self.stride, place % across * each[1] * self.stride
            return (
                top,
                left,
                tf.minimum(top + each[0] * self.stride, height),
                tf.minimum(left + each[1] * self.stride, width),
            )

        return -(-sides[0] // each[0]) * across, at

    def _believed(self, section: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Height and width again, unless the coarsest scale of a picture of that size cannot fit into the section.

        Raises:
          tf.errors.InvalidArgumentError: it is too short.
        """
        cells = tf.cast(height, tf.float64) * tf.cast(width, tf.float64) / self.stride**2 * self.model.channels
        enough = cells * (_ROUNDING * float(np.log2(self.model.size)) / 8.0) <= tf.cast(
            tf.strings.length(section), tf.float64
        )
        with tf.control_dependencies([require(enough, "damaged stream: it is too short for a picture of its size")]):
            return tf.identity(height), tf.identity(width)
