"""Where faces come from: folders of persons with or without a table of pairs, a table alone, or the simulated sample.

An example is one of `components.kinds.pictures.beam`, with "number" and "pairs" as `models.records.faces` has them.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam

from components.kinds import catalogue, splits
from components.kinds.faces import pairs as pairs_
from components.kinds.faces import sample
from components.kinds.faces.pairs import Pair
from components.kinds.faces.places import Face, counts, faces_of
from components.kinds.files import DataError, bytes_of_path, printable
from components.kinds.kind import Splits
from components.kinds.pictures.beam import Wanted, example_of, read_files
from components.kinds.pictures.folders import scan
from components.kinds.pictures.pictures import normalize
from components.kinds.unreadable import UNREADABLE
from models.records.pictures import SPLITS

NOUN = "faces"
SAMPLE = "sample_faces"
_VERSION = 1
_FEW = 200  # persons: below, hashes could leave a split with fewer than two
_LEAST = 2  # persons with two pictures that a split needs, for pairs of one and of two
_TRAIN, _VALIDATION, _TEST = SPLITS


class FaceSource:
    """The faces of a folder.

    Attributes: as of `components.kinds.kind.Source`. labels and classes are empty: persons of the validation and the
    test have no pictures to train with. facts hold "duplicates", "ignored" and "unreadable" as of
    `components.kinds.pictures.folders.Folder`; "persons": how many each split has; "single": how many of all have one
    picture; "pairs": {"from": the table's name, or "drawn", "same", "different": how many, "folds", "left_out": how
    many of the table's are of a person of another split}.
    """

    noun = NOUN
    labels: list[str] = []
    classes: dict[str, dict[str, int]] = {}

    def __init__(self, place: str):
        """
        Args:
          place: a folder, whose pairs.csv or pairs.txt is read if there is one, or a table of pairs.

        Raises:
          DataError: as the rest of this folder.
        """
        self._folder, table = _table_of(place)
        found = scan(self._folder)
        faces, loose = faces_of(self._folder, found)
        listed: list[Pair] = []
        if table:
            same_as = {entry["path"]: entry["same_as"] for entry in found.duplicates}
            listed = pairs_.read(table, faces, same_as)
            faces = pairs_.named(faces, listed, os.path.basename(table))
        if loose := [path for path in loose if path in {printable(f.path) for f in faces if not f.person}]:
            raise DataError(f"{self._folder!r}: {len(loose)} pictures lie in no person's folder ({loose[0]})")
        faces = dealt(faces, listed)
        self.digest = f"faces/{_VERSION}:{found.digest}:{_digest(table)}"
        self._placed, about = placed(faces, listed, os.path.basename(table))
        self._wanted = [
            Wanted(bytes_of_path(face.path), face.split, number, face.person)
            for face, number in zip(faces, numbered(faces), strict=True)
        ]
        self.facts: dict[str, Any] = {name: getattr(found, name) for name in ("duplicates", "ignored", "unreadable")}
        self.facts |= about

    def prepare(self, work_dir: str, beam_args: list[str]) -> None:
        """Nothing is prepared: the files are read where they lie."""

    def examples(self, pipeline: beam.Pipeline) -> Splits:
        outputs = pipeline | "Folder" >> read_files(self._folder, self._wanted)
        of = {name: outputs[name] | f"Pairs[{name}]" >> beam.Map(_paired, self._placed) for name in SPLITS}
        return Splits(of, outputs[UNREADABLE])


class SampleSource:
    """The simulated faces of `components.kinds.faces.sample`; attributes as of FaceSource."""

    noun = NOUN
    labels: list[str] = []
    classes: dict[str, dict[str, int]] = {}
    digest = f"{SAMPLE}/{sample.VERSION}"

    def __init__(self):
        faces = [Face(key, _sha(key), f"person {person:03}") for person, _, key in sample.keys()]
        self._faces = dealt(faces, [])
        self._placed, about = placed(self._faces, [], "")
        self.facts: dict[str, Any] = {"simulated": True} | about

    def prepare(self, work_dir: str, beam_args: list[str]) -> None:
        """Nothing is prepared: they are drawn where they are written."""

    def examples(self, pipeline: beam.Pipeline) -> Splits:
        drawn = zip(sample.keys(), self._faces, numbered(self._faces), strict=True)
        elements = [(*key, face.split, label, face.person) for key, face, label in drawn]
        outputs = (
            pipeline
            | "Keys" >> beam.Create(elements, reshuffle=False)
            | "Draw" >> beam.FlatMap(_simulated, self._placed).with_outputs(*SPLITS)
        )
        return Splits({name: outputs[name] for name in SPLITS}, pipeline | "None" >> beam.Create([]))


def _simulated(element: tuple[int, int, str, str, int, str], where: dict[str, tuple[int, list]]):
    person, picture, key, split, label, name = element
    data = sample.encoded(person, picture)
    yield beam.pvalue.TaggedOutput(split, _paired((key, example_of(normalize(data), len(data), label, name)), where))


def _paired(element: tuple[str, dict[str, Any]], where: dict[str, tuple[int, list]]) -> tuple[str, dict[str, Any]]:
    """(key, example) with the number of the picture, and the pairs that it is the first of."""
    key, example = element
    number, listed = where[key]
    return key, example | {"number": number, "pairs": listed}


def _table_of(place: str) -> tuple[str, str]:
    """(folder, table of pairs or "") of what was given."""
    if os.path.isfile(place):
        return os.path.dirname(os.path.abspath(place)), place
    there = [name for name in pairs_.TABLES if os.path.isfile(os.path.join(place, name))]
    if len(there) > 1:
        raise DataError(f"{place!r} holds {' and '.join(there)}; give the one that counts as --data, or remove one")
    return place, os.path.join(place, there[0]) if there else ""


def _digest(table: str) -> str:
    if not table:
        return ""
    with open(table, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def dealt(faces: Sequence[Face], listed: Sequence[Pair]) -> list[Face]:
    """The faces with their splits: a person lies in one alone.

    Persons of a table of pairs are the test, if enough others are left to train and to validate with; else, as without
    a table, all are dealt, and those pairs count whose persons are of the test. Persons keep a split that folders say;
    without one for the validation, a tenth of the training's persons are it.

    Raises:
      DataError: a person of the table lies in the folder for training, or too few persons have two pictures.
    """
    several = {person for person, count in counts(faces).items() if count > 1}
    if not several:
        raise DataError("no person has two pictures, so that no pair shows one person; give two of each at least")
    of_table = {faces[place].person for pair in listed for place in pair[:2]}
    if clash := sorted({f.person for f in faces if f.person in of_table and f.split in (_TRAIN, _VALIDATION)}):
        raise DataError(f"{clash[0]} is of a pair to be verified and lies in a folder for training; it may be one only")
    asked = {face.split for face in faces} - {""}
    if not asked and of_table and len(several - of_table) >= 2 * _LEAST:
        asked = {_TRAIN, _TEST}
        faces = [face._replace(split=_TEST if face.person in of_table else _TRAIN) for face in faces]
    elif of_table and asked:
        faces = [face._replace(split=_TEST) if face.person in of_table else face for face in faces]
    targets = catalogue.split_targets(asked or {"all"})
    whole = {name for name, shares in targets.items() if shares.keys() == {name}}  # nothing is carved from these
    items = [
        splits.Item(face.digest, "several" if face.person in several else "single", face.person,
                    face.split if face.split in whole else "")
        for face in faces
    ]  # fmt: skip
    open_ = {item.group for item in items if not item.split} & several
    found = splits.deal(items, _FEW, _shares(targets.get(_TRAIN, targets.get("all", splits.SHARES)), len(open_)))
    faces = [face._replace(split=split) for face, split in zip(faces, found, strict=True)]
    for name in SPLITS:
        if len({f.person for f in faces if f.split == name} & several) < _LEAST:
            raise DataError(f"the split {name} has fewer than {_LEAST} persons with two pictures; of all there are "
                            f"{len(several)}, and {_LEAST * len(SPLITS)} are the least")  # fmt: skip
    return faces


def _shares(shares: Mapping[str, float], persons: int) -> Mapping[str, float]:
    """Shares that give each split its least number of persons, where it can be done."""
    least = (_LEAST + 0.01) / persons if persons else 0.0
    small = {name: max(share, least) for name, share in shares.items() if name != _TRAIN}
    return {_TRAIN: max(0.0, 1 - sum(small.values())), **small} if _TRAIN in shares else dict(small)


def numbered(faces: Sequence[Face]) -> list[int]:
    """The number of each face's person: those of the training from 0 on, the others behind them."""
    train = sorted({face.person for face in faces if face.split == _TRAIN})
    others = sorted({face.person for face in faces if face.split != _TRAIN})
    known = {person: number for number, person in enumerate([*train, *others])}
    return [known[face.person] for face in faces]


def placed(
    faces: Sequence[Face], listed: Sequence[Pair], table: str
) -> tuple[dict[str, tuple[int, list[tuple[int, int, int]]]], dict[str, Any]]:
    """By the key of a record its number and the pairs that it is the first of; and the facts, see FaceSource."""
    is_test = [face.split == _TEST for face in faces]
    used = [pair for pair in listed if is_test[pair.first] and is_test[pair.second]]
    if not used:
        used, table = pairs_.draw(faces, lambda face: face.split == _TEST), ""
    found: dict[str, tuple[int, list]] = {printable(face.path): (n, []) for n, face in enumerate(faces)}
    for pair in used:
        found[printable(faces[pair.first].path)][1].append((pair.second, int(pair.same), pair.fold))
    same = sum(pair.same for pair in used)
    persons = counts(faces)
    about = {
        "persons": {name: len({f.person for f in faces if f.split == name}) for name in SPLITS},
        "single": sum(count == 1 for count in persons.values()),
        "pairs": {"from": table or "drawn", "same": same, "different": len(used) - same,
                  "folds": len({pair.fold for pair in used}), "left_out": len(listed) - len(used) if table else 0},
    }  # fmt: skip
    return found, about
