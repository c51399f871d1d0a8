"""TFDS data set of a folder of the user's own pictures (PNG, JPEG, WebP, BMP), sub-folders included.

    config = PhotosConfig(name="holidays", folder="/data/holidays")
    tfds.builder("photos", config=config, data_dir=...)

Without a config, the folder is TFDS's `manual_dir`.
"""

import dataclasses
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_datasets as tfds

from components.kinds.files import bytes_of_path
from components.kinds.pictures.beam import Wanted, read_files
from components.kinds.pictures.folders import files_by_split, scan
from components.kinds.unreadable import UNREADABLE, report_unreadable


@dataclasses.dataclass(eq=False)
class PhotosConfig(tfds.core.BuilderConfig):
    """Which folder is read, and which share of its files may be unreadable (0 to 1) before that is an error."""

    folder: str = ""
    max_unreadable: float = 0.01


class Builder(tfds.core.GeneratorBasedBuilder):
    """A folder of pictures: 80 % train, 10 % validation, 10 % test by SHA-256 of the content.

    A picture keeps its split when files are added, removed or renamed; files with equal content are one picture.
    Splits without any picture are left out. What could not be read is listed in `unreadable.json` beside the data.
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
        splits = files_by_split(found)
        wanted = [Wanted(bytes_of_path(file.path), name) for name, files in splits.items() for file in files]
        outputs = pipeline | read_files(config.folder, wanted)
        options = (found.unreadable, len(found.pictures), config.max_unreadable, str(self.data_path))
        _ = (
            outputs[UNREADABLE]
            | "ListUnreadable" >> beam.combiners.ToList()
            | "ReportUnreadable" >> beam.Map(report_unreadable, *options)
        )
        return {name: self._generate_examples(outputs[name], name) for name in splits}

    def _generate_examples(self, examples: beam.PCollection, split: str) -> beam.PCollection:
        return examples | f"Identify[{split}]" >> beam.MapTuple(lambda key, example: (key, example | {"id": key}))
