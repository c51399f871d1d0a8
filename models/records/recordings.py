"""The record of one electrocardiogram: its feature names, how it is written, how it is read.

Every other module (ingest, transform, training, evaluation, warm-up) goes through here. The signal is one lead at RATE
samples a second, kept as little-endian int16 of microvolts.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from models.records.ecg_units import MICROVOLTS, RATE

SIGNAL = "ecg/signal"
ID = "ecg/id"
FORMAT = "ecg/format"
LENGTH_CLASS = "ecg/length_class"
NOISE_CLASS = "ecg/noise_class"
LABEL_NAME = "ecg/label_name"
SAMPLES = "ecg/samples"
ORIGINAL_RATE = "ecg/original_rate"
BYTES = "ecg/bytes"
GAPS = "ecg/gaps"
CLIPPED = "ecg/clipped"
# What the Transform step adds.
LABEL = "ecg/label"
AMPLITUDE = "ecg/amplitude"
TEXTS = (FORMAT, LENGTH_CLASS, NOISE_CLASS, LABEL_NAME)
INTEGERS = (SAMPLES, ORIGINAL_RATE, BYTES, GAPS, CLIPPED)
NO_LABEL = -1

FEATURES: Mapping[str, tf.io.FixedLenFeature] = {
    SIGNAL: tf.io.FixedLenFeature([], tf.string),
    ID: tf.io.FixedLenFeature([], tf.string),
    **{name: tf.io.FixedLenFeature([], tf.string, b"") for name in TEXTS},
    **{name: tf.io.FixedLenFeature([], tf.int64) for name in INTEGERS},
    LABEL: tf.io.FixedLenFeature([], tf.int64, NO_LABEL),
    AMPLITUDE: tf.io.FixedLenFeature([], tf.float32, 0.0),
}


def length_class(seconds: float) -> str:
    """The class of a recording's length, by which evaluation is sliced."""
    for bound in (10, 29, 31, 61):
        if seconds < bound:
            return f"below_{bound}_s"
    return "61_s_and_more"


def recording_example(
    samples: np.ndarray,
    *,
    key: str,
    format_name: str,
    original_rate: int,
    size_bytes: int,
    noise_class: str,
    gaps: int = 0,
    clipped: int = 0,
    label_name: str = "",
) -> tf.train.Example:
    """Builds the record of one recording.

    Args:
      samples: millivolts at RATE samples a second, float [T]; beyond LIMIT they are clipped.
      key: stable identity of the recording within its data set.
      format_name: of the original ("mat", "wfdb", "simulated").
      original_rate: samples a second before resampling. size_bytes: of the original signal.
      noise_class: how noisy the signal is, see `components.kinds.recordings.recordings`.
      gaps, clipped: samples that were missing (and are zero now), and that stand at the limits of the converter.
      label_name: name of its class; a record without one has not the feature.
    """
    volts = np.clip(np.rint(np.asarray(samples, np.float64) * MICROVOLTS), -32767, 32767).astype("<i2")
    texts = {SIGNAL: volts.tobytes(), ID: key.encode(), FORMAT: format_name.encode(),
             LENGTH_CLASS: length_class(len(volts) / RATE).encode(), NOISE_CLASS: noise_class.encode()}  # fmt: skip
    if label_name:
        texts[LABEL_NAME] = label_name.encode()
    numbers = {SAMPLES: len(volts), ORIGINAL_RATE: round(original_rate), BYTES: size_bytes, GAPS: gaps,
               CLIPPED: clipped}  # fmt: skip
    feature = {n: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for n, v in texts.items()}
    feature |= {n: tf.train.Feature(int64_list=tf.train.Int64List(value=[v])) for n, v in numbers.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature))


def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses serialised records, string [B] (or a scalar), to a dict of the features in `FEATURES`."""
    if serialized.shape.rank == 0:
        return tf.io.parse_single_example(serialized, dict(FEATURES))
    return tf.io.parse_example(serialized, dict(FEATURES))


def decode(signal: tf.Tensor) -> tf.Tensor:
    """A record's signal, scalar string -> millivolts, float32 [T]."""
    return tf.cast(tf.io.decode_raw(signal, tf.int16), tf.float32) / MICROVOLTS


def decode_batch(signals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Signals of records, string [B] -> millivolts, float32 [B, T] padded with zeros, and lengths, int32 [B]."""
    lengths = tf.strings.length(signals) // 2
    ragged = tf.map_fn(decode, signals, fn_output_signature=tf.RaggedTensorSpec([None], tf.float32, 0))
    return ragged.to_tensor(), lengths
