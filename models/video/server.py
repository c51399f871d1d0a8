"""Groups of pictures as they are served: frames to one stream and back, each group by itself.

A stream is `models.entropy.coder.container`'s, of three sections: the number of frames and samples of the last decoded
one; the first frame, an image codec's; the strings of all others. Its fingerprint is of all latents, which are the same
on every machine. Decoded frames may differ by roundings; a reader whose last frame is too far from the samples of the
writer's gives none. `compress`, `decompress` and `serving_default` are of stock TensorFlow ops, a loop over frames.
"""

import functools
import types

import numpy as np
import tensorflow as tf

from models.codecs import chosen, distortion
from models.codecs.serving import server
from models.codecs.serving.server import DEFAULT_STEP, LAST_STEP, STEP_UNIT
from models.entropy.coder import bit_fields, container, joined
from models.entropy.coder.bit_fields import require
from models.layers.padding import pad_to_multiple
from models.publishing import export
from models.records import clips
from models.video.frames import FrameCoder, combined
from models.video.options import MOST_FRAMES
from models.video.video import STRIDE

SAMPLES = 32  # values of the last frame that a stream holds
MOST_DRIFT = 1.0  # levels of 255, the mean distance from the samples at which a reader gives up
_FORMAT = "groups of clips: 1"
_PLACES = np.mod((np.arange(SAMPLES)[:, None] + 0.5) * (0.7548776662, 0.5698402910), 1.0)  # spread over the frame
_NAMES = ("bpp", "psnr_db", "ms_ssim", "estimated_bpp", "rd_cost", "intra_bpp", "motion_bpp", "residual_bpp")


def signatures(model, config) -> "VideoServer":
    """The module to save: `signatures` of a recipe."""
    return VideoServer(model, config)


class VideoServer(tf.Module):
    """Holds the image codec's payload, the coder of the other frames and the served functions in `functions`."""

    def __init__(self, model, config):
        super().__init__(name="video")
        recipe, of_intra = chosen.of_about("intra", config.intra_about)
        self.model, self.frames, self.most = model, FrameCoder(model, config), config.group
        self.intra = recipe.signatures(model.intra, of_intra).payload
        tables = {f"intra {name}": values for name, values in self.intra.tables.items()} | self.frames.tables
        self.tables, self.reads = types.MappingProxyType(tables), model.reads
        self.fingerprint = export.fingerprint_of(_FORMAT, model, config, tables)
        # Steps of the image codec's quality by those of the clip's.
        rates = np.arange(LAST_STEP + 1) * ((config.rates - 1) / LAST_STEP)
        own = np.array(model.intra_rate(rates.astype(np.float32))) / max(of_intra.rates - 1, 1)
        self._intra_steps = np.rint(own * LAST_STEP).astype(np.int32)
        graph = functools.partial(tf.function, autograph=False)
        group, step = tf.TensorSpec([None, None, None, 3], tf.uint8, "frames"), tf.TensorSpec([], tf.int32)
        stream, quality = (tf.TensorSpec([None], tf.string, "bitstream_bytes"),
                           tf.TensorSpec([None], tf.int32, "quality"))  # fmt: skip
        # One trace of each, whoever calls it.
        self._code_first = graph(lambda frame, step: self.intra.encode(frame, step)[0],
                                 [tf.TensorSpec([None, None, 3], tf.uint8), step])  # fmt: skip
        self._draw_first = graph(self.draw_first, [tf.TensorSpec([self.intra.section_count], tf.string), *[step] * 3])
        self._write = graph(lambda frames, step: self.write(frames, step)[0], [group, step])
        self._measure = graph(functools.partial(self.write, measured=True), [group, step])
        self._read = graph(self.read, [tf.TensorSpec([], tf.string)])
        self.functions = {
            "compress": graph(self.compress, [group]),
            "decompress": graph(self.decompress, [stream]),
            "serving_default": graph(self.evaluate, [tf.TensorSpec([None], tf.string, "examples")]),
        }
        if model.flow is not None:
            self.functions["flow"] = graph(self.flow, [group])
        if config.rates > 1:
            self.functions["compress_at"] = graph(self.compress_at, [group, quality])

    def compress(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
        """frames uint8 [T, H, W, 3], one group of at most `config.group` -> {"bitstream_bytes": string [1]}."""
        return {"bitstream_bytes": self._write(frames, DEFAULT_STEP)[None]}

    def compress_at(self, frames: tf.Tensor, quality: tf.Tensor) -> dict[str, tf.Tensor]:
        """`compress` at a quality, int32 [1], 0 (small files) to 100.

        Raises:
          tf.errors.InvalidArgumentError: it lies outside, or is not one number.
        """
        return {"bitstream_bytes": self._write(frames, tf.reshape(server.steps_of(quality), []))[None]}

    def decompress(self, bitstream_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """bitstream_bytes string [1], one group -> {"frames": uint8 [T, H, W, 3]}.

        Raises:
          tf.errors.InvalidArgumentError: see `read`; or there is not one stream.
        """
        return {"frames": self._read(tf.reshape(bitstream_bytes, []))[0]}

    def flow(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
        """frames uint8 [T, H, W, 3] -> {"flow": float32 [T-1, H, W, 2]}, pixels: where in the frame before each
        pixel of a frame was, to the right and down, as it is found, before it is coded.
        """
        height, width = tf.shape(frames)[1], tf.shape(frames)[2]

        def one(t):
            now, before = (tf.cast(_padded(frames[n]), tf.float32) / 255.0 for n in (t, t - 1))
            return self.model.flow(now, before)[-1][0, :height, :width]

        spec = tf.TensorSpec([None, None, 2], tf.float32)
        places = tf.range(1, tf.shape(frames)[0])
        return {"flow": tf.map_fn(one, places, fn_output_signature=spec, parallel_iterations=1)}

    def write(self, frames: tf.Tensor, step: tf.Tensor, measured: bool = False) -> tuple[tf.Tensor, ...]:
        """Codes a group, uint8 [T, H, W, 3], at a quality, int32 scalar, 0 to LAST_STEP.

        Returns:
          (stream, string scalar; with `measured` the bits that are expected of first frame, motion and residuals,
          float32 [3], else zeros).

        Raises:
          tf.errors.InvalidArgumentError: no frames, or more than `config.group`; or of a size that no stream has.
        """
        count, height, width = tf.unstack(tf.shape(frames)[:3])
        message = f"a group of this model has 1 to {self.most} frames, not"
        with tf.control_dependencies([require((count > 0) & (count <= self.most), message, count)]):
            frames, count = tf.identity(frames), tf.identity(count)
        sections, mark, reference, first = self._write_first(frames[0], step, measured)
        coder = self.frames.measure if measured else self.frames.write

        def body(t, reference, expected, strings, marks):
            # A copy of one frame: a slice would be a view that keeps TensorFlow from using aligned kernels.
            found, mark, reference, more = coder(_padded(frames[t]), reference, step)
            return t + 1, reference, expected + more, strings.write(t - 1, found), marks.write(t, mark)

        strings = tf.TensorArray(tf.string, count - 1, element_shape=[self.frames.string_count])
        marks = tf.TensorArray(tf.int64, count, element_shape=[]).write(0, mark)
        _, last, expected, strings, marks = tf.while_loop(
            lambda t, *_: t < count, body, (1, reference, tf.zeros([2]), strings, marks),
            parallel_iterations=1,
        )  # fmt: skip
        head = [_bytes_of(count)[:2], _samples(last, height, width)]
        parts = [bit_fields.bytes_to_string(head), joined.join(sections),
                 joined.join(tf.concat([[b""], tf.reshape(strings.stack(), [-1])], 0))]  # fmt: skip
        flags = STEP_UNIT * step
        known = combined(marks.stack(), tf.stack([count, height, width, flags]))
        stream = container.pack(height, width, flags, known, tf.constant(self.fingerprint, tf.int64), parts)
        return stream, tf.concat([first[None], expected], 0)

    def _write_first(self, frame: tf.Tensor, step: tf.Tensor, measured: bool) -> tuple:
        """Codes the first frame uint8 [H, W, 3]: (sections, mark of what is decoded, the reference, expected bits)."""
        height, width, own = tf.shape(frame)[0], tf.shape(frame)[1], self.intra_step(step)
        sections = tf.stack(self._code_first(frame, own))
        mark, drawn, decoded = self._draw_first(sections, height, width, step)
        expected = tf.constant(0.0)
        if measured and "estimated_bpp" in self.intra.measures:
            numbers = self.intra.measure(frame, decoded, drawn, tf.constant(0.0), own)
            area = tf.cast(height * width, tf.float32)
            expected = area * dict(zip(self.intra.measures, numbers, strict=True))["estimated_bpp"]
        return sections, mark, _padded(drawn), expected

    def draw_first(self, sections: tf.Tensor, height: tf.Tensor, width: tf.Tensor, step: tf.Tensor) -> tuple:
        """(mark of what is decoded, pixels uint8 [H, W, 3], what they are drawn from) of the first frame's sections.

        Args:
          sections: string [section_count]. height, width, step: int32 scalars.
        """
        decoded, values = self.intra.decode(tf.unstack(sections, self.intra.section_count), height, width)
        mark = server.fingerprint(values, tf.stack([height, width]))
        with tf.control_dependencies([mark]):
            # Some payloads draw over what they decoded.
            kept = tf.raw_ops.DeepCopy(x=decoded)
        return mark, self.intra.draw(decoded, height, width, self.intra_step(step)), kept

    def intra_step(self, step: tf.Tensor) -> tf.Tensor:
        """The image codec's quality at one of the clip's, both in steps, int32 scalars."""
        return tf.gather(tf.constant(self._intra_steps), step)

    def read(self, stream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decodes a stream (string scalar) to (frames uint8 [T, H, W, 3], bytes of its parts float32 [3]).

        Raises:
          tf.errors.InvalidArgumentError: not a stream, another model's, damaged, or this machine's frames have drifted
            too far from the writer's.
        """
        known = tf.constant([self.fingerprint, *self.reads], tf.int64)
        header, (head, first, others) = container.unpack(stream, known, 3)
        height, width = tf.cast(header.height, tf.int32), tf.cast(header.width, tf.int32)
        flags = tf.cast(header.flags, tf.int32)
        told = tf.strings.join([head, b"\0" * (2 + SAMPLES)])
        told = tf.cast(tf.io.decode_raw(told, tf.uint8)[: 2 + SAMPLES], tf.int32)
        count, step = told[0] + 256 * told[1], flags // STEP_UNIT
        sound = (tf.equal(tf.strings.length(head), 2 + SAMPLES) & (count > 0) & (count <= MOST_FRAMES)
                 & tf.equal(flags % STEP_UNIT, 0))  # fmt: skip
        with tf.control_dependencies([require(sound, "damaged stream: its head means nothing here", flags, count)]):
            count = tf.identity(count)
        strings = joined.split(others, 1 + self.frames.string_count * (count - 1))[1:]
        strings = tf.reshape(strings, [-1, self.frames.string_count])
        sections = tf.ensure_shape(joined.split(first, self.intra.section_count), [self.intra.section_count])
        mark, drawn, _ = self._draw_first(sections, height, width, step)

        def body(t, reference, marks, frames):
            mark, reference = self.frames.read(strings[t - 1], reference, step)
            return t + 1, reference, marks.write(t, mark), frames.write(t, reference[0, :height, :width])

        marks = tf.TensorArray(tf.int64, count, element_shape=[]).write(0, mark)
        frames = tf.TensorArray(tf.uint8, count, element_shape=[None, None, 3]).write(0, drawn)
        _, last, marks, frames = tf.while_loop(
            lambda t, *_: t < count, body, (1, _padded(drawn), marks, frames), parallel_iterations=1
        )
        found = combined(marks.stack(), tf.stack([count, height, width, flags]))
        same = require(tf.equal(found, header.latents_fingerprint), "the decoded latents differ from those written")
        drift = tf.abs(tf.cast(_samples(last, height, width), tf.int32) - told[2:])
        drift = tf.reduce_mean(tf.cast(drift, tf.float32))
        message = "this machine's arithmetic has drifted from the writer's; no frames. Mean distance, levels:"
        with tf.control_dependencies([same, require(drift <= MOST_DRIFT, message, drift)]):
            frames = frames.stack()
        motion = tf.strings.length(strings[:, 0]) if self.frames.motion is not None else tf.zeros([1], tf.int32)
        motion = tf.reduce_sum(motion)
        sizes = tf.stack([tf.strings.length(first), motion, tf.reduce_sum(tf.strings.length(strings)) - motion])
        return frames, tf.cast(sizes, tf.float32)

    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Really codes and decodes clips: serialised records, string [B] -> numbers, each float32 [B, 1].

        Of a record that is longer than a group the first frames are coded. bpp counts all bits of the stream, and
        beside it those of first frame, motion and residuals; PSNR and MS-SSIM are means over the frames. All at
        `DEFAULT_STEP`.
        """
        spec = tf.TensorSpec([len(_NAMES)], tf.float32)
        numbers = tf.map_fn(self._numbers, examples, fn_output_signature=spec, parallel_iterations=1)
        return {name: numbers[:, i : i + 1] for i, name in enumerate(_NAMES)}

    def _numbers(self, example: tf.Tensor) -> tf.Tensor:
        frames = clips.decode(clips.parse(example)[clips.FRAMES][: self.most])
        step = tf.constant(DEFAULT_STEP)
        stream, expected = self._measure(frames, step)
        decoded, sizes = self._read(stream)
        pixels = tf.cast(tf.size(frames) // 3, tf.float32)
        bpp = 8.0 * tf.cast(tf.strings.length(stream), tf.float32) / pixels
        error = tf.cast(frames, tf.float32) - tf.cast(decoded, tf.float32)
        lmbda = self.model.residual.lmbda_at(tf.cast(step, tf.float32) * ((self.frames.rates - 1) / LAST_STEP))
        similarity = tf.reduce_mean(distortion.ms_ssim(frames, decoded))
        return tf.concat([
            [bpp, tf.reduce_mean(distortion.psnr_db(frames, decoded)), similarity, tf.reduce_sum(expected) / pixels,
             bpp + lmbda * tf.reduce_mean(tf.square(error))],
            8.0 * sizes / pixels,
        ], 0)  # fmt: skip


def _padded(frame: tf.Tensor) -> tf.Tensor:
    """A frame uint8 [H, W, 3], continued to sides that the stride divides, as a batch of one."""
    return tf.ensure_shape(pad_to_multiple(frame, STRIDE)[None], [1, None, None, 3])


def _bytes_of(number: tf.Tensor) -> tf.Tensor:
    """Little-endian bytes uint8 [8] of a whole number."""
    return tf.bitcast(tf.cast(number, tf.int64), tf.uint8)


def _samples(frame: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Some values of a frame uint8 [1, H', W', 3] within its true sides, spread over it: uint8 [SAMPLES]."""
    fractions = tf.constant((_PLACES * 65536).astype(np.int64))
    places = fractions * tf.cast(tf.stack([height, width]), tf.int64) // 65536
    return tf.gather_nd(frame[0], tf.concat([places, tf.range(SAMPLES, dtype=tf.int64)[:, None] % 3], 1))
