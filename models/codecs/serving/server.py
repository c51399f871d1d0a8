"""A picture server: files, streams and fingerprints around whatever turns pixels into the sections of a stream.

    picture file --pixels, flags, alpha plane--> payload codec --sections--> container, and back

A stream is `models.entropy.coder.container`'s: the payload's sections and, if the picture has one, the alpha plane as a
PNG (kept without loss). Where a PNG of the whole picture is hardly larger, the stream holds that (`stored`).
`compress`, `decompress` and `serving_default` are of stock TensorFlow ops.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from models.codecs import distortion
from models.codecs.serving import picture_files as pictures
from models.codecs.serving import stored
from models.entropy.coder import container
from models.entropy.coder.bit_fields import require
from models.records import pictures as picture_records

STEP_UNIT, LAST_STEP = 4, 63  # the quality, in steps, fills the flags above those of `picture_files`
DEFAULT_STEP = 32  # quality 50
MOST_PASSES = 100


class Payload(Protocol):
    """A codec of pixels; a tf.Module, so that what it holds is saved. Strides, tiles and halos are its own affair.

    Attributes:
      fingerprint: tells apart codecs whose streams do not fit together; streams of the fingerprints `reads` fit too.
      tables: integers by name that are to be kept with the model, or nothing.
      section_count: sections of a stream.
      variable: whether a quality can be chosen; chooses: whether `encode` takes passes of a search for a better stream.
      measures: names of what `measure` gives.
    """

    fingerprint: int
    reads: Sequence[int]
    tables: Mapping[str, np.ndarray]
    section_count: int
    variable: bool
    chooses: bool
    measures: tuple[str, ...]

    def encode(
        self, pixels: tf.Tensor, step: tf.Tensor, passes: tf.Tensor | None = None
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Codes pixels uint8 [H, W, 3].

        Args:
          step: int32 scalar, 0 to LAST_STEP, the quality; of no meaning unless it is `variable`.
          passes: int32 scalar, 0 to MOST_PASSES, if it `chooses`.

        Returns:
          (sections, string scalars; the values that are decoded from them, float32 or integers of 32 bits at most,
          [..., depth]).
        """

    def decode(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decodes a picture of that size, int32 scalars.

        Returns:
          (what `draw` takes; the decoded values, of the shape and the bits that `encode` gave, on every machine).

        Raises:
          tf.errors.InvalidArgumentError: the sections are damaged; before memory is taken for what they promise.
        """

    def draw(self, decoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """uint8 pixels [height, width, 3]; here machines may round as they like."""

    def measure(
        self, pixels: tf.Tensor, decoded: tf.Tensor, drawn: tf.Tensor, bpp: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """More numbers of a coded picture, float32 scalars.

        Args:
          pixels: the original. decoded, drawn: what `decode` and `draw` give. bpp: bits a pixel of its stream, float32.
        """


class PictureServer(tf.Module):
    """Holds a payload codec and the served functions in `functions`.

    With `store`, pictures of which a PNG is hardly larger than the payload's stream are coded as that; `most` says how
    much larger, as `stored.MOST`. A `lossless`
    payload decodes the very pixels: then only a smaller PNG is taken, and any of 16 bits as it came, stored or not.
    """

    def __init__(self, payload: Payload, store: bool = False, lossless: bool = False, most=stored.MOST):
        super().__init__(name="codec")
        self.payload, self.variable, self.store, self.lossless, self.most = (
            payload,
            payload.variable,
            store,
            lossless,
            most,
        )
        self.fingerprint, self.reads, self.tables = payload.fingerprint, payload.reads, payload.tables
        # One trace of each, whichever signature calls it; nothing here needs AutoGraph, which is slow to trace.
        graph = functools.partial(tf.function, autograph=False)
        # Nothing large is an argument: who calls a function holds its arguments until it is done.
        scalar, number = tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)
        self._code = graph(self.code_picture, [scalar, number])
        self._write = graph(self.write_stream, [scalar, number]) if store or lossless else self._code
        self._read = graph(self.read_payload, [scalar])
        self.functions = {
            "compress": graph(self.compress, [tf.TensorSpec([None], tf.string, "image_bytes")]),
            "decompress": graph(self.decompress, [tf.TensorSpec([None], tf.string, "bitstream_bytes")]),
            "serving_default": graph(self.evaluate, [tf.TensorSpec([None], tf.string, "examples")]),
        }
        images, quality, passes = (
            tf.TensorSpec([None], dtype, name)
            for name, dtype in (("image_bytes", tf.string), ("quality", tf.int32), ("passes", tf.int32))
        )
        if self.variable:
            self.functions["compress_at"] = graph(self.compress_at, [images, quality])
        if payload.chooses:
            # A trace of its own: the search's gradients would take memory from who does not ask for them.
            self._code_refined = graph(self.code_picture, [scalar, number, number])
            writes = store or lossless
            self._write_refined = graph(self.write_stream, [scalar, number, number]) if writes else self._code_refined
            wanted = [images, passes, *([quality] if self.variable else [])]
            self.functions["compress_refined"] = graph(self.compress_refined, wanted)

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the numbers of `serving_default`."""
        return "bpp", "psnr_db", "ms_ssim", *self.payload.measures

    def write_stream(self, encoded: tf.Tensor, step: tf.Tensor, passes: tf.Tensor | None = None) -> tf.Tensor:
        """As `code_picture`, or the picture as it is where that is hardly larger (of a lossless codec: smaller)."""

        def code():
            return self._code(encoded, step) if passes is None else self._code_refined(encoded, step, passes)

        if self.lossless:
            return stored.whole(encoded, code, self.store)
        return stored.instead(encoded, code(), tf.cast(step, tf.float32) / LAST_STEP, self.most)

    def code_picture(self, encoded: tf.Tensor, step: tf.Tensor, passes: tf.Tensor | None = None) -> tf.Tensor:
        """Codes one picture by the payload.

        Args:
          encoded: string scalar (PNG, JPEG, BMP). step, passes: as of `Payload.encode`.

        Returns:
          string scalar.

        Raises:
          tf.errors.InvalidArgumentError: the picture is damaged, or has more than `header.MAX_PIXELS`, or more than the
            payload takes.
        """
        pixels, flags, plane = pictures.read_picture(encoded)
        shape = tf.shape(pixels)
        if self.variable:
            flags += STEP_UNIT * step
        sections, decoded = self.payload.encode(pixels, step, *([] if passes is None else [passes]))
        of_picture = fingerprint(decoded, numbers_beside(shape[0], shape[1], flags, plane))
        of_model = tf.constant(self.fingerprint, tf.int64)
        return container.pack(shape[0], shape[1], flags, of_picture, of_model, [*sections, plane])

    def read_stream(self, stream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Decodes one stream to (pixels uint8 [H, W, 3], flags, alpha plane).

        Raises:
          tf.errors.InvalidArgumentError: see `read_payload`.
        """
        decoded, sides, flags, plane = self._read(stream)
        return self.draw(decoded, sides, flags), flags % STEP_UNIT if self.variable else flags, plane

    def draw(self, decoded: tf.Tensor, sides: tuple[tf.Tensor, tf.Tensor], flags: tf.Tensor) -> tf.Tensor:
        """uint8 pixels [H, W, 3] of what `read_payload` gives, over it if nothing else holds it."""
        return self.payload.draw(decoded, *sides, flags // STEP_UNIT)

    def read_payload(self, stream: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor], tf.Tensor, tf.Tensor]:
        """Decodes one stream to (what the picture is drawn from, (height, width) in pixels, flags, alpha plane).

        Raises:
          tf.errors.InvalidArgumentError: not a stream, another model's, damaged, or this machine's arithmetic gives
            something else than the writer's.
        """
        known = tf.constant([self.fingerprint, *self.reads], tf.int64)
        header, sections = container.unpack(stream, known, self.payload.section_count + 1)
        sides = tf.cast(header.height, tf.int32), tf.cast(header.width, tf.int32)
        flags = tf.cast(header.flags, tf.int32)
        decoded, values = self.payload.decode(sections[:-1], *sides)
        beside = numbers_beside(*sides, flags, sections[-1])
        found = tf.cond(header.version == 1, lambda: fingerprint_1(values, beside), lambda: fingerprint(values, beside))
        same = tf.debugging.Assert(
            found == header.latents_fingerprint,
            ["the decoded latents differ from those written: damage, or this machine computes differently; no picture"],
        )
        with tf.control_dependencies([same]):
            return tf.identity(decoded), sides, flags, sections[-1]

    def compress(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """image_bytes string [B] (PNG, JPEG, BMP) -> {"bitstream_bytes": string [B]}."""

        return {"bitstream_bytes": each(lambda encoded: self._write(encoded, DEFAULT_STEP), image_bytes)}

    def compress_at(self, image_bytes: tf.Tensor, quality: tf.Tensor) -> dict[str, tf.Tensor]:
        """`compress` at a quality of its own for each picture: int32 [B], 0 (small files) to 100.

        Raises:
          tf.errors.InvalidArgumentError: a quality lies outside.
        """
        pairs = image_bytes, steps_of(quality)
        return {"bitstream_bytes": each(lambda pair: self._write(*pair), pairs)}

    def compress_refined(
        self, image_bytes: tf.Tensor, passes: tf.Tensor, quality: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """`compress` or `compress_at` with a search for a better stream: int32 [B] passes of it, 0 to MOST_PASSES.

        Raises:
          tf.errors.InvalidArgumentError: a quality or a number of passes lies outside.
        """
        steps = tf.fill(tf.shape(passes), DEFAULT_STEP) if quality is None else steps_of(quality)
        inside = tf.reduce_all((passes >= 0) & (passes <= MOST_PASSES))
        with tf.control_dependencies([require(inside, f"passes must be 0 to {MOST_PASSES}, not", passes)]):
            passes = tf.identity(passes)

        wanted = image_bytes, steps, passes
        return {"bitstream_bytes": each(lambda one: self._write_refined(*one), wanted)}

    def decompress(self, bitstream_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """bitstream_bytes string [B] -> {"image_bytes": string [B]}, PNG."""

        def one(stream):
            coded = functools.partial(lambda s: pictures.write_picture(*self.read_stream(s)), stream)
            return tf.cond(stored.is_stored(stream), functools.partial(stored.read, stream), coded)

        return {"image_bytes": each(one, bitstream_bytes)}

    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Really codes and decodes pictures: serialised records, string [B] -> numbers, each float32 [B, 1].

        bpp counts all bits of the stream; beside it "psnr_db", "ms_ssim" and what the payload measures. It is the
        payload that is measured, whatever a PNG would take. A codec of variable quality is measured at `DEFAULT_STEP`.
        """
        encoded = picture_records.parse(examples)[picture_records.ENCODED]
        names = self.measures
        spec = tf.TensorSpec([len(names)], tf.float32)
        numbers = tf.map_fn(
            lambda e: tf.stack(self._measure(e)), encoded, fn_output_signature=spec, parallel_iterations=1
        )
        return {name: numbers[:, i : i + 1] for i, name in enumerate(names)}

    def _measure(self, encoded: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return self.measure(*self.compared(encoded))

    def compared(self, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Really codes and decodes one picture file, string scalar.

        Returns:
          (pixels of the original, uint8 [H, W, 3]; what `Payload.decode` gives; what is drawn from it, of the shape of
          the pixels; bits a pixel of the stream, float32 scalar).
        """
        stream, (pixels, _, _) = self._code(encoded, DEFAULT_STEP), pictures.read_picture(encoded)
        decoded, sides, flags, _ = self._read(stream)
        area = tf.cast(tf.shape(pixels)[0] * tf.shape(pixels)[1], tf.float32)
        bpp = 8.0 * tf.cast(tf.strings.length(stream), tf.float32) / area
        return pixels, decoded, self.draw(decoded, sides, flags), bpp

    def measure(self, pixels: tf.Tensor, decoded: tf.Tensor, drawn: tf.Tensor, bpp: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The numbers of `measures` of what `compared` gives, float32 scalars."""
        psnr, similarity = distortion.psnr_db(pixels[None], drawn[None]), distortion.ms_ssim(pixels[None], drawn[None])
        more = self.payload.measure(pixels, decoded, drawn, bpp, tf.constant(DEFAULT_STEP))
        return bpp, psnr[0], similarity[0], *more


def steps_of(quality: tf.Tensor) -> tf.Tensor:
    """Qualities int32 [B], 0 to 100, in steps up to LAST_STEP. Raises InvalidArgumentError: one lies outside."""
    inside = tf.reduce_all((quality >= 0) & (quality <= 100))
    with tf.control_dependencies([require(inside, "a quality must be 0 to 100, not", quality)]):
        return (quality * LAST_STEP + 50) // 100


def numbers_beside(height: tf.Tensor, width: tf.Tensor, flags: tf.Tensor, plane: tf.Tensor) -> tf.Tensor:
    """What the fingerprint of a picture follows beside the decoded values, int32 [4].

    Args:
      height, width, flags: int32 scalars. plane: string scalar, the alpha plane's bytes.
    """
    return tf.stack([height, width, flags, tf.bitcast(tf.cast(container.fingerprint(plane), tf.uint32), tf.int32)])


def fingerprint(values: tf.Tensor, beside: tf.Tensor) -> tf.Tensor:
    """A number below 2^32, int64 scalar, of all bits of what was decoded and of what goes with it.

    It follows the fingerprints of the single rows: a whole picture's values then need not be copied.

    Args:
      values: float32 or integers of 32 bits at most, [..., depth]. beside: of `numbers_beside`.
    """
    rows = tf.fingerprint(_integers(tf.reshape(values, [-1, tf.shape(values)[-1]])))
    return _first(tf.concat([tf.reshape(rows, [-1]), tf.reshape(tf.bitcast(beside, tf.uint8), [-1])], 0))


def fingerprint_1(values: tf.Tensor, beside: tf.Tensor) -> tf.Tensor:
    """`fingerprint` as streams of version 1 have it, over everything in one piece."""
    return _first(tf.concat([_integers(tf.reshape(values, [-1])), beside], 0))


def _integers(values: tf.Tensor) -> tf.Tensor:
    return tf.bitcast(values, tf.int32) if values.dtype == tf.float32 else tf.cast(values, tf.int32)


def _first(numbers: tf.Tensor) -> tf.Tensor:
    """The first four bytes of the fingerprint of [n], int64 scalar."""
    return tf.cast(tf.bitcast(tf.fingerprint(numbers[None])[0, :4], tf.uint32), tf.int64)


def each(function: Callable, values) -> tf.Tensor:
    """Strings [B] that a function makes of each element, one after the other: memory is that of one picture.

    `tf.map_fn` copies all elements in and all results out. Here the only picture of a request is not copied.

    Args:
      function: (element of each of `values`) -> string scalar.
      values: tensor [B], or a tuple of these.
    """
    count = tf.shape(tf.nest.flatten(values)[0])[0]

    def body(place, _, written):
        last = function(tf.nest.map_structure(lambda v: v[place], values))
        return place + 1, last, written.write(place, last)

    written = tf.TensorArray(tf.string, count, element_shape=[])
    loop = (0, tf.constant(b""), written)
    _, last, written = tf.while_loop(lambda place, *_: place < count, body, loop, parallel_iterations=1)
    return tf.cond(tf.equal(count, 1), lambda: last[None], written.stack)
