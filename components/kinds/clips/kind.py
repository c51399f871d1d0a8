"""Clips as a kind of data: short runs of frames."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.kinds.kind import Features, Inputs, Records, SampledKind, best
from models.records import clips as clip_records

_PIXELS = 4_000_000  # of all frames of the run for a warm-up at most, if there is such a one
_WARM = 3  # frames of it that are taken: one coded alone, and two by those before


def _build(key: str, example: dict[str, Any]) -> tf.train.Example:
    del key  # a clip's runs are told apart by their first frames
    return clip_records.clip_example(
        example["frames"],
        format_name=example["format"],
        size_bytes=example["bytes"],
        **{name: example[name] for name in ("name", "start", "height", "width", "frame_rate")},
    )


def _frames(feature: Features) -> int:
    return feature[clip_records.COUNT].int64_list.value[0]


def _size(record: tf.Tensor) -> int:
    found = clip_records.parse(record)
    return int(found[clip_records.COUNT] * found[clip_records.HEIGHT] * found[clip_records.WIDTH])


class Clips(SampledKind):
    """Clips: a folder of files, of folders of frames and of raw YUV, or the sample. A record is a run of frames."""

    noun = "clips"
    datasets = ("sample_clips",)
    places = ("clips",)
    records = Records(
        amount="frames", build=_build, measure=_frames,
        content=clip_records.FRAMES, identity=clip_records.NAME, format=clip_records.FORMAT,
        size_bytes=clip_records.BYTES, label_name=clip_records.LABEL_NAME,
        side_features=(clip_records.FORMAT, *clip_records.INTEGERS), integers=clip_records.INTEGERS,
    )  # fmt: skip

    def sources(self):
        from components.kinds.clips import source

        return source.ClipSource, source.SampleSource

    def warm_up(self, files: Sequence[str]) -> Inputs:
        record = best(files, _size, _PIXELS)
        encoded = clip_records.parse(tf.constant(record))[clip_records.FRAMES][:_WARM]
        return {"examples": record, "frames": clip_records.decode(encoded).numpy(), "quality": np.array(50)}


KIND = Clips()
