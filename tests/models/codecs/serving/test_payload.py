"""A codec of another kind behind the picture server: rows of bytes, without loss, latents or a network."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.codecs import codec
from models.codecs.serving import server, transforms
from models.codecs.serving.latents import FactorizedLatents
from models.entropy.coder.bit_fields import require
from models.entropy.densities.factorized import FactorizedPrior
from models.publishing import export
from tests.claims import damage
from tests.models.kinds import photograph, picture_record, png

STRIDE, TILE = 3, 4  # pixels: the first section holds the rows that 3 divides, the second the others, 4 at a time


class Rows(tf.Module):
    """The bytes of rows; the quality says how many low bits are lost."""

    fingerprint, reads, tables, section_count, variable, chooses = 77, (), {}, 2, True, False
    measures = ("levels",)

    def encode(self, pixels, step):
        kept = self._cut(pixels, step)
        places = tf.range(tf.shape(pixels)[0])
        first, others = (tf.boolean_mask(kept, (places % STRIDE == 0) == side) for side in (True, False))
        tiles = tf.map_fn(
            lambda top: self._string(others[top : top + TILE]),
            tf.range(0, tf.shape(others)[0], TILE), fn_output_signature=tf.string,
        )  # fmt: skip
        return [self._string(first), tf.strings.reduce_join(tiles)], kept

    def decode(self, sections, height, width):
        promised = tf.cast(height, tf.int64) * tf.cast(width, tf.int64) * 3
        held = tf.reduce_sum([tf.cast(tf.strings.length(s), tf.int64) for s in sections])
        with tf.control_dependencies([require(held == promised, "damaged stream: too short for its size")]):
            first, others = (tf.reshape(tf.io.decode_raw(s, tf.uint8), [-1, width, 3]) for s in sections)
        places = tf.range(height)
        order = tf.argsort(tf.cast(places % STRIDE != 0, tf.int32) * height + places)
        pixels = tf.ensure_shape(tf.gather(tf.concat([first, others], 0), tf.argsort(order)), (None, None, 3))
        return pixels, pixels

    def draw(self, decoded, height, width, step):
        return decoded

    def measure(self, pixels, decoded, drawn, bpp, step):
        return (tf.reduce_max(tf.abs(tf.cast(pixels, tf.float32) - tf.cast(drawn, tf.float32))),)

    @staticmethod
    def _cut(pixels, step):
        unit = tf.cast(2 ** ((server.LAST_STEP - step) // 16), tf.uint8)
        return pixels // unit * unit

    @staticmethod
    def _string(rows):
        letters = tf.constant([bytes([n]) for n in range(256)])
        return tf.strings.reduce_join(tf.gather(letters, tf.reshape(tf.cast(rows, tf.int32), [-1])))


@pytest.fixture(scope="module")
def signatures(tmp_path_factory):
    """Of the saved model."""
    folder, module = str(tmp_path_factory.mktemp("rows") / "model"), server.PictureServer(Rows())
    tf.saved_model.save(module, folder, signatures=module.functions)
    assert not export.foreign_ops(folder)
    loaded = tf.saved_model.load(folder)
    assert set(loaded.signatures) == {"compress", "compress_at", "decompress", "serving_default"}
    yield loaded.signatures
    del loaded


def coded(signatures, pictures, quality: int = 100) -> list[bytes]:
    answer = signatures["compress_at"](
        image_bytes=tf.constant([png(p) for p in pictures]), quality=tf.constant([quality] * len(pictures))
    )
    return answer["bitstream_bytes"].numpy().tolist()


def decoded(signatures, streams) -> list[np.ndarray]:
    answer = signatures["decompress"](bitstream_bytes=tf.constant(streams))["image_bytes"].numpy()
    return [np.asarray(Image.open(io.BytesIO(a))) for a in answer]


def test_pictures_of_any_size_and_kind_come_back_as_they_were(signatures):
    alpha = np.dstack([photograph(7, 5), np.arange(35, dtype=np.uint8).reshape(7, 5)])
    pictures = [photograph(*size) for size in ((1, 1), (2, 9), (13, 16), (64, 3))] + [alpha, photograph(9, 8)[..., 0]]
    for picture, result in zip(pictures, decoded(signatures, coded(signatures, pictures)), strict=True):
        np.testing.assert_array_equal(result, picture)


def test_a_quality_is_the_payloads_affair(signatures):
    pixels = photograph(10, 12)
    for quality, lost in ((100, 0), (75, 1), (0, 7)):
        (found,) = decoded(signatures, coded(signatures, [pixels], quality))
        np.testing.assert_array_equal(found, pixels // (lost + 1) * (lost + 1))


def test_what_the_payload_measures_is_told(signatures):
    pixels = photograph(10, 12)
    numbers = signatures["serving_default"](examples=tf.constant([picture_record(pixels)]))
    assert set(numbers) == {"bpp", "psnr_db", "ms_ssim", "levels"} and numbers["levels"].shape == (1, 1)
    assert float(numbers["levels"][0, 0]) == (pixels % 2).max()  # quality 50 drops one bit
    assert float(numbers["bpp"][0, 0]) > 24


class Blocks(codec.Codec):
    """A transform of blocks of 8x8 pixels, each by itself, in tiles of 3x3 blocks."""

    stride, tile, halo, gradient_tile = 8, 3, 1, 2

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.prior = FactorizedPrior(dtype="float32", name="prior")

    def transforms(self, config):
        block = {"kernel_size": 8, "strides": 8, "padding": "same"}
        forth = [keras.Input((None, None, 3)), keras.layers.Conv2D(config.latents, **block)]
        back = [keras.Input((None, None, config.latents)), keras.layers.Conv2DTranspose(3, **block)]
        return keras.Sequential([*forth, keras.layers.Rescaling(20.0)]), keras.Sequential(back)

    def code(self, y, training):
        y_hat = self.discretize(y, training)
        return y_hat, self.prior(y_hat)


@pytest.mark.slow
def test_a_transform_has_a_stride_tiles_and_a_halo_of_its_own():
    config = codec.CodecConfig(latents=6, start="random")
    model = codec.build(Blocks, config)
    made = transforms.signatures(FactorizedLatents, model, config)
    pixels = photograph(50, 61)
    whole = tf.round(model.analysis(tf.pad(pixels, [[0, 6], [0, 3], [0, 0]], "SYMMETRIC")[None] / 255)[0])
    y = tf.round(made.payload.analyse(tf.constant(pixels)))
    assert y.shape == (1, 7, 8, 6)
    np.testing.assert_array_equal(y[0, :6, :7], whole[:6, :7])  # of the others the padding is the codec's own
    stream = made.functions["compress"](tf.constant([png(pixels)]))["bitstream_bytes"]
    (found,) = made.functions["decompress"](stream)["image_bytes"].numpy()
    drawn = np.clip(255 * np.array(model.synthesis(y))[0, :50, :61], 0, 255)
    assert np.abs(np.asarray(Image.open(io.BytesIO(found))) - drawn).max() <= 1


def test_what_is_no_stream_of_it_is_refused(signatures):
    (stream,) = coded(signatures, [photograph(6, 4)])
    taller = damage.sealed(stream[:20] + (12).to_bytes(2, "little") + stream[22:])
    other = damage.sealed(stream[:40] + bytes([stream[40] ^ 1]) + stream[41:])
    for forged, message in (
        (stream[:-1], "damaged"), (taller, "damaged stream: too short for its size"),
        (other, "the decoded latents differ from those written"),
    ):  # fmt: skip
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            signatures["decompress"](bitstream_bytes=tf.constant([forged]))
