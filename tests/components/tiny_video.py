"""A video codec with the signatures of a pushed one, whose streams hold PNGs of frames with their low bits dropped."""

import json
import pathlib

import tensorflow as tf

from models.codecs import distortion
from models.records import clips

GROUP = 4
_FRAMES = tf.TensorSpec([None, None, None, 3], tf.uint8, "frames")


class TinyVideo(tf.Module):
    """Keeps the upper bits of each value: by default four, all at a quality of 100."""

    def __init__(self, mark: int = 7):
        super().__init__()
        self.header = b"TVC" + bytes([mark])
        self.write_at = tf.function(self._write, [_FRAMES, tf.TensorSpec([], tf.int32)], autograph=False)
        self.served = {
            "compress": tf.function(lambda frames: self._named(frames, 50), [_FRAMES], autograph=False),
            "compress_at": tf.function(
                lambda frames, quality: self._named(frames, quality[0]),
                [_FRAMES, tf.TensorSpec([None], tf.int32, "quality")], autograph=False,
            ),
            "decompress": tf.function(
                lambda bitstream_bytes: {"frames": self.read(bitstream_bytes[0])},
                [tf.TensorSpec([None], tf.string, "bitstream_bytes")], autograph=False,
            ),
            "flow": tf.function(self.flow, [_FRAMES], autograph=False),
            "serving_default": tf.function(
                self.evaluate, [tf.TensorSpec([None], tf.string, "examples")], autograph=False
            ),
        }  # fmt: skip

    def _named(self, frames, quality):
        return {"bitstream_bytes": self.write_at(frames, quality)[None]}

    def _write(self, frames, quality):
        shape = tf.shape(frames)
        check = tf.debugging.assert_less_equal(shape[0], GROUP, "too many frames")
        dropped = tf.cast(8 - tf.maximum(1, 8 * quality // 100), tf.uint8)
        with tf.control_dependencies([check]):
            kept = tf.bitwise.left_shift(tf.bitwise.right_shift(frames, dropped), dropped)
        stacked = tf.reshape(kept, [shape[0] * shape[1], shape[2], 3])
        return tf.strings.join([self.header, tf.strings.as_string(shape[0]), tf.io.encode_png(stacked)])

    def read(self, stream):
        check = tf.debugging.Assert(tf.strings.substr(stream, 0, 4) == self.header, ["not a stream of this codec"])
        with tf.control_dependencies([check]):
            stream = tf.identity(stream)
        count = tf.strings.to_number(tf.strings.substr(stream, 4, 1), tf.int32)
        stacked = tf.io.decode_png(tf.strings.substr(stream, 5, -1), 3)
        return tf.reshape(stacked, [count, -1, tf.shape(stacked)[1], 3])

    def flow(self, frames):
        shape = tf.shape(frames)
        across = tf.cast(tf.range(shape[2]), tf.float32) / 8
        return {"flow": tf.zeros([shape[0] - 1, shape[1], 1, 2]) + tf.stack([across, 2 - across], 1)}

    def evaluate(self, examples):
        def one(example):
            frames = clips.decode(clips.parse(example)[clips.FRAMES][:GROUP])
            stream = self.write_at(frames, 50)
            decoded = self.read(stream)
            bits = 8.0 * tf.cast(tf.strings.length(stream), tf.float32)
            psnr = tf.reduce_mean(distortion.psnr_db(frames, decoded))
            bpp = bits / tf.cast(tf.size(frames) // 3, tf.float32)
            return bpp, psnr, bpp * 0.75, bpp * 0.25

        names = ("bpp", "psnr_db", "intra_bpp", "motion_bpp")
        values = tf.map_fn(one, examples, fn_output_signature=(tf.float32,) * 4)
        return {name: value[:, None] for name, value in zip(names, values, strict=True)}


def save(directory: pathlib.Path, mark: int = 7, variable: bool = True, **more) -> pathlib.Path:
    """Saves a codec as the exporter lays a model out, which says `more` of itself; returns its folder."""
    model = TinyVideo(mark)
    served = {name: function for name, function in model.served.items() if variable or name != "compress_at"}
    tf.saved_model.save(model, str(directory), signatures=served)
    (directory / "assets.extra").mkdir()
    about = {"recipe": "tiny_video", "config": {"group": GROUP}, "fingerprint": f"{mark:08x}"} | more
    (directory / "assets.extra" / "kompakt.json").write_text(json.dumps(about))
    return directory
