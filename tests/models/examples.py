"""Examples of every kind of record, small and made here."""

import io
import pathlib

import numpy as np
import skimage.data
import tensorflow as tf
from PIL import Image

from models.records import clips as clip_records
from models.records import ecg_units
from models.records import faces as face_records
from models.records import matrices as matrix_records
from models.records import pictures as picture_records
from models.records import recordings as ecg_records

ECG_NAMES = ("N", "O", "A", "~")


def photograph(height: int, width: int, offset: int = 0) -> np.ndarray:
    """A piece of a photograph, uint8 [height, width, 3]."""
    return skimage.data.astronaut()[offset : offset + height, 100 : 100 + width]


def png(pixels: np.ndarray) -> bytes:
    """Pixels, uint8 [H, W] or [H, W, C], as PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def picture_record(pixels: np.ndarray, key: str = "p", **label) -> bytes:
    """The serialised record of an RGB picture, uint8 [H, W, 3]; `label` and `label_name` say its class."""
    encoded = png(pixels)
    height, width, channels = pixels.shape
    example = picture_records.image_example(
        encoded,
        key=key,
        format_name="PNG",
        height=height,
        width=width,
        channels=channels,
        size_bytes=len(encoded),
        **label,
    )
    return example.SerializeToString()


def write_records(path: pathlib.Path, records: list[bytes]) -> str:
    """Writes serialised records as ingest does; returns the path."""
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in records:
            writer.write(record)
    return str(path)


def moving(frames: int, height: int, width: int, offset: int = 0) -> np.ndarray:
    """A photograph that moves by two pixels a frame, uint8 [frames, height, width, 3]."""
    return np.stack([photograph(height, width + 2 * frames, offset)[:, 2 * t : 2 * t + width] for t in range(frames)])


def clip_record(pixels: np.ndarray, name: str = "c", start: int = 0) -> bytes:
    """The serialised record of a run of frames, uint8 [T, H, W, 3]."""
    encoded = [png(frame) for frame in pixels]
    return clip_records.clip_example(
        encoded,
        name=name,
        format_name="mp4/h264",
        start=start,
        height=pixels.shape[1],
        width=pixels.shape[2],
        frame_rate=25.0,
        size_bytes=sum(map(len, encoded)),
    ).SerializeToString()


def pair_record(seed: int, sizes: tuple[int, int, int], pair=None) -> bytes:
    """The serialised record of a pair of matrices [m, k] and [k, n], random ones if none are given."""
    m, k, n = sizes
    random = np.random.default_rng(seed)
    left, right = pair or (random.standard_normal((m, k)), random.standard_normal((k, n)))
    return matrix_records.pair_example(left, right, key=str(seed), format_name="simulated").SerializeToString()


def heartbeat(seconds: float, beats: float = 70.0, seed: int = 0) -> np.ndarray:
    """A lead with narrow peaks at about so many beats a minute, and noise: float32 [T] millivolts, whole microvolts."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * ecg_units.RATE)) / ecg_units.RATE
    peaks = np.cumsum(rng.normal(60 / beats, 0.03, int(seconds * beats / 60) + 2)) - 0.3
    signal = np.exp(-np.square((times[:, None] - peaks) / 0.015)).sum(1) + rng.normal(0, 0.02, len(times))
    return np.round(signal, 3).astype("float32")


def recording_record(samples: np.ndarray, key: str = "r", label: int = -1) -> bytes:
    """The serialised record of a recording at 300 Hz, millivolts, as the Transform step leaves it."""
    example = ecg_records.recording_example(
        samples, key=key, format_name="simulated", original_rate=300, size_bytes=2 * len(samples), noise_class="clean",
        label_name=ECG_NAMES[label] if label >= 0 else "",
    )  # fmt: skip
    example.features.feature[ecg_records.LABEL].int64_list.value.append(label)
    example.features.feature[ecg_records.AMPLITUDE].float_list.value.append(0.25)
    return example.SerializeToString()


def tinted(n: int, key: str, first: int = 0) -> bytes:
    """The record of a photograph in the tint of class n mod 3; classes are numbered from `first` on."""
    pixels = photograph(16, 16, 10 * n) // 2
    pixels[..., n % 3] += 100
    return picture_record(pixels, key, label=first + n % 3, label_name=f"tint {n % 3}")


def face_record(pixels: np.ndarray, number: int, person: int, pairs=()) -> bytes:
    """The serialised record of a face, uint8 [H, W, 3], of a numbered person; pairs as of `models.records.faces`."""
    picture = tf.train.Example.FromString(
        picture_record(pixels, f"{person}/{number}", label=person, label_name=str(person))
    )
    return face_records.face_example(picture, number, pairs).SerializeToString()
