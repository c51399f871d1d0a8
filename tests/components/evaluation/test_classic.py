"""The classic codecs are set as the tables say."""

import io

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin
from skimage import data as samples

from components.evaluation import classic

PICTURE = samples.coffee()[60:316, 100:420]


@pytest.mark.parametrize("codec", classic.CODECS, ids=lambda c: c.name)
def test_more_bits_give_a_better_picture_of_the_same_size(codec):
    sizes, errors = [], []
    for setting in codec.settings:
        encoded = codec.encode(PICTURE, setting)
        decoded = classic.decode(encoded)
        assert decoded.shape == PICTURE.shape and decoded.dtype == np.uint8
        sizes.append(len(encoded))
        errors.append(np.mean((decoded.astype(float) - PICTURE) ** 2))
    assert sizes == sorted(sizes) and len(set(sizes)) == len(sizes)
    assert errors == sorted(errors, reverse=True)


def test_jpeg_is_subsampled_and_optimised():
    encoded = classic.JPEG.encode(PICTURE, 50)
    assert JpegImagePlugin.get_sampling(Image.open(io.BytesIO(encoded))) == 2  # 4:2:0
    plain = io.BytesIO()
    Image.fromarray(PICTURE).save(plain, "JPEG", quality=50, subsampling="4:2:0")
    assert len(encoded) < len(plain.getvalue())


def test_jpeg_2000_is_a_lossy_codestream_at_the_rate_asked_for():
    encoded = classic.JPEG2000.encode(PICTURE, 0.8)
    assert encoded[:4] == b"\xff\x4f\xff\x51"
    assert 8 * len(encoded) / PICTURE[..., 0].size == pytest.approx(0.8, rel=0.03)
    # In the coding style segment the transform's byte is 0 for the 9/7 wavelet, 1 for the reversible 5/3.
    style = encoded.index(b"\xff\x52")
    assert encoded[style + 13] == 0


@pytest.mark.parametrize("size", [3000, 9000, 30000])
def test_jpeg_of_size_is_the_best_that_fits(size):
    encoded = classic.jpeg_of_size(PICTURE, size)
    sizes = {quality: len(classic.JPEG.encode(PICTURE, quality)) for quality in range(1, 96)}
    assert len(encoded) == max(s for s in sizes.values() if s <= size)


def test_jpeg_of_size_gives_quality_1_where_nothing_fits():
    assert classic.jpeg_of_size(PICTURE, 10) == classic.JPEG.encode(PICTURE, 1)


@pytest.mark.parametrize("size", [3000, 9000])
def test_a_codec_of_rates_keeps_to_a_size(size):
    encoded = classic.of_size(classic.JPEG2000, PICTURE, size)
    assert 0.97 * size < len(encoded) <= size


@pytest.mark.skipif(not classic.is_available(classic.AVIF), reason="this Pillow has no AVIF")
def test_avif_gives_a_better_picture_for_more_bits():
    files = [classic.AVIF.encode(PICTURE, setting) for setting in classic.AVIF.settings[::4]]
    errors = [np.mean((classic.decode(file).astype(float) - PICTURE) ** 2) for file in files]
    sizes = [len(file) for file in files]
    assert sizes == sorted(set(sizes)) and errors == sorted(errors, reverse=True)


def test_an_encoder_that_is_not_there_is_found_out():
    unknown = classic.ClassicCodec("none", "", (1,), lambda quality: {"format": "NONE"})
    assert not classic.is_available(unknown) and classic.is_available(classic.JPEG)
