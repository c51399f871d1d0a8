"""A SavedModel with a codec's signatures that does no coding: small enough to test what happens around models."""

import pathlib

import tensorflow as tf

from models.records import pictures as picture_records


class ToyModel(tf.Module):
    """`compress` and `decompress` pass the bytes on; `serving_default` gives constants."""

    def __init__(self, psnr_db: float = 30.0, broken: str = ""):
        super().__init__()
        self.psnr_db, self.broken = psnr_db, broken
        text = tf.TensorSpec([None], tf.string)
        self.served = {
            "compress": tf.function(self.compress).get_concrete_function(image_bytes=text),
            "decompress": tf.function(self.decompress).get_concrete_function(bitstream_bytes=text),
            "serving_default": tf.function(self.evaluate).get_concrete_function(examples=text),
        }

    def compress(self, image_bytes):
        return {"bitstream_bytes": tf.strings.join([b"toy", image_bytes])}

    def decompress(self, bitstream_bytes):
        pictures = tf.strings.substr(bitstream_bytes, 3, -1)
        if self.broken == "size":
            pictures = tf.map_fn(lambda p: tf.io.encode_png(tf.io.decode_png(p)[1:]), pictures)
        return {"image_bytes": pictures}

    def evaluate(self, examples):
        pixels = tf.cast(picture_records.parse(examples)[picture_records.WIDTH], tf.float32)[:, None]
        psnr = self.psnr_db + 0.0 * pixels
        return {"psnr_db": psnr / 0.0 if self.broken == "infinite" else psnr, "width": pixels}


def save(directory: pathlib.Path, **options) -> str:
    """Saves a toy model; returns its path."""
    model = ToyModel(**options)
    tf.saved_model.save(model, str(directory), signatures=model.served)
    return str(directory)


def write_records(path: pathlib.Path, sizes: list[tuple[int, int]]) -> str:
    """Writes one GZIP TFRecord with a grey ramp of each (height, width); returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for index, (height, width) in enumerate(sizes):
            pixels = tf.cast(tf.range(height * width * 3) % 255, tf.uint8)
            png = tf.io.encode_png(tf.reshape(pixels, (height, width, 3))).numpy()
            example = picture_records.image_example(
                png, key=str(index), format_name="png", height=height, width=width, channels=3, size_bytes=len(png)
            )
            writer.write(example.SerializeToString())
    return str(path)
