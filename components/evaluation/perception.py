"""Rate, distortion and perception of decoded pictures of a set: bpp, PSNR, and FD and sharpness beside them."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from components.evaluation import rate_distortion
from components.evaluation.aggregates import frechet


@dataclasses.dataclass(frozen=True)
class Judged:
    """What a codec reached on a set of pictures.

    Attributes:
      bpp, psnr_db, sharpness: means of the pictures' values (all bits of the files over the pixels; dB; gradient energy
        over that of the original).
      fd: Frechet distance of the set's features (`models.generative.perception.features`), NaN of too few pictures.
    """

    bpp: float
    psnr_db: float
    fd: float
    sharpness: float


class Judge:
    """Holds the features of originals, uint8 [H, W, 3] each of any size, and judges what codecs made of them."""

    def __init__(self, originals: Sequence[np.ndarray]):
        self.originals = originals
        self._real = frechet.moments(np.stack([_features(p) for p in originals]))
        self._made = frechet.FrechetDistance()

    def __call__(self, decoded: Sequence[np.ndarray], sizes: Sequence[int]) -> Judged:
        """Judges decoded pictures, uint8 of the originals' shapes and order, of files of so many bytes.

        Raises:
          ValueError: a shape differs.
        """
        from models.generative.perception import served

        points, sharp = [], []
        for original, picture, size in zip(self.originals, decoded, sizes, strict=True):
            points.append(rate_distortion.compare(original, picture, size, structural=False))
            sharp.append(float(served.sharpness(original[None], picture[None])[0]))
        mean = rate_distortion.mean(points)
        drawn = frechet.moments(np.stack([_features(p) for p in decoded]))
        return Judged(mean.bpp, mean.psnr_db, self._made.result((drawn, self._real)), float(np.mean(sharp)))


def _features(picture: np.ndarray) -> np.ndarray:
    from models.generative.perception import features

    return features.features(picture).numpy()
