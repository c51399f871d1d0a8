"""The classic lossless codecs keep every value; their rates are those of whole files."""

import io

import numpy as np
import pytest
from PIL import Image

from components.evaluation import classic_lossless
from tests.models.examples import photograph


@pytest.mark.parametrize("name", classic_lossless.CODECS)
def test_nothing_is_lost(name):
    picture = photograph(61, 83)
    with Image.open(io.BytesIO(classic_lossless.encode(name, picture))) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), picture)


def test_rates_are_means_of_bits_per_sub_pixel():
    pictures = [photograph(64, 64), np.zeros((32, 32, 3), np.uint8)]
    sizes = [8 * len(classic_lossless.encode("WebP", picture)) / picture.size for picture in pictures]
    found = classic_lossless.rates(pictures)
    assert found["WebP"] == pytest.approx(np.mean(sizes)) and found["PNG"] > found["WebP"]
