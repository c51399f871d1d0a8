"""PSNR and MS-SSIM against scikit-image and SciPy, down to a picture of one pixel."""

import numpy as np
import pytest
import skimage.metrics
from scipy.ndimage import correlate1d

from models.codecs import distortion
from tests.models.kinds import photograph

RNG = np.random.default_rng(0)


def noisy(picture: np.ndarray, spread: float = 20) -> np.ndarray:
    """The picture with noise, uint8."""
    return np.clip(picture + RNG.normal(size=picture.shape) * spread, 0, 255).astype(np.uint8)


def scale_terms(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean SSIM and mean contrast-structure term a channel of [H, W, C] (Wang et al. 2003), in float64."""
    window = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window /= window.sum()

    def blur(x):
        return correlate1d(correlate1d(x, window, 0), window, 1)[5:-5, 5:-5]

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, both = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    structure = (2 * both + (0.03 * 255) ** 2) / (var_a + var_b + (0.03 * 255) ** 2)
    luminance = (2 * mean_a * mean_b + (0.01 * 255) ** 2) / (mean_a**2 + mean_b**2 + (0.01 * 255) ** 2)
    return (luminance * structure).mean((0, 1)), structure.mean((0, 1))


def reference_ms_ssim(a: np.ndarray, b: np.ndarray, weights) -> float:
    """MS-SSIM of [H, W, C] whose sides 2^scales divides."""
    a, b, product = a.astype(float), b.astype(float), 1.0
    for i, weight in enumerate(weights):
        ssim, structure = scale_terms(a, b)
        product = product * (ssim if i == len(weights) - 1 else structure) ** weight
        a, b = (p.reshape(p.shape[0] // 2, 2, p.shape[1] // 2, 2, 3).mean((1, 3)) for p in (a, b))
    return product.mean()


def test_psnr_is_scikit_images():
    pairs = [(photograph(20, 30, o), noisy(photograph(20, 30, o))) for o in (0, 100)]
    found = distortion.psnr_db(*(np.stack(p) for p in zip(*pairs, strict=True)))
    expected = [skimage.metrics.peak_signal_noise_ratio(*p) for p in pairs]
    assert found.shape == (2,) and np.allclose(found, expected, atol=1e-3)


def test_psnr_of_known_differences():
    a = np.zeros((4, 1, 1, 3), np.uint8)
    b = a + np.uint8([0, 1, 128, 255]).reshape(4, 1, 1, 1)
    expected = [100, 48.1308, 20 * np.log10(255 / 128), 0]
    assert np.allclose(distortion.psnr_db(a, b), expected, atol=1e-3)
    assert np.allclose(distortion.psnr_db(b, a), expected, atol=1e-3)


def test_ms_ssim_of_five_scales_is_that_of_the_paper():
    a = photograph(192, 224)
    for spread in (5, 40):
        b = noisy(a, spread)
        expected = reference_ms_ssim(a, b, (0.0448, 0.2856, 0.3001, 0.2363, 0.1333))
        assert abs(float(distortion.ms_ssim(a[None], b[None])[0]) - expected) < 1e-4


def test_one_scale_is_scikit_images_ssim():
    a = photograph(21, 200)
    b = noisy(a)
    expected = skimage.metrics.structural_similarity(
        a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert abs(float(distortion.ms_ssim(a[None], b[None])[0]) - expected) < 1e-3


@pytest.mark.parametrize("height, width", [(1, 1), (1, 30), (7, 3), (11, 11), (22, 175), (87, 64), (176, 176)])
def test_sides_of_any_size_have_a_value(height, width):
    a = photograph(height, width)
    b = noisy(a)
    same, other = distortion.ms_ssim(np.stack([a, a]), np.stack([a, b])).numpy()
    assert abs(same - 1) < 1e-5 and np.isfinite(other) and 0 <= other < 1


def test_more_noise_is_less_similar():
    a = photograph(64, 64)
    values = [float(distortion.ms_ssim(a[None], noisy(a, s)[None])[0]) for s in (2, 10, 40, 120)]
    assert values == sorted(values, reverse=True)
