"""Faces as a kind of data: pictures whose label is a person."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from components.kinds.kind import Inputs, SampledKind
from components.kinds.pictures.kind import KIND as PICTURES
from models.records import faces as face_records


def _build(key: str, example: dict[str, Any]) -> tf.train.Example:
    picture = PICTURES.records.build(key, example)
    return face_records.face_example(picture, example["number"], example["pairs"])


class Faces(SampledKind):
    """Faces: folders of persons with or without a table of pairs, a table of pairs, or the simulated sample."""

    noun = "faces"
    datasets = ("sample_faces",)
    places = ("face_folders", "face_pairs")
    records = PICTURES.records._replace(
        build=_build,
        side_features=(*PICTURES.records.side_features, face_records.NUMBER),
        integers=(*PICTURES.records.integers, face_records.NUMBER),
    )

    def sources(self):
        from components.kinds.faces import source

        return source.FaceSource, source.SampleSource

    def default_dataset(self, place: str, labelled: bool) -> str:
        return "face_pairs" if self.reads_file(place) else super().default_dataset(place, labelled)

    def reads_file(self, name: str) -> bool:
        return name.lower().endswith((".csv", ".txt"))

    def warm_up(self, files: Sequence[str]) -> Inputs:
        inputs = PICTURES.warm_up(files)
        return inputs | {"first_bytes": inputs["image_bytes"], "second_bytes": inputs["image_bytes"]}


KIND = Faces()
