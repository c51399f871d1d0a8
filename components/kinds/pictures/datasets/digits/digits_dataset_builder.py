"""TFDS data set of the handwritten digits inside scikit-learn: a first classifier where there is no network.

1,797 grey pictures of 8x8 pixels and 17 levels: the test part of "Optical Recognition of Handwritten Digits" (UCI;
E. Alpaydin, C. Kaynak; CC BY 4.0).
"""

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from sklearn import datasets


class Builder(tfds.core.GeneratorBasedBuilder):
    """All digits in one split, as 8-bit PNG; the ingest splits them by their content."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Handwritten digits that ship inside scikit-learn.",
            homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1)),
                    "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # Nothing is downloaded.
        return {"digits": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        digits = datasets.load_digits()
        levels = (digits.images * (255 / 16)).round().astype("uint8")[..., None]
        for n, (pixels, label) in enumerate(zip(levels, digits.target, strict=True)):
            yield f"{n:04d}", {"image": tf.io.encode_png(pixels).numpy(), "label": int(label)}
