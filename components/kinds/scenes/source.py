"""Where scenes come from: a folder of pictures and label maps, or the simulated sample.

An example is one of `components.kinds.pictures.beam`, with "label_map" and "class_names" as `models.records.scenes` has
them.
"""

import hashlib
import io
import os
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from etils import epath
from PIL import Image

from components.kinds import catalogue, splits
from components.kinds.files import bytes_of_path, path_of_bytes, printable
from components.kinds.kind import Splits
from components.kinds.pictures.beam import example_of
from components.kinds.pictures.folders import scan
from components.kinds.pictures.pictures import PictureError, normalize
from components.kinds.scenes import places, sample
from components.kinds.unreadable import UNREADABLE
from models.records.pictures import SPLITS

NOUN = "scenes"
_VERSION = 1


class SceneSource:
    """The scenes of a folder, split as its folders say or by the pictures' content.

    Attributes: as of `components.kinds.kind.Source`; labels and classes are empty, since a scene has many classes.
    facts hold "duplicates", "ignored" and "unreadable" as of `components.kinds.pictures.folders.Folder`; "names": of
    the classes; "without_map": paths of pictures that have none and are left out.
    """

    noun = NOUN
    labels: list[str] = []
    classes: dict[str, dict[str, int]] = {}

    def __init__(self, folder: str):
        """Raises DataError as `places.pairs_of` and `places.classes_of`."""
        found = scan(folder)
        self._folder, (pairs, alone) = folder, places.pairs_of(folder, found)
        has_names = os.path.isfile(os.path.join(folder, places.NAMES))
        self._classes = places.classes_of(folder, [] if has_names else _levels(folder, pairs))
        self.digest = f"{NOUN}/{_VERSION}:{found.digest}:{hashlib.sha256(repr(self._classes).encode()).hexdigest()}"
        targets = catalogue.split_targets({pair.split for pair in pairs} - {""} or {"all"})
        whole = {name for name, shares in targets.items() if shares.keys() == {name}}  # nothing is carved from these
        items = [splits.Item(pair.digest, split=pair.split if pair.split in whole else "") for pair in pairs]
        dealt = splits.deal(items, shares=targets.get("train", splits.SHARES))
        self._wanted = [
            (bytes_of_path(pair.picture), bytes_of_path(pair.label_map), split)
            for pair, split in zip(pairs, dealt, strict=True)
        ]
        self.facts: dict[str, Any] = {name: getattr(found, name) for name in ("duplicates", "ignored", "unreadable")}
        self.facts |= {"names": list(self._classes.names), "without_map": [printable(path) for path in alone]}

    def prepare(self, work_dir: str, beam_args: list[str]) -> None:
        """Nothing is prepared: the files are read where they lie."""

    def examples(self, pipeline: beam.Pipeline) -> Splits:
        outputs = (
            pipeline
            | "Pairs" >> beam.Create(self._wanted, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.ParDo(_ReadScene(self._folder, self._classes)).with_outputs(*SPLITS, UNREADABLE)
        )
        return Splits({name: outputs[name] for name in SPLITS}, outputs[UNREADABLE])


class SampleSource:
    """The simulated scenes of `components.kinds.scenes.sample`; attributes as of SceneSource."""

    noun = NOUN
    labels: list[str] = []
    classes: dict[str, dict[str, int]] = {}
    digest = f"sample_shapes/{sample.VERSION}"

    def __init__(self):
        self.facts: dict[str, Any] = {"simulated": True, "names": list(sample.NAMES)}

    def prepare(self, work_dir: str, beam_args: list[str]) -> None:
        """Nothing is prepared: they are drawn where they are written."""

    def examples(self, pipeline: beam.Pipeline) -> Splits:
        outputs = (
            pipeline
            | "Numbers" >> beam.Create(list(range(sample.SCENES)), reshuffle=False)
            | "Draw" >> beam.FlatMap(_simulated).with_outputs(*SPLITS)
        )
        return Splits({name: outputs[name] for name in SPLITS}, pipeline | "None" >> beam.Create([]))


def _simulated(number: int):
    pixels, label_map = sample.scene(number)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    data, key = buffer.getvalue(), f"shapes {number:04}"
    split = splits.split_of(hashlib.sha256(key.encode()).hexdigest())
    example = example_of(normalize(data), len(data)) | {"label_map": label_map, "class_names": list(sample.NAMES)}
    yield beam.pvalue.TaggedOutput(split, (key, example))


class _ReadScene(beam.DoFn):
    """(path of the picture, of the map, split) to (key, example) on its split's output, or to UNREADABLE."""

    def __init__(self, folder: str, classes: places.Classes):
        super().__init__()
        self._folder, self._classes = folder, classes

    def process(self, wanted: tuple[bytes, bytes, str]):
        picture_path, map_path = (path_of_bytes(path) for path in wanted[:2])
        key, reading = printable(picture_path), picture_path
        try:
            data = (epath.Path(self._folder) / picture_path).read_bytes()
            picture = normalize(data)
            reading = map_path
            levels = levels_of((epath.Path(self._folder) / map_path).read_bytes())
            if levels.shape != (picture.height, picture.width):
                raise PictureError(f"its {levels.shape[1]}x{levels.shape[0]} pixels are not those of its picture, "
                                   f"{picture.width}x{picture.height}")  # fmt: skip
        except (OSError, PictureError) as error:
            yield beam.pvalue.TaggedOutput(UNREADABLE, {"path": printable(reading), "reason": str(error)})
            return
        label_map = np.array(self._classes.of_level, np.uint8)[levels]
        example = example_of(picture, len(data)) | {"label_map": label_map, "class_names": list(self._classes.names)}
        yield beam.pvalue.TaggedOutput(wanted[2], (key, example))


def levels_of(data: bytes) -> np.ndarray:
    """The levels of a label map's file, uint8 [H, W]; of a palette its indices, whatever their colours.

    Raises:
      PictureError: no PNG of one level a pixel, 0 to 255.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.mode not in ("L", "P"):
                raise PictureError(f"a label map has one level of 8 bits a pixel, this is a PNG of mode {image.mode}")
            return np.array(image)
    except PictureError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(f"no PNG, or a damaged one: {' '.join(str(error).split())}") from error


def _levels(folder: str, pairs: Sequence[places.Pair]) -> list[int]:
    """All levels of the maps that can be read."""
    found: set[int] = set()
    for pair in pairs:
        try:
            found.update(np.unique(levels_of((epath.Path(folder) / pair.label_map).read_bytes())).tolist())
        except (OSError, PictureError):
            continue
    return sorted(found)
