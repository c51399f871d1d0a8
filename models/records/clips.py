"""The record of a clip's short run of frames: its feature names, how it is written, how it is read.

Frames stay encoded in the record, each a PNG of its own, so that a run can be cut in time before a pixel is decoded.
"""

from collections.abc import Sequence

import tensorflow as tf

from models.records import pictures as picture_records

FRAMES = "clip/frames"  # PNG of 8-bit RGB each, in the order of showing
NAME = "clip/name"
FORMAT = "clip/format"
START = "clip/start"  # number of the first frame in its clip
COUNT = "clip/count"  # frames of this record
HEIGHT, WIDTH = "clip/height", "clip/width"
BYTES = "clip/bytes"  # of the clip's file that fall to this run
FRAME_RATE = "clip/frame_rate"  # frames a second, the clip's mean
LABEL_NAME = "clip/label_name"  # never set: clips have no classes
INTEGERS = (START, COUNT, HEIGHT, WIDTH, BYTES)
SHUFFLED = 64  # records among which the next one is drawn
_PIXELS = tf.TensorSpec([None, None, 3], tf.uint8)

FEATURES = {
    FRAMES: tf.io.RaggedFeature(tf.string),
    NAME: tf.io.FixedLenFeature([], tf.string),
    FORMAT: tf.io.FixedLenFeature([], tf.string),
    FRAME_RATE: tf.io.FixedLenFeature([], tf.float32),
    **{name: tf.io.FixedLenFeature([], tf.int64) for name in INTEGERS},
}


def clip_example(
    frames: Sequence[bytes],
    *,
    name: str,
    format_name: str,
    start: int,
    height: int,
    width: int,
    frame_rate: float,
    size_bytes: int,
) -> tf.train.Example:
    """Builds the record of a run of frames.

    Args:
      frames: PNG bytes of uint8 RGB [height, width, 3] each, at least one.
      name: stable identity of the clip in its data set; equal for all runs of one clip.
      format_name: container and codec of the file ("mp4/h264").
      start: number of the first frame in its clip, from 0.
      frame_rate: frames a second. size_bytes: of the clip's file that fall to this run.
    """
    numbers = dict(zip(INTEGERS, (start, len(frames), height, width, size_bytes), strict=True))
    feature = {n: tf.train.Feature(int64_list=tf.train.Int64List(value=[v])) for n, v in numbers.items()}
    texts = {NAME: [name.encode()], FORMAT: [format_name.encode()], FRAMES: list(frames)}
    feature |= {n: tf.train.Feature(bytes_list=tf.train.BytesList(value=v)) for n, v in texts.items()}
    feature[FRAME_RATE] = tf.train.Feature(float_list=tf.train.FloatList(value=[frame_rate]))
    return tf.train.Example(features=tf.train.Features(feature=feature))


def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """One serialised record, scalar string -> a dict of the features in `FEATURES`; FRAMES is string [T]."""
    return tf.io.parse_single_example(serialized, FEATURES)


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """PNG frames of one size, string [T] -> uint8 [T, H, W, 3].

    Raises:
      tf.errors.InvalidArgumentError: a damaged frame.
    """
    return tf.map_fn(lambda frame: tf.io.decode_png(frame, 3), encoded, fn_output_signature=_PIXELS)


def frames(
    files: Sequence[str], length: int = 0, side: int = 0, *, training: bool = False, seed: int = 0, mirror: bool = True
) -> tf.data.Dataset:
    """Runs of frames, uint8 [T, H, W, 3], with what is asked for cut out of each record.

    Args:
      files: GZIP TFRecord files.
      length: frames of a run, T; 0: those of the record. Shorter records are left out.
      side: of the square crop in pixels, 0: whole frames. Smaller frames are continued by reflection.
      training: endless, records shuffled while still encoded, another place in time and space each time, half of the
        runs mirrored (with `mirror`), all by `seed`. Else every record once, its first frames, their centre.

    Raises:
      FileNotFoundError: no files, or one is missing.
    """
    records = picture_records.records(files)
    if length:
        records = records.filter(lambda record: tf.size(_encoded(record)) >= length)
    if not training:
        middle = tf.constant([0.0, 0.5, 0.5, 1.0])
        return records.map(lambda record: _cut(record, length, side, middle), 1, deterministic=True)
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=False).batch(2)
    records = picture_records.shuffled(records, SHUFFLED, seed).repeat()

    def drawn(record, state):
        draw = tf.random.stateless_uniform([4], state)
        return _cut(record, length, side, draw if mirror else tf.concat([draw[:3], [1.0]], 0))

    return tf.data.Dataset.zip((records, seeds)).map(drawn, tf.data.AUTOTUNE, deterministic=True)


def batches(files: Sequence[str], config, training: bool) -> tf.data.Dataset:
    """Batches of runs, uint8 [B, T, S, S, 3], as `Recipe.inputs` gives them.

    Args:
      config: with `clip_length` (T), `crop_size` (S), `batch_size` (B) and `seed`.
    """
    runs = frames(files, config.clip_length, config.crop_size, training=training, seed=config.seed)
    return runs.batch(config.batch_size, drop_remainder=training).prefetch(tf.data.AUTOTUNE if training else 1)


def _encoded(record: tf.Tensor) -> tf.Tensor:
    return tf.io.parse_single_example(record, {FRAMES: FEATURES[FRAMES]})[FRAMES]


def _cut(record: tf.Tensor, length: int, side: int, draw: tf.Tensor) -> tf.Tensor:
    """`draw` [4] in [0, 1): place in time, height and width; below one half in the last, mirrored."""
    encoded = _encoded(record)
    if length:
        spare = tf.size(encoded) - length
        start = tf.minimum(tf.cast(tf.cast(spare + 1, tf.float32) * draw[0], tf.int32), spare)
        encoded = tf.ensure_shape(encoded[start : start + length], [length])
    pixels = tf.ensure_shape(decode(encoded), [length or None, None, None, 3])
    if side:
        pixels = _crop(pixels, side, draw[1:3])
    return tf.cond(draw[3] < 0.5, lambda: pixels[:, :, ::-1], lambda: pixels)


def _crop(pixels: tf.Tensor, side: int, place: tf.Tensor) -> tf.Tensor:
    """Cuts [T, side, side, 3] out of [T, H, W, 3]; `place` [2] in [0, 1) says where between the edges."""
    for axis in (1, 2):
        size = tf.shape(pixels)[axis]
        spare = tf.maximum(size - side, 0)
        start = tf.minimum(tf.cast(tf.cast(spare + 1, tf.float32) * place[axis - 1], tf.int32), spare)
        positions = (start + tf.range(side)) % (2 * size)
        pixels = tf.gather(pixels, tf.minimum(positions, 2 * size - 1 - positions), axis=axis)
    return tf.ensure_shape(pixels, (pixels.shape[0], side, side, 3))
