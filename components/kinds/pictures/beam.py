"""Beam transform from a folder of pictures to (key, example).

An example is {"image" (encoded), "format", "height", "width", "channels", "bytes"}, with a class also "label" and
"label_name".
"""

from collections.abc import Iterable
from typing import NamedTuple

import apache_beam as beam
from etils import epath

from components.kinds.files import path_of_bytes, printable
from components.kinds.pictures.pictures import Picture, PictureError, normalize
from components.kinds.unreadable import UNREADABLE
from models.records.pictures import SPLITS


class Wanted(NamedTuple):
    """One file to be read: its path below the folder (names of files need not be text), its split, its class.

    Without a class the label is None and its name "".
    """

    path: bytes
    split: str
    label: int | None = None
    label_name: str = ""


def example_of(picture: Picture, size_bytes: int, label: int | None = None, label_name: str = "") -> dict:
    """The example of one picture, whose file has so many bytes."""
    example = {"image": picture.encoded, "format": picture.format, "height": picture.height, "width": picture.width,
               "channels": picture.channels, "bytes": size_bytes}  # fmt: skip
    return example if label is None else example | {"label": label, "label_name": label_name}


class ReadPicture(beam.DoFn):
    """One `Wanted` file of a folder to (key, example) on its split's output, or {"path", "reason"} on UNREADABLE."""

    def __init__(self, folder: str):
        super().__init__()
        self._folder = folder

    def process(self, wanted: Wanted):
        path = path_of_bytes(wanted.path)
        key = printable(path)
        try:
            data = (epath.Path(self._folder) / path).read_bytes()
            picture = normalize(data)
        except (OSError, PictureError) as error:
            yield beam.pvalue.TaggedOutput(UNREADABLE, {"path": key, "reason": str(error)})
            return
        example = example_of(picture, len(data), wanted.label, wanted.label_name)
        yield beam.pvalue.TaggedOutput(wanted.split, (key, example))


def read_files(folder: str, files: Iterable[Wanted]) -> beam.PTransform:
    """Transform from a pipeline to outputs named SPLITS and UNREADABLE; pictures are read where the elements are."""
    return (
        beam.Create(list(files), reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "Read" >> beam.ParDo(ReadPicture(folder)).with_outputs(*SPLITS, UNREADABLE)
    )
