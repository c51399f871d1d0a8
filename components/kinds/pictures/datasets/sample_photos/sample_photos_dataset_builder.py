"""TFDS data set of photographs that ship inside scikit-image: real pictures where there is no network.

Public domain, CC0, or without known restrictions: the documentation of `skimage.data` names the source of each.
"""

import io
import math
from collections.abc import Iterator
from typing import Any

import skimage
import tensorflow_datasets as tfds
from etils import epath
from PIL import Image

# A photograph lies in one split with all its crops; so do the two views of the stereo pair.
SOURCES = {
    "train": (
        "astronaut.png",
        "motorcycle_left.png",
        "motorcycle_right.png",
        "hubble_deep_field.jpg",
        "ihc.png",
        "brick.png",
        "grass.png",
        "gravel.png",
        "coins.png",
    ),
    "validation": ("rocket.jpg", "moon.png"),
    "test": ("chelsea.png", "coffee.png", "camera.png"),
}
MAX_SIDE = 512  # pixels; larger photographs are cut into equal parts without overlap


class Builder(tfds.core.GeneratorBasedBuilder):
    """14 photographs, colour and grey, in 21 crops of at most MAX_SIDE pixels a side, lossless (PNG)."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({"image": tfds.features.Image(), "id": tfds.features.Text()})
        return tfds.core.DatasetInfo(
            builder=self,
            description="Photographs that ship inside scikit-image.",
            homepage="https://scikit-image.org/docs/stable/api/skimage.data.html",
            features=features,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(names) for split, names in SOURCES.items()}

    def _generate_examples(self, names: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
        folder = epath.Path(skimage.__file__).parent / "data"
        for name in names:
            with Image.open(io.BytesIO((folder / name).read_bytes())) as photograph:
                for row, column, crop in _crops(photograph):
                    buffer = io.BytesIO()
                    crop.save(buffer, "PNG")
                    key = f"{name.partition('.')[0]}_{row}{column}"
                    yield key, {"image": buffer.getvalue(), "id": key}


def _crops(photograph: Image.Image) -> Iterator[tuple[int, int, Image.Image]]:
    """Cuts a photograph into the fewest equal parts of at most MAX_SIDE a side: (row, column, crop)."""
    columns, rows = (math.ceil(side / MAX_SIDE) for side in photograph.size)
    width, height = photograph.width // columns, photograph.height // rows
    for row in range(rows):
        for column in range(columns):
            left, top = column * width, row * height
            yield row, column, photograph.crop((left, top, left + width, top + height))
