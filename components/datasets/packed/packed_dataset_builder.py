"""TFDS data set of labelled pictures that are packed into one `.npz` file of NumPy.

The file holds for each of its splits (train, validation, test) the pictures, `<split>_image` uint8 [N, H, W, 3], or
`<split>_diff` uint8 [3, N, H, W]: their differences along both sides, of the first and the third channel less the
second, which packs smaller; `<split>_label`, whole numbers [N]; and `names`, text [K].
"""

import dataclasses
import hashlib
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from components.ingest.folders import DataError
from models.records.pictures import SPLITS


class Packed(NamedTuple):
    """What a packed file holds, told without unpacking its pictures: its splits, the classes' names, its digest."""

    splits: list[str]
    names: list[str]
    digest: str


@dataclasses.dataclass(eq=False)
class PackedConfig(tfds.core.BuilderConfig):
    """Which file is read, the names of its classes and its splits."""

    path: str = ""
    names: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()


def read_packed(path: str) -> Packed:
    """Looks into a packed file.

    Raises:
      DataError: no such file, it is not packed as the module says, or its labels do not fit its names and pictures.
    """
    try:
        content = epath.Path(path).read_bytes() if path else b""
        with np.load(path, allow_pickle=False) as arrays:
            keys = set(arrays.files)
            splits = [s for s in SPLITS if keys & {f"{s}_diff", f"{s}_image"}]
            if not splits or "names" not in keys or not {f"{s}_label" for s in splits} <= keys:
                raise DataError(f"{path}: not a packed set; it holds {', '.join(sorted(keys)) or 'nothing'}")
            names = [str(name) for name in arrays["names"]]
            for split in splits:
                _check(path, split, arrays, len(names))
    except (OSError, ValueError, zipfile.BadZipFile, tf.errors.OpError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path or 'no file'}: cannot be read as an .npz file ({error})") from error
    return Packed(splits, names, hashlib.sha256(content).hexdigest())


def _check(path: str, split: str, arrays, classes: int) -> None:
    """Raises DataError unless a split has as many labels as pictures, all of them numbers of classes."""
    pixels, labels = unpack(arrays, split), arrays[f"{split}_label"]
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8 or labels.shape != pixels.shape[:1]:
        raise DataError(f"{path}: {split} has pictures {pixels.shape} {pixels.dtype} and labels {labels.shape}")
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        raise DataError(f"{path}: labels of {split} reach from {labels.min()} to {labels.max()}, with {classes} names")


def unpack(arrays, split: str) -> np.ndarray:
    """The pictures of a split, uint8 [N, H, W, 3]; `arrays` is an open `.npz` file."""
    if f"{split}_image" in arrays:
        return arrays[f"{split}_image"]
    pixels = arrays[f"{split}_diff"].cumsum(2, dtype=np.uint8).cumsum(3, dtype=np.uint8)
    pixels = pixels.transpose(1, 2, 3, 0).copy()
    pixels[..., ::2] += pixels[..., 1:2]
    return pixels


class Builder(tfds.core.GeneratorBasedBuilder):
    """The splits of a packed file, each picture as PNG."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Name the file in a `PackedConfig`."

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config or PackedConfig(name="none")
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(),
                "label": tfds.features.ClassLabel(names=list(config.names)),
            }
        )
        return tfds.core.DatasetInfo(builder=self, description="Labelled pictures of one file.", features=features)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(split) for split in self.builder_config.splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        with np.load(self.builder_config.path, allow_pickle=False) as arrays:
            pixels, labels = unpack(arrays, split), arrays[f"{split}_label"]
        for n, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
            yield f"{n:06d}", {"image": tf.io.encode_png(picture).numpy(), "label": int(label)}
