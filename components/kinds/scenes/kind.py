"""Scenes as a kind of data: pictures with a class for each pixel."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from components.kinds.kind import Inputs, SampledKind
from components.kinds.pictures.kind import KIND as PICTURES
from models.records import scenes as scene_records


def _build(key: str, example: dict[str, Any]) -> tf.train.Example:
    picture = PICTURES.records.build(key, example)
    return scene_records.scene_example(picture, example["label_map"], example["class_names"])


class Scenes(SampledKind):
    """Scenes: a folder of pictures and one of label maps, or the simulated sample."""

    noun = "scenes"
    datasets = ("sample_shapes",)
    places = ("scene_folders",)
    records = PICTURES.records._replace(
        build=_build,
        side_features=(*PICTURES.records.side_features, scene_records.SEEN, scene_records.VOID_PIXELS),
        integers=(*PICTURES.records.integers, scene_records.SEEN, scene_records.VOID_PIXELS),
    )

    def sources(self):
        from components.kinds.scenes import source

        return source.SceneSource, source.SampleSource

    def warm_up(self, files: Sequence[str]) -> Inputs:
        inputs = PICTURES.warm_up(files)
        label_map = scene_records.parse(tf.constant(inputs["examples"]))[scene_records.LABEL_MAP].numpy()
        return inputs | {"label_map_bytes": label_map, "mask_bytes": label_map}  # one class is not preserved


KIND = Scenes()
