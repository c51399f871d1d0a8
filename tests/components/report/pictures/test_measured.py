"""What is measured of a picture, and of which part, with a real codec."""

import numpy as np
import pytest

from components.evaluation import classic
from components.report.pictures import measured
from components.serving.served_codec import ServedCodec, png
from models.entropy.coder import header
from tests.components import tiny_codec


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    served = ServedCodec(tiny_codec.save(tmp_path_factory.mktemp("model") / "1", 5))
    return measured.Codec(served.compress, served.decompress)


def test_of_a_large_picture_the_middle_is_coded_alone(codec):
    # Wider than a part; flat at both ends, so that the middle alone needs more bits a pixel.
    picture = np.full((80, 1200, 3), 128, np.uint8)
    picture[:, 500:700] = np.random.default_rng(1).integers(0, 256, (80, 200, 3))
    stream = codec.compress(png(picture))
    found = measured.measure(codec, [classic.JPEG], "wide", 3, png(picture), stream, 0.5, 0)
    assert (found.height, found.width, found.size_bytes, found.encode_s) == (80, 1200, len(stream), 0.5)
    assert (found.compared.height, found.compared.width) == (80, 1024)
    own = found.compared.own
    assert own.size_bytes == len(codec.compress(png(picture[:, 88:1112]))) and own.point.bpp > found.point.bpp
    assert "middle 1024 × 80 pixels" in found.about


def test_no_file_is_larger_than_the_stream_where_one_can_be_smaller(codec):
    picture = tiny_codec.photographs(128)["coffee"]
    stream = codec.compress(png(picture))
    known = (*classic.CODECS, classic.AVIF)
    found = measured.measure(codec, known, "coffee", 3, png(picture), stream, 0.0, 0).compared
    for name, file in found.others.items():
        assert 0.5 * len(stream) < file.size_bytes <= len(stream), name
        assert len(found.curves[name]) == 5 and file.point.ms_ssim > 0.9


def test_a_stream_that_holds_a_png_is_kept_without_loss():
    encoded = png(tiny_codec.photographs()["cat"])
    start = header.MAGIC + bytes([header.STORED]) + bytes(header.FIXED - 4)
    codec = measured.Codec(lambda image: start + image, lambda stream: stream[len(start) :])
    found = measured.measure(codec, [classic.JPEG], "cat", 3, encoded, start + encoded, 0.0, 0)
    assert found.kept == "without loss, as a PNG" and found.compared is None and found.point.psnr_db == 100


def test_only_the_first_pictures_are_compared(codec):
    encoded = png(tiny_codec.photographs()["cat"])
    stream = codec.compress(encoded)
    for before, is_compared in ((measured.MOST - 1, True), (measured.MOST, False)):
        found = measured.measure(codec, [classic.JPEG], "cat", 3, encoded, stream, 0.0, before)
        assert (found.compared is not None) == is_compared
