"""TFDS data set of a folder of the user's own pictures (PNG, JPEG, WebP, BMP), sub-folders included.

    config = PhotosConfig(name="holidays", folder="/data/holidays")
    tfds.builder("photos", config=config, data_dir=...)

Without a config, the folder is TFDS's `manual_dir`.
"""

import dataclasses
import json
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from components.ingest.folders import (
    DataError,
    Folder,
    PictureFile,
    bytes_of_path,
    path_of_bytes,
    printable,
    scan,
    split_of,
)
from components.kinds.pictures.pictures import PictureError, normalize
from models.records.pictures import SPLITS

REPORT_FILE = "unreadable.json"
UNREADABLE = "unreadable"


@dataclasses.dataclass(eq=False)
class PhotosConfig(tfds.core.BuilderConfig):
    """Which folder is read, and which share of its files may be unreadable (0 to 1) before that is an error."""

    folder: str = ""
    max_unreadable: float = 0.01


class ReadPicture(beam.DoFn):
    """One file of a folder to (key, example) of the data set; a file that is no picture goes to output UNREADABLE.

    Elements are relative paths in bytes, since names of files need not be text.
    """

    def __init__(self, folder: str):
        super().__init__()
        self._folder = folder

    def process(self, path: bytes):
        path = path_of_bytes(path)
        key = printable(path)
        try:
            data = (epath.Path(self._folder) / path).read_bytes()
            picture = normalize(data)
        except (OSError, PictureError) as error:
            yield beam.pvalue.TaggedOutput(UNREADABLE, {"path": key, "reason": str(error)})
            return
        yield (
            key,
            {
                "image": picture.encoded,
                "id": key,
                "format": picture.format,
                "height": picture.height,
                "width": picture.width,
                "channels": picture.channels,
                "bytes": len(data),
            },
        )


def read_split(folder: str, files: list[PictureFile]) -> beam.PTransform:
    """Beam transform from a pipeline to (key, example) and UNREADABLE; pictures are read where the elements are."""
    return (
        beam.Create([bytes_of_path(file.path) for file in files], reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "Read" >> beam.ParDo(ReadPicture(folder)).with_outputs(UNREADABLE, main="pictures")
    )


def files_by_split(found: Folder) -> dict[str, list[PictureFile]]:
    """The pictures of each split that has any; a split depends on a picture's content alone."""
    splits: dict[str, list[PictureFile]] = {name: [] for name in SPLITS}
    for file in found.pictures:
        splits[split_of(file.digest)].append(file)
    return {name: files for name, files in splits.items() if files}


def check_unreadable(unreadable: list[dict[str, str]], readable: int, allowed: float, noun: str = "pictures") -> None:
    """Raises DataError, naming the first files, if more than the share `allowed` of all files is unreadable."""
    total = len(unreadable) + readable
    if unreadable and len(unreadable) > allowed * total:
        first = "; ".join(f"{entry['path']}: {entry['reason']}" for entry in unreadable[:5])
        more = f"; and {len(unreadable) - 5} more" if len(unreadable) > 5 else ""
        raise DataError(
            f"{len(unreadable)} of {total} {noun} cannot be read, more than the share {allowed:g} that is allowed "
            f"(max_unreadable): {first}{more}"
        )


class Builder(tfds.core.GeneratorBasedBuilder):
    """A folder of pictures: 80 % train, 10 % validation, 10 % test by SHA-256 of the content.

    A picture keeps its split when files are added, removed or renamed; files with equal content are one picture.
    Splits without any picture are left out. What could not be read is listed in REPORT_FILE beside the data.
    """

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {
        "1.1.0": "Colour profiles are applied, PNGs with a wrong checksum refused.",
        "1.0.0": "First version.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put the pictures into `manual_dir`, or name their folder in a `PhotosConfig`."

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(doc="The picture; the encoded bytes are kept, decoding gives RGB."),
                "id": tfds.features.Text(doc="Path relative to the folder."),
                "format": tfds.features.Text(doc="Format of the file, lower case."),
                "height": tfds.features.Scalar(np.int64, doc="pixels"),
                "width": tfds.features.Scalar(np.int64, doc="pixels"),
                "channels": tfds.features.Scalar(np.int64, doc="1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha"),
                "bytes": tfds.features.Scalar(np.int64, doc="size of the file"),
            }
        )
        return tfds.core.DatasetInfo(builder=self, description="A folder of pictures.", features=features)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager, pipeline: beam.Pipeline) -> dict[str, Any]:
        config = self.builder_config or PhotosConfig(name="manual", folder=str(dl_manager.manual_dir))
        found = scan(config.folder)
        splits = {name: pipeline | name >> read_split(config.folder, f) for name, f in files_by_split(found).items()}
        options = (found.unreadable, len(found.pictures), config.max_unreadable, str(self.data_path))
        _ = (
            tuple(outputs[UNREADABLE] for outputs in splits.values())
            | "AllUnreadable" >> beam.Flatten()
            | "ListUnreadable" >> beam.combiners.ToList()
            | "ReportUnreadable" >> beam.Map(report_unreadable, *options)
        )
        return {name: self._generate_examples(outputs) for name, outputs in splits.items()}

    def _generate_examples(self, outputs: beam.pvalue.DoOutputsTuple) -> beam.PCollection:
        return outputs["pictures"]


def report_unreadable(
    undecoded: list, unopened: list, opened: int, allowed: float, folder: str, noun: str = "pictures"
) -> None:
    """Writes the list of unreadable files to REPORT_FILE in a folder; raises DataError if there are too many."""
    unreadable = sorted(unopened + undecoded, key=lambda entry: entry["path"])
    check_unreadable(unreadable, opened - len(undecoded), allowed, noun)
    (epath.Path(folder) / REPORT_FILE).write_text(json.dumps(unreadable, indent=1))
