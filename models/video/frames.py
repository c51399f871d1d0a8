"""The frames behind the first of a group, as they are served: one by its reference, to strings and back.

    frame, reference --networks--> latents --coder--> strings --coder--> latents --networks--> decoded frame

Latents are integers and come out the same on every machine: what their coder is steered by follows from tables and from
other latents, in exact arithmetic, never from a decoded frame. Decoded frames are rounded to 8 bits before they are
references: there machines may differ by a level where one rounds up and another down. The writer's references are made
by the very functions that a reader calls.
"""

import functools
import types

import tensorflow as tf

from models.codecs.edic import Edic
from models.codecs.serving import server
from models.codecs.serving.latents import FactorizedLatents, GaussianLatents, MixtureLatents
from models.video.video import STRIDE

_FRAME = tf.TensorSpec([1, None, None, 3], tf.uint8)  # sides multiples of STRIDE


class FrameCoder(tf.Module):
    """A trained codec of clips, for one frame at a time.

    Attributes:
      string_count: strings of a frame. tables: integers by name that are to be kept with the model, the image codec's
        left out.
    """

    def __init__(self, model, config):
        super().__init__(name="frames")
        self.model, self.rates = model, config.rates
        parts = {"residual": (MixtureLatents if isinstance(model.residual, Edic) else GaussianLatents, model.residual)}
        if model.motion is not None:
            parts["motion"] = FactorizedLatents, model.motion
        tables = {name: getattr(part, "tables", None) or kind.tables_of(part) for name, (kind, part) in parts.items()}
        coders = {name: kind(part, tables[name]) for name, (kind, part) in parts.items()}
        self.residual, self.motion = coders["residual"], coders.get("motion")
        self.tables = types.MappingProxyType({f"{n} {k}": v for n, own in tables.items() for k, v in own.items()})
        self.string_count = self.residual.section_count + (self.motion is not None)
        graph, step = functools.partial(tf.function, autograph=False), tf.TensorSpec([], tf.int32)
        depth = tf.TensorSpec([1, None, None, config.latents], tf.float32)
        moved = tf.TensorSpec([1, None, None, 2 if self.motion is None else self.motion.channels], tf.float32)
        # One trace of each, whoever calls it.
        self._code = graph(lambda y: self.residual.encode(y), [depth])
        self._code_motion = None if self.motion is None else graph(lambda y: self.motion.encode(y), [moved])
        self._predict = graph(self.predict, [_FRAME, moved, step])
        self._finish = graph(self.finish, [tf.TensorSpec([1, None, None, 3], tf.float32), depth, step])
        self.write = graph(functools.partial(self.encode, measured=False), [_FRAME, _FRAME, step])
        self.measure = graph(functools.partial(self.encode, measured=True), [_FRAME, _FRAME, step])
        self.read = graph(self.decode, [tf.TensorSpec([self.string_count], tf.string), _FRAME, step])

    def gains(self, part, step: tf.Tensor) -> tuple:
        """Gains and inverse gains of a part's latents at a quality (int32 scalar, 0 to LAST_STEP): [1, 1, 1, M]."""
        if part.gain_units is None:
            return 1.0, 1.0
        return part.gain_units.gains(tf.cast(step, tf.float32)[None] * ((self.rates - 1) / server.LAST_STEP))

    def predict(self, reference: tf.Tensor, latents: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """The prediction [1, H, W, 3] float32 by a reference (uint8) and decoded latents of motion [1, h, w, M]."""
        flow = None
        if self.motion is not None:
            flow = self.model.decoded_flow(latents * self.gains(self.model.motion, step)[1])
        return self.model.predict(_to_float(reference), flow)[1]

    def finish(self, predicted: tf.Tensor, latents: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """The decoded frame uint8 [1, H, W, 3] of a prediction and decoded latents of its residual [1, h, w, M]."""
        x = self.model.finish(predicted, latents * self.gains(self.model.residual, step)[1])
        return tf.cast(tf.round(255.0 * tf.clip_by_value(x, 0.0, 1.0)), tf.uint8)

    def encode(self, frame: tf.Tensor, reference: tf.Tensor, step: tf.Tensor, measured: bool) -> tuple[tf.Tensor, ...]:
        """Codes a frame by its reference, uint8 [1, H, W, 3] each, at a quality.

        Returns:
          (strings [string_count]; fingerprint of all latents, int64 scalar; the decoded frame, as a reader has it; with
          `measured` what motion and residual are expected to cost, float32 [2] bits, else zeros).
        """
        model, x = self.model, _to_float(frame)
        strings, expected, moved, marks = [], [0.0, 0.0], self._nothing(reference), []
        if self.motion is not None:
            y = model.find(x, _to_float(reference)) * self.gains(model.motion, step)[0]
            strings, moved = self._code_motion(y)
            marks.append(_mark(moved))
            if measured:
                expected[0] = self.motion.estimated_bits(y, moved)[0]
        predicted = self._predict(reference, moved, step)
        y = tf.cast(model.residual.analysis(x - predicted), tf.float32) * self.gains(model.residual, step)[0]
        more, latents = self._code(y)
        marks.append(_mark(latents))
        if measured:
            expected[1] = self.residual.estimated_bits(y, latents)[0]
        decoded = self._finish(predicted, latents, step)
        return tf.stack([*strings, *more]), _together(marks), decoded, tf.stack(expected)

    def decode(self, strings: tf.Tensor, reference: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(fingerprint of all latents, the frame uint8 [1, H, W, 3]) of what `encode` gave.

        Raises:
          tf.errors.InvalidArgumentError: the strings are damaged; before memory is taken for what they promise.
        """
        height, width = (side // STRIDE for side in tf.unstack(tf.shape(reference)[1:3]))
        strings, moved, marks = tf.unstack(strings, self.string_count), self._nothing(reference), []
        if self.motion is not None:
            scale = STRIDE // self.model.motion.stride
            moved = self.motion.decode(strings[:1], scale * height, scale * width)
            marks.append(_mark(moved))
        latents = self.residual.decode(strings[-self.residual.section_count :], height, width)
        marks.append(_mark(latents))
        return _together(marks), self._finish(self._predict(reference, moved, step), latents, step)

    @staticmethod
    def _nothing(reference: tf.Tensor) -> tf.Tensor:
        """Latents of no motion."""
        return tf.zeros([1, tf.shape(reference)[1] // STRIDE, tf.shape(reference)[2] // STRIDE, 2])


def _to_float(pixels: tf.Tensor) -> tf.Tensor:
    return tf.cast(pixels, tf.float32) / 255.0


def _mark(latents: tf.Tensor) -> tf.Tensor:
    """A number below 2^32, int64 scalar, of all bits of latents [1, h, w, M]."""
    return server.fingerprint(latents, tf.shape(latents))


def _together(marks: list[tf.Tensor]) -> tf.Tensor:
    """One number below 2^32, int64 scalar, of several."""
    return combined(tf.stack(marks), tf.zeros([0], tf.int32))


def combined(marks: tf.Tensor, beside: tf.Tensor) -> tf.Tensor:
    """A number below 2^32, int64 scalar, of numbers below 2^32, int64 [n], and of int32 [m]."""
    return server.fingerprint(tf.bitcast(tf.cast(marks, tf.uint32), tf.int32)[:, None], beside)
