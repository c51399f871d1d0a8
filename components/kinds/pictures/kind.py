"""Pictures as a kind of data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.kinds.files import DataError
from components.kinds.kind import Features, Inputs, Kind, Records, Source, best
from models.records import pictures as picture_records

_PIXELS = 1_000_000  # the picture for a warm-up has at most this many, if there is such a one


def _build(key: str, example: dict[str, Any]) -> tf.train.Example:
    return picture_records.image_example(
        example["image"],
        key=key,
        format_name=example["format"],
        size_bytes=example["bytes"],
        label=example.get("label", picture_records.NO_LABEL),
        label_name=example.get("label_name", ""),
        **{name: example[name] for name in ("height", "width", "channels")},
    )


def _pixels(feature: Features) -> int:
    return feature[picture_records.HEIGHT].int64_list.value[0] * feature[picture_records.WIDTH].int64_list.value[0]


def _size(record: tf.Tensor) -> int:
    features = picture_records.parse(record)
    return int(features[picture_records.HEIGHT] * features[picture_records.WIDTH])


class Pictures(Kind):
    """Pictures: a folder, class folders, a packed file, a data set of TFDS with one picture an example."""

    noun = "pictures"
    datasets = ("sample_photos", "digits")
    places = ("photos", "class_folders", "packed")
    is_catalogue = True
    records = Records(
        amount="pixels", build=_build, measure=_pixels,
        content=picture_records.ENCODED, identity=picture_records.ID, format=picture_records.FORMAT,
        size_bytes=picture_records.BYTES, label_name=picture_records.LABEL_NAME,
        side_features=(picture_records.FORMAT, picture_records.SIZE_CLASS, *picture_records.INTEGERS),
        integers=picture_records.INTEGERS,
    )  # fmt: skip

    def open(self, dataset: str, place: str = "") -> Source:
        from components.kinds.pictures import folder_source, tfds_source

        if dataset in ("photos", "class_folders"):
            return folder_source.FolderSource(place, dataset == "class_folders")
        if dataset == "packed":
            return tfds_source.PackedSource(place)
        if place:
            raise DataError(f"a folder ({place!r}) goes with the data set 'photos', not with {dataset!r}")
        return tfds_source.CatalogueSource(dataset)

    def default_dataset(self, place: str, labelled: bool) -> str:
        if self.reads_file(place):
            return "packed"
        if place:
            return "class_folders" if labelled else "photos"
        return "digits" if labelled else "sample_photos"

    def reads_file(self, name: str) -> bool:
        return name.endswith(".npz")

    def warm_up(self, files: Sequence[str]) -> Inputs:
        record = best(files, _size, _PIXELS)
        encoded = picture_records.parse(tf.constant(record))[picture_records.ENCODED].numpy()
        sides = np.array(picture_records.decode(encoded).shape[:2])
        return {"examples": record, "image_bytes": encoded, "quality": np.array(50), "passes": np.array(1),
                "index": np.array(0), "seed": np.array(0), "height_and_width": sides}  # fmt: skip


KIND = Pictures()
