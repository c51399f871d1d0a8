"""Labelled pictures that are packed into one `.npz` file of NumPy, read without ever holding more than a few of them.

The file holds for each of its splits (train, validation, test) the pictures, `<split>_image` uint8 [N, H, W, 3], or
`<split>_diff` uint8 [3, N, H, W]: their differences along both sides, of the first and the third channel less the
second, which packs smaller; `<split>_label`, whole numbers [N]; and `names`, text [K].
"""

import contextlib
import hashlib
import math
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import numpy as np

from components.kinds.files import DataError
from components.kinds.notes import Notes
from models.records.pictures import SPLITS

_NOTES = "packed/1"
_BLOCK_BYTES = 1 << 20


class Packed(NamedTuple):
    """What a packed file holds, told without unpacking its pictures.

    Attributes:
      splits: those there are. names: of the classes. digest: SHA-256 of the file, hex.
      classes: split -> name of a class -> number of pictures.
    """

    splits: list[str]
    names: list[str]
    digest: str
    classes: dict[str, dict[str, int]]


def read_packed(path: str) -> Packed:
    """Looks into a packed file; not if it did not change since the last time (`components.kinds.notes`).

    Raises:
      DataError: no such file, it is damaged or not packed as the module says, or its labels do not fit its names and
        pictures.
    """
    try:
        with Notes(path or ".", _NOTES) as notes:
            return Packed(*notes.of("", lambda: _look(path)))
    except DataError:
        raise
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path or 'no file'}: cannot be read as an .npz file ({error})") from error


def _look(path: str) -> list:
    """The fields of a `Packed`."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as arrays:
        if damaged := archive.testzip():
            raise DataError(f"{path}: {damaged} is damaged")
        keys = set(arrays.files)
        splits = [s for s in SPLITS if keys & {f"{s}_diff", f"{s}_image"}]
        if not splits or "names" not in keys or not {f"{s}_label" for s in splits} <= keys:
            raise DataError(f"{path}: not a packed set; it holds {', '.join(sorted(keys)) or 'nothing'}")
        names = [str(name) for name in arrays["names"]]
        classes = {}
        for split in splits:
            labels = _labels(path, archive, arrays, split, len(names))
            counts = np.bincount(labels, minlength=len(names))
            classes[split] = {name: int(count) for name, count in zip(names, counts, strict=True) if count}
    return [splits, names, digest.hexdigest(), classes]


def _labels(path: str, archive: zipfile.ZipFile, arrays, split: str, classes: int) -> np.ndarray:
    """The labels of a split; raises DataError unless each picture has one, all of them numbers of classes."""
    (*shape,), dtype = _header(archive, split)
    labels = arrays[f"{split}_label"]
    if len(shape) != 4 or shape[-1] != 3 or dtype != np.uint8 or labels.shape != (shape[0],):
        raise DataError(f"{path}: {split} has pictures {tuple(shape)} {dtype} and labels {labels.shape}")
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        raise DataError(f"{path}: labels of {split} reach from {labels.min()} to {labels.max()}, with {classes} names")
    return labels.astype(np.int64)


def _header(archive: zipfile.ZipFile, split: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape [N, H, W, C] and type of the pictures of a split."""
    with archive.open(_member(archive, split)) as file:
        shape, dtype = _start(file)
    is_diff = _member(archive, split).endswith("_diff.npy")
    return (*shape[1:], *shape[:1]) if is_diff else shape, dtype


def _member(archive: zipfile.ZipFile, split: str) -> str:
    image = f"{split}_image.npy"
    return image if image in archive.namelist() else f"{split}_diff.npy"


def _start(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Reads the header of a `.npy` file; raises ValueError if it is none, or its columns come first."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(file)
    if by_columns and len(shape) > 1:
        raise ValueError("its arrays are in Fortran's order")
    return shape, dtype


def pictures(path: str, split: str) -> Iterator[tuple[np.ndarray, int]]:
    """The pictures of a split in their order, uint8 [H, W, 3], with the numbers of their classes."""
    with np.load(path, allow_pickle=False) as arrays:
        labels = arrays[f"{split}_label"]
    with zipfile.ZipFile(path) as archive:
        unpacked = _images if _member(archive, split).endswith("_image.npy") else _differences
        for picture, label in zip(unpacked(archive, split), labels, strict=True):
            yield picture, int(label)


def _images(archive: zipfile.ZipFile, split: str) -> Iterator[np.ndarray]:
    with archive.open(_member(archive, split)) as file:
        (count, *shape), _ = _start(file)
        for _ in range(count):
            yield _array(file, shape)


def _differences(archive: zipfile.ZipFile, split: str) -> Iterator[np.ndarray]:
    """Of each channel a reader of its own, since a channel of all pictures comes before the next."""
    with contextlib.ExitStack() as stack:
        files: list[Any] = [stack.enter_context(archive.open(_member(archive, split))) for _ in range(3)]
        for channel, file in enumerate(files):
            (_, count, *shape), _ = _start(file)
            _skip(file, channel * count * math.prod(shape))
        for _ in range(count):
            planes = np.stack([_array(file, shape) for file in files], -1)
            picture = planes.cumsum(0, dtype=np.uint8).cumsum(1, dtype=np.uint8)
            picture[..., ::2] += picture[..., 1:2]
            yield picture


def _array(file: IO[bytes], shape: list[int]) -> np.ndarray:
    return np.frombuffer(file.read(math.prod(shape)), np.uint8).reshape(shape)


def _skip(file: IO[bytes], size: int) -> None:
    while size > 0:
        size -= len(file.read(min(size, _BLOCK_BYTES))) or size
