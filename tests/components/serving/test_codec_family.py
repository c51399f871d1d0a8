"""A family of rate points: which one a wish picks, and that each reads its own streams."""

import io

import numpy as np
import pytest
from PIL import Image

from components.serving.codec_family import CodecFamily, RateChoice
from components.serving.served_codec import ServedCodecError
from tests.components import tiny_codec

BITS = (2, 4, 5, 6)  # dropped; lambdas 1/4, 1/16, 1/32, 1/64


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("family")
    return [tiny_codec.save(root / str(bits) / "1", bits).parent for bits in BITS]


@pytest.fixture(scope="module")
def family(folders):
    return CodecFamily(folders)


def encoded(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def picture() -> bytes:
    return encoded(tiny_codec.photographs()["cat"])


def bits_of(stream: bytes) -> int:
    """Dropped bits of the point that wrote a stream."""
    (bits,) = (b for b in BITS if stream.startswith(tiny_codec.header(b)))
    return bits


def test_points_are_ordered_by_lambda(family):
    assert [point.lmbda for point in family.points] == [1 / 64, 1 / 32, 1 / 16, 1 / 4]


@pytest.mark.parametrize(("quality", "bits"), [(0, 6), (30, 5), (60, 4), (100, 2)])
def test_quality_spreads_over_the_points(family, picture, quality, bits):
    stream, lmbda, bound, _ = family.compress(picture, RateChoice(quality=quality))
    assert bits_of(stream) == bits and lmbda == 2.0**-bits and bound is None


def test_a_target_takes_the_nearest_point(family, picture):
    """Against coding with every point."""
    pixels = 96 * 96
    coded = [family.compress(picture, RateChoice(quality=q))[0] for q in (0, 34, 67, 100)]
    rates = np.array([8 * len(stream) / pixels for stream in coded])
    assert (np.diff(rates) > 0).all()
    for target in (0.01, *rates, *np.sqrt(rates[1:] * rates[:-1]) * 1.05, 1e3):
        nearest = coded[np.abs(np.log(rates / target)).argmin()]
        assert family.compress(picture, RateChoice(target_bpp=target))[0] == nearest
    original = np.asarray(Image.open(io.BytesIO(picture))).astype(float)
    decoded = [np.asarray(Image.open(io.BytesIO(family.decompress(stream)))).astype(float) for stream in coded]
    quality = np.array([10 * np.log10(255**2 / np.square(d - original).mean()) for d in decoded])
    for target in (1, *quality, *(quality[1:] + quality[:-1]) / 2 + 0.1, 99):
        nearest = coded[np.abs(quality - target).argmin()]
        assert family.compress(picture, RateChoice(target_psnr_db=target))[0] == nearest


def test_targets_out_of_reach_are_known_with_what_comes_nearest(family, picture):
    ends = [family.compress(picture, RateChoice(quality=q))[0] for q in (0, 100)]
    rates = [8 * len(stream) / 96**2 for stream in ends]
    bounds = [family.compress(picture, RateChoice(target_bpp=t)).bound for t in (0.01, *rates, sum(rates) / 2, 99)]
    assert bounds == [rates[0], None, None, None, rates[1]]
    low, high = (family.compress(picture, RateChoice(target_psnr_db=t)).bound for t in (1, 99))
    assert 20 < low < high < 60 and family.compress(picture, RateChoice(target_psnr_db=(low + high) / 2)).bound is None


def test_streams_of_other_models_and_no_streams_are_refused(folders, family, picture):
    stream = family.compress(picture, RateChoice(quality=100))[0]
    others = CodecFamily(folders[1:])
    with pytest.raises(ServedCodecError, match="of model 00000002, none of those given"):
        others.decompress(stream)
    with pytest.raises(ServedCodecError, match="not a Kompakt stream"):
        others.decompress(b"noise")


def test_streams_of_earlier_fingerprints_go_to_the_model_that_reads_them(folders, tmp_path):
    """But a model given for a fingerprint of its own comes first. Which model was asked is in what it says."""
    heir = tiny_codec.save(tmp_path / "1", 3, reads=["0000000a", "00000002"])
    family = CodecFamily([heir])
    for bits in (10, 2):
        with pytest.raises(ServedCodecError, match="not a stream of this codec"):
            family.decompress(tiny_codec.header(bits))
    both = CodecFamily([folders[0], heir])
    stream = both.compress(encoded(tiny_codec.photographs(16)["cat"]), RateChoice(quality=100))[0]
    assert bits_of(stream) == 2 and Image.open(io.BytesIO(both.decompress(stream))).size == (16, 16)
    with pytest.raises(ServedCodecError, match="of model 0000000b, none of those given .00000003"):
        family.decompress(tiny_codec.header(11))


def test_what_is_no_family_is_refused(folders, tmp_path):
    with pytest.raises(ServedCodecError, match="both have lambda 0.25"):
        CodecFamily([folders[0], folders[0]])
    with pytest.raises(ServedCodecError, match="no model here"):
        CodecFamily([folders[0], tmp_path])
    bare = tiny_codec.save(tmp_path / "1", 3)
    (bare / "assets.extra" / "kompakt.json").unlink()
    with pytest.raises(ServedCodecError, match="does not say its lambda"):
        CodecFamily([folders[0], bare])


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"quality": 5, "target_bpp": 1},
        {"quality": -1},
        {"quality": 101},
        {"target_psnr_db": 0},
        {"quality": float("nan")},
        {"target_bpp": float("inf")},
    ],
)
def test_wishes_that_are_none_are_refused(wish):
    with pytest.raises(ValueError):
        RateChoice(**wish)
