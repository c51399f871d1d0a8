"""The served form of the models of electrocardiograms: `predict` for signals, `predict_bytes` for files' bytes, and
`serving_default` for the evaluation of records."""

import functools
import json

import tensorflow as tf

from models.ecg import bytes_serving as ecg_bytes_serving
from models.ecg.bytes_serving import require
from models.ecg.resample import resample
from models.publishing import export
from models.records import ecg_units
from models.records import recordings as ecg_records
from models.records.ecg_units import CLASSES, LONGEST_S, MICROVOLTS, SHORTEST_S

RATES = (50.0, 100_000.0)  # samples a second
_FORMAT = "millivolts at 300 Hz, 1"
_LEAST = 1e-7  # probability that a label the model does not know is charged with


def signatures(model, config) -> "EcgServer":
    """The module to save: `signatures` of a recipe."""
    return EcgServer(model, config)


class EcgServer(tf.Module):
    """Holds a trained model of electrocardiograms and the served functions in `functions`.

    The model takes {"samples": float32 [B, T] millivolts at 300 Hz, "length": int32 [B]} and gives logits [B, K].
    """

    def __init__(self, model, config):
        super().__init__(name="ecg")
        self.model = model
        names = json.loads(config.class_names) if config.class_names else [str(c) for c in range(config.classes)]
        names = [name or str(c) for c, name in enumerate(names)]
        known = list(dict.fromkeys([*CLASSES, *names]))  # the places of `label` and `predicted`
        self.names, self.known = tf.constant(names), tf.constant(known)
        self.places = tf.constant([known.index(name) for name in names])
        self.fingerprint = export.fingerprint_of(_FORMAT, model, config)
        graph = functools.partial(tf.function, autograph=False)
        numbers, texts = (functools.partial(tf.TensorSpec, dtype=d) for d in (tf.float32, tf.string))
        batch = [None]
        self._logits = graph(self.logits, [numbers([None, None]), tf.TensorSpec(batch, tf.int32)])
        self.functions = {
            "predict": graph(self.predict, [numbers([None, None], name="samples"),
                                            tf.TensorSpec(batch, tf.int32, "length"), numbers(batch, name="rate")]),
            "predict_bytes": graph(self.predict_bytes, [texts(batch, name="signal_bytes"), numbers(batch, name="rate"),
                                                        numbers(batch, name="gain")]),
            "predict_names": graph(self.predict_names, [tf.TensorSpec(batch, tf.int64, "index")]),
            "serving_default": graph(self.evaluate, [texts(batch, name="examples")]),
        }  # fmt: skip

    def logits(self, samples: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """Signals at 300 Hz, float32 [B, T] millivolts and int32 [B] -> [B, K] float32."""
        return tf.cast(self.model({"samples": samples, "length": length}, training=False), tf.float32)

    def predict(self, samples: tf.Tensor, length: tf.Tensor, rate: tf.Tensor) -> dict[str, tf.Tensor]:
        """Signals of one lead -> what they show; the rest of a batch does not change the answer for a recording.

        As at ingest, samples that are no finite numbers count as zero, other rates are resampled to 300 Hz, and the
        signal is taken to whole microvolts.

        Args:
          samples: float32 [B, T], millivolts; what stands beyond the length does not count.
          length: int32 [B], samples that count: 1 second to 30 minutes of them.
          rate: float32 [B], samples a second.

        Returns:
          "probabilities": float32 [B, K]; "class": int64 [B], the likeliest; "class_name": string [B].

        Raises:
          tf.errors.InvalidArgumentError: a recording is too short or too long, or a rate or length is impossible.
        """
        with tf.control_dependencies(_checks(tf.shape(samples)[1], length, rate)):
            samples = tf.where(tf.math.is_finite(samples), samples, 0.0)
        signal, length = _at_rate(samples, length, rate)
        probabilities = tf.nn.softmax(self._logits(signal, length))
        best = tf.argmax(probabilities, axis=-1)
        return {"probabilities": probabilities, "class": best, "class_name": tf.gather(self.names, best)}

    def predict_bytes(self, signal_bytes: tf.Tensor, rate: tf.Tensor, gain: tf.Tensor) -> dict[str, tf.Tensor]:
        """The same for the bytes of files.

        Args:
          signal_bytes: string [B], MATLAB-4 files of int16 (the first row counts) or bare little-endian int16.
          rate: float32 [B], samples a second.
          gain: float32 [B], steps of the converter in a millivolt.

        Raises:
          tf.errors.InvalidArgumentError: as `predict`, or bytes that are no such file.
        """
        steps, length = ecg_bytes_serving.read(signal_bytes)
        usable = tf.logical_and(tf.math.is_finite(gain), tf.not_equal(gain, 0.0))
        with tf.control_dependencies([require(usable, "has an impossible gain:", gain)]):
            return self.predict(steps / gain[:, None], length, rate)

    def predict_names(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """index int64 [B], places in "probabilities" -> "class_name": string [B]."""
        return {"class_name": tf.gather(self.names, index)}

    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialised records, string [B] -> numbers of each, float32 [B, 1].

        accuracy is 0 or 1, cross_entropy is in nats, confidence is the largest probability. `label` and `predicted` are
        places in N, A, O, ~ and then the model's other classes; a label that is neither has the place behind them, -1
        is a recording without one. A label that the model does not know counts as wrong, at a probability of 1e-7.
        """
        features = ecg_records.parse(examples)
        log_probabilities = tf.nn.log_softmax(self._logits(*ecg_records.decode_batch(features[ecg_records.SIGNAL])))
        name = features[ecg_records.LABEL_NAME]
        same = tf.equal(name[:, None], self.known)
        place = tf.where(tf.reduce_any(same, axis=1), tf.argmax(tf.cast(same, tf.int32), axis=1), len(self.known))
        label = tf.where(tf.equal(name, ""), tf.cast(ecg_records.NO_LABEL, place.dtype), place)
        hits = tf.equal(label[:, None], tf.cast(self.places, tf.int64))
        given = tf.reduce_sum(tf.where(hits, log_probabilities, 0.0), axis=1)
        predicted = tf.gather(self.places, tf.argmax(log_probabilities, axis=1))
        numbers = {
            "accuracy": tf.equal(label, tf.cast(predicted, tf.int64)),
            "cross_entropy": -tf.where(tf.reduce_any(hits, axis=1), given, tf.math.log(_LEAST)),
            "confidence": tf.exp(tf.reduce_max(log_probabilities, axis=1)),
            "label": label,
            "predicted": predicted,
        }
        return {name: tf.cast(value, tf.float32)[:, None] for name, value in numbers.items()}


def _checks(width: tf.Tensor, length: tf.Tensor, rate: tf.Tensor) -> list[tf.Operation]:
    """The checks of what `predict` is given."""
    least, most = RATES
    possible = tf.logical_and(rate >= least, rate <= most)
    seconds = tf.cast(length, tf.float32) / rate
    return [
        require(possible, f"has an impossible rate (possible are {least:g} to {most:g} Hz):", rate),
        require(tf.logical_and(length >= 0, length <= width), "has a length that its samples do not have:", length),
        require(seconds >= SHORTEST_S, f"is shorter than {SHORTEST_S:g} second; samples:", length),
        require(seconds <= LONGEST_S,
                f"is longer than {LONGEST_S / 60:g} minutes (the command predict takes it in windows); seconds:",
                seconds),
    ]  # fmt: skip


def _at_rate(samples: tf.Tensor, length: tf.Tensor, rate: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Signals at the rate of the records and to their precision, float32 [B, T'] padded with zeros, int32 [B]."""

    def one(given):
        return resample(given[0][: given[1]], given[2], float(ecg_units.RATE))

    spec = tf.RaggedTensorSpec([None], tf.float32, 0)
    found = tf.map_fn(one, (samples, length, rate), fn_output_signature=spec)
    whole = tf.round(tf.clip_by_value(found.to_tensor(), -ecg_units.LIMIT, ecg_units.LIMIT) * MICROVOLTS)
    return whole / MICROVOLTS, tf.cast(found.row_lengths(), tf.int32)
