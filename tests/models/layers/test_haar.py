"""The wavelet start: a codec that was never trained already shows the picture."""

import numpy as np
import pytest
import skimage.data

from models.codecs import codec
from models.layers import haar


def reconstruction_db(start: str, picture: np.ndarray) -> float:
    """PSNR of a picture [H, W, 3] after untrained transforms with rounded latents."""
    config = codec.CodecConfig(channels=48, latents=64)
    analysis, synthesis = codec.analysis(config), codec.synthesis(config)
    if start == "haar":
        haar.initialize(analysis, synthesis, codec.GAIN)
    x = (picture[None] / 255).astype("float32")
    decoded = np.clip(synthesis(np.round(analysis(x))), 0, 1)
    return -10 * np.log10(np.square(decoded - x).mean())


@pytest.mark.parametrize("name", ["astronaut", "coffee", "cat"])
def test_photographs_show_at_once(name):
    picture = getattr(skimage.data, name)()[:192, :256]
    at_once, random = reconstruction_db("haar", picture), reconstruction_db("random", picture)
    assert at_once > 20 and at_once > random + 6


def test_a_level_of_the_packet_is_orthonormal_and_its_channels_go_from_cheap_to_dear():
    costs, size = np.array([0.0, 2.0, 2.5]), 12
    kernel, costs = haar._packet_level(costs, (5, 5, 3, size), 4, first=True)
    rows = kernel.reshape(-1, size).T
    assert np.allclose(rows @ rows.T, np.eye(size), atol=1e-12)
    assert np.array_equal(np.sort(costs), costs) and costs.size == size


@pytest.mark.parametrize("channels, latents", [(1, 1), (3, 5), (16, 400)])
def test_any_width_can_be_started(channels, latents):
    config = codec.CodecConfig(channels=channels, latents=latents)
    analysis, synthesis = codec.analysis(config), codec.synthesis(config)
    haar.initialize(analysis, synthesis, codec.GAIN)
    x = np.full((1, 32, 32, 3), 0.5, "float32")
    y = np.array(synthesis(analysis(x)))
    assert np.isfinite(y).all() and abs(y.mean() - 0.5) < 0.4
