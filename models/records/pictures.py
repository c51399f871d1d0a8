"""The record of one picture: its feature names, how it is written, how it is read.

Every other module (ingest, training, evaluation, warm-up) goes through here, so the names stand in one place.
The picture stays encoded in the record; its pixels are decoded where they are used.
"""

import os
from collections.abc import Mapping, Sequence

import tensorflow as tf

from models.records import picture_header

ENCODED = "image/encoded"
ID = "image/id"
FORMAT = "image/format"
HEIGHT = "image/height"
WIDTH = "image/width"
CHANNELS = "image/channels"
BYTES = "image/bytes"
SIZE_CLASS = "image/size_class"
LABEL = "image/label"
LABEL_NAME = "image/label_name"
NO_LABEL = -1
INTEGERS = (HEIGHT, WIDTH, CHANNELS, BYTES)
KEPT = 1 << 30  # bytes that the input of a training may keep in memory, of decoded pictures or of encoded records
SPLITS = ("train", "validation", "test")

FEATURES: Mapping[str, tf.io.FixedLenFeature] = {
    ENCODED: tf.io.FixedLenFeature([], tf.string),
    ID: tf.io.FixedLenFeature([], tf.string),
    FORMAT: tf.io.FixedLenFeature([], tf.string),
    SIZE_CLASS: tf.io.FixedLenFeature([], tf.string),
    **{name: tf.io.FixedLenFeature([], tf.int64) for name in INTEGERS},
    LABEL: tf.io.FixedLenFeature([], tf.int64, NO_LABEL),
    LABEL_NAME: tf.io.FixedLenFeature([], tf.string, b""),
}


def size_class(height: int, width: int) -> str:
    """The class of a picture's size in megapixels, by which evaluation is sliced."""
    megapixels = height * width / 1e6
    for bound in (0.1, 0.5, 2):
        if megapixels < bound:
            return f"below_{bound}_mp"
    return "2_mp_and_more"


def image_example(
    encoded: bytes,
    *,
    key: str,
    format_name: str,
    height: int,
    width: int,
    channels: int,
    size_bytes: int,
    label: int = NO_LABEL,
    label_name: str = "",
) -> tf.train.Example:
    """Builds the record of one picture.

    Args:
      encoded: the picture as PNG, JPEG or BMP bytes (what TensorFlow decodes).
      key: stable identity of the picture within its data set.
      format_name: format of the original file, lower case ("jpeg", "webp", ...).
      height, width: pixels. channels: 1 grey, 2 grey with alpha, 3 RGB, 4 RGB with alpha.
      size_bytes: size of the original file.
      label, label_name: number (from 0) and name of the picture's class; a record without a class has neither feature.
    """
    numbers = dict(zip(INTEGERS, (height, width, channels, size_bytes), strict=True))
    texts = {ENCODED: encoded, ID: key.encode(), FORMAT: format_name.lower().encode()}
    texts[SIZE_CLASS] = size_class(height, width).encode()
    if label != NO_LABEL:
        numbers[LABEL], texts[LABEL_NAME] = label, label_name.encode()
    feature = {n: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for n, v in texts.items()}
    feature |= {n: tf.train.Feature(int64_list=tf.train.Int64List(value=[v])) for n, v in numbers.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature))


def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses serialised records, string [B] (or a scalar), to a dict of the features in `FEATURES`."""
    spec = dict(FEATURES)
    if serialized.shape.rank == 0:
        return tf.io.parse_single_example(serialized, spec)
    return tf.io.parse_example(serialized, spec)


def decode(encoded: tf.Tensor, channels: int = 3) -> tf.Tensor:
    """Decodes one picture (scalar string; PNG, JPEG, BMP of 24 bits, first frame of a GIF) to uint8 [H, W, channels].

    16 bits are cut to 8, CMYK becomes RGB. With 3 channels grey is repeated and alpha dropped, with 0 the picture's own
    number is kept; a transparent level or colour counts as alpha.
    JPEGs go through the accurate inverse DCT, as other software decodes them; TensorFlow's default is off by up to 10.

    Raises:
      tf.errors.InvalidArgumentError: no picture, a damaged one, or more than MAX_PIXELS pixels.
    """
    return _decode(tf.ensure_shape(encoded, []), channels)


@tf.function(autograph=False)
def _decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """`decode`, as one function for all that calls it: its loops and branches stand in a saved model once."""
    encoded = picture_header.checked(encoded)
    is_jpeg = tf.io.is_jpeg(encoded)

    def jpeg(depth):
        return tf.io.decode_jpeg(encoded, depth, dct_method="INTEGER_ACCURATE")

    if channels:
        ways = [(is_jpeg, lambda: jpeg(channels))]
    else:
        is_grey, transparent = picture_header.is_grey_jpeg(encoded), picture_header.transparent_channels(encoded)
        ways = [
            (is_grey, lambda: jpeg(1)),
            (is_jpeg, lambda: jpeg(3)),  # also of CMYK, whose fourth channel is no alpha
            (tf.equal(transparent, 2), lambda: tf.io.decode_png(encoded, 4)[:, :, ::3]),
            (tf.equal(transparent, 4), lambda: tf.io.decode_png(encoded, 4)),
        ]
    return tf.case(ways, default=lambda: tf.io.decode_image(encoded, channels, expand_animations=False))


def records(files: Sequence[str]) -> tf.data.Dataset:
    """Serialised records (scalar strings) of GZIP TFRecord files, in order.

    Raises:
      FileNotFoundError: no file was given, or one is missing.
    """
    files = [os.fspath(f) for f in files]
    missing = [f for f in files if not tf.io.gfile.exists(f)]
    if missing or not files:
        raise FileNotFoundError(f"no records at {', '.join(missing) or 'an empty list of files'}")
    return steady(tf.data.TFRecordDataset(sorted(files), compression_type="GZIP"))


def shuffled(examples: tf.data.Dataset, most: int, seed: int) -> tf.data.Dataset:
    """Examples in another order each time, drawn from among the next `most`, or fewer if they are records beyond KEPT.

    Args:
      examples: serialised records (scalar strings), or what a cache holds anyway.
    """
    return examples.shuffle(held(examples, most), seed=seed, reshuffle_each_iteration=True)


def held(examples: tf.data.Dataset, most: int) -> int:
    """How many of these examples, `most` at most, `shuffled` keeps in memory."""
    if examples.element_spec == tf.TensorSpec([], tf.string):
        longest = max((len(record) for record in examples.take(8).as_numpy_iterator()), default=1)
        most = max(1, min(most, KEPT // longest))
    return most


def steady(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset, and what is made of it, without TensorFlow's tuner; AUTOTUNE is then as many calls as cores.

    The tuner's thread sleeps for up to a minute between two looks at the pipeline, and dropping an iterator waits for
    it.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
