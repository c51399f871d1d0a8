"""A codec that is no network: it drops low bits and lets PNG do the rest. It answers, refuses and measures for real."""

import json
import pathlib

import tensorflow as tf

from models.codecs import distortion
from models.entropy.coder.header import MAGIC as START
from models.entropy.coder.header import VERSION
from models.records import pictures as picture_records

MAGIC = START + bytes([VERSION])


def header(dropped_bits: int) -> bytes:
    """What the container's header says: a checksum of nought, the model's fingerprint, sizes of nought."""
    return MAGIC + bytes(8) + dropped_bits.to_bytes(4, "little") + bytes(9)


class TinyCodec(tf.Module):
    """Streams are a header, then a PNG with the lowest `dropped_bits` bits of each sample set to nought.

    One of variable rate (`variable`) has the quality at the end of each as well, which changes nothing else.
    """

    def __init__(self, dropped_bits: int = 4, variable: bool = False):
        super().__init__()
        self.step, self.header = 2**dropped_bits, header(dropped_bits)
        text = tf.TensorSpec([None], tf.string)
        self.served = {
            "compress": tf.function(self.compress).get_concrete_function(image_bytes=text),
            "decompress": tf.function(self.decompress).get_concrete_function(bitstream_bytes=text),
            "serving_default": tf.function(self.evaluate).get_concrete_function(examples=text),
        }
        if variable:
            number = tf.TensorSpec([None], tf.int32)
            at = tf.function(self.compress_at).get_concrete_function(image_bytes=text, quality=number)
            self.served["compress_at"] = at

    def compress(self, image_bytes):
        def one(encoded):
            return self.header + tf.io.encode_png(picture_records.decode(encoded) // self.step)

        return {"bitstream_bytes": tf.map_fn(one, image_bytes)}

    def compress_at(self, image_bytes, quality):
        behind = tf.strings.as_string(quality)  # which no PNG minds
        return {"bitstream_bytes": tf.strings.join([self.compress(image_bytes)["bitstream_bytes"], behind])}

    def decompress(self, bitstream_bytes):
        def one(stream):
            check = tf.debugging.Assert(
                tf.strings.substr(stream, 0, len(self.header)) == self.header, ["not a stream of this codec"]
            )
            with tf.control_dependencies([check]):  # else the PNG decoder may complain first
                png = tf.strings.substr(stream, len(self.header), -1)
            levels = tf.io.decode_png(png, channels=3)
            return tf.io.encode_png(levels * self.step + self.step // 2)

        return {"image_bytes": tf.map_fn(one, bitstream_bytes)}

    def evaluate(self, examples):
        def one(example):
            encoded = picture_records.parse(example)[picture_records.ENCODED]
            stream = self.compress(encoded[None])["bitstream_bytes"]
            picture = picture_records.decode(encoded)
            decoded = picture_records.decode(self.decompress(stream)["image_bytes"][0])
            pixels = tf.cast(tf.size(picture) // 3, tf.float32)
            bits = 8 * tf.cast(tf.strings.length(stream[0]), tf.float32)
            psnr, ms_ssim = (
                distortion.psnr_db(picture[None], decoded[None]),
                distortion.ms_ssim(picture[None], decoded[None]),
            )
            return psnr, ms_ssim, bits[None] / pixels, (bits[None] - 32) / pixels

        names = ("psnr_db", "ms_ssim", "bpp", "estimated_bpp")
        values = tf.map_fn(one, examples, fn_output_signature=(tf.float32,) * 4)
        return dict(zip(names, values, strict=True))


def save(directory: pathlib.Path, dropped_bits: int = 4, recipe: str = "tiny", **more) -> pathlib.Path:
    """Saves a codec as the exporter lays a model out, which says `more` of itself; returns its folder.

    It is of variable rate where `more` has a configuration with `rates`.
    """
    model = TinyCodec(dropped_bits, "rates" in more.get("config", {}))
    tf.saved_model.save(model, str(directory), signatures=model.served)
    (directory / "assets.extra").mkdir()
    about = {"recipe": recipe, "config": {"lmbda": 1 / model.step}, "fingerprint": f"{dropped_bits:08x}"} | more
    (directory / "assets.extra" / "kompakt.json").write_text(json.dumps(about))
    return directory


def photographs(side: int = 96) -> dict:
    """Real photographs, uint8 [side, side, 3]: squares of those that ship with scikit-image."""
    from skimage import data as samples

    return {name: getattr(samples, name)()[40 : 40 + side, 60 : 60 + side] for name in ("astronaut", "coffee", "cat")}
