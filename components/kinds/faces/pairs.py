"""Pairs of pictures to be verified: of a table, or drawn where there is none."""

import csv
import hashlib
import io
import itertools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from components.kinds.faces.places import Face, split_named
from components.kinds.files import DataError, printable

TABLES = ("pairs.csv", "pairs.txt")
FOLDS = 10
_MOST_OF_FOLD = 300  # drawn pairs of each kind, as many as LFW has
_STRANGERS = 500  # pictures of a fold, at least, among which pairs of two persons are drawn
_COLUMNS = ("first", "second", "same")
_SAME = {"1": True, "0": False, "true": True, "false": False, "yes": True, "no": False}


class Pair(NamedTuple):
    """Places of two pictures among all, whether they are of one person, and the fold from 0 on (-1: none is said)."""

    first: int
    second: int
    same: bool
    fold: int = -1


class _Row(NamedTuple):
    line: int
    first: str
    second: str
    same: bool
    fold: int


def read(path: str, faces: Sequence[Face], same_as: Mapping[str, str]) -> list[Pair]:
    """The pairs of a table: CSV with the columns first, second, same and maybe fold, or LFW's own pairs.txt.

    Files are named relative to the folder of the table, or to a folder for a split in it. Pairs without a fold get one
    of ten by turns, those of one person and the others each for themselves.

    Args:
      path: of the table. faces: all pictures. same_as: paths of files whose content is another's, and that one's.

    Raises:
      DataError: a row that cannot be read, names a file that is not there, or contradicts the folders of persons.
    """
    name = pathlib.Path(path).name
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the table of pairs {path!r} cannot be read: {getattr(error, 'strerror', error)}") from None
    rows = list((_csv if name.lower().endswith(".csv") else _lfw)(name, text))
    if not rows:
        raise DataError(f"{name} holds no pair")
    known = _known(faces, same_as)
    found = [_pair(name, row, known, faces) for row in rows]
    turns = {True: itertools.count(), False: itertools.count()}
    return [pair if pair.fold >= 0 else pair._replace(fold=next(turns[pair.same]) % FOLDS) for pair in found]


def _csv(name: str, text: str):
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise DataError(f"{name} has no column {missing[0]!r}; wanted are {', '.join(_COLUMNS)} and maybe fold")
    for row in reader:
        line, same, fold = reader.line_num, (row["same"] or "").strip().lower(), (row.get("fold") or "").strip()
        if same not in _SAME:
            raise DataError(f"{name}, line {line}: same is {row['same']!r}; wanted is 1 or 0")
        if fold and not fold.isdecimal():
            raise DataError(f"{name}, line {line}: fold is {fold!r}; wanted is a whole number")
        yield _Row(line, row["first"] or "", row["second"] or "", _SAME[same], int(fold) if fold else -1)


def _lfw(name: str, text: str):
    """LFW's form: a head "FOLDS COUNT" or "COUNT"; each fold has COUNT lines "NAME N M" and as many "NAME N NAME M"."""
    lines = text.splitlines()
    head = lines[0].split() if lines else []
    if not 1 <= len(head) <= 2 or not all(part.isdecimal() for part in head):
        raise DataError(f"{name}, line 1: wanted is 'FOLDS PAIRS' or 'PAIRS', as LFW's own pairs.txt begins")
    a_fold = 2 * int(head[-1])
    for n, line in enumerate(lines[1:]):
        parts = line.split("\t") if "\t" in line else line.split()
        if not line.strip():
            continue
        numbers = (parts[1:] if len(parts) == 3 else parts[1::2]) if len(parts) in (3, 4) else [""]
        if not all(part.strip().isdecimal() for part in numbers):
            raise DataError(f"{name}, line {n + 2}: wanted is 'NAME N M' or 'NAME N NAME M'")
        first, second = f"{parts[0]}/{parts[0]}_{int(numbers[0]):04}", f"{parts[-2]}/{parts[-2]}_{int(numbers[-1]):04}"
        if same := len(parts) == 3:
            second = f"{parts[0]}/{parts[0]}_{int(numbers[1]):04}"
        yield _Row(n + 2, first, second, same, n // a_fold if len(head) == 2 and a_fold else -1)


def _known(faces: Sequence[Face], same_as: Mapping[str, str]) -> Mapping[str, int]:
    """Places of pictures by what a table may call them: with and without a split's folder, and an ending."""
    found: dict[str, int] = {}
    places = {printable(face.path): place for place, face in enumerate(faces)}
    for path, place in [*places.items(), *((path, places[other]) for path, other in same_as.items())]:
        top, _, below = path.partition("/")
        names = [path, below] if below and split_named(top) else [path]
        for name in names:
            found[name] = place
            found.setdefault(name.rpartition(".")[0], place)
    return found


def _pair(name: str, row: _Row, known: Mapping[str, int], faces: Sequence[Face]) -> Pair:
    places = []
    for path in (row.first, row.second):
        place = known.get(path.strip().replace("\\", "/").removeprefix("./"))
        if place is None:
            raise DataError(f"{name}, line {row.line}: there is no picture {path!r}")
        places.append(place)
    first, second = (faces[place] for place in places)
    if places[0] == places[1]:
        raise DataError(f"{name}, line {row.line}: both are one picture, {row.first!r} and {row.second!r}")
    if first.person and second.person and (first.person == second.person) != row.same:
        said = "1" if row.same else "0"
        raise DataError(
            f"{name}, line {row.line}: same is {said}, but the pictures lie in the folders of "
            f"{first.person} and {second.person}"
        )
    return Pair(*places, row.same, row.fold)


def named(faces: Sequence[Face], pairs: Sequence[Pair], table: str) -> list[Face]:
    """Pictures that lie in nobody's folder with the persons that pairs say: those of one person are linked.

    Raises:
      DataError: the pairs contradict themselves.
    """
    person = {place: place for pair in pairs for place in pair[:2]}

    def root(place: int) -> int:
        while person[place] != place:
            place = person[place]
        return place

    for pair in pairs:
        if pair.same:
            one, other = sorted(map(root, pair[:2]))
            person[other] = one
    for pair in pairs:
        if not pair.same and root(pair.first) == root(pair.second):
            both = " and ".join(printable(faces[place].path) for place in pair[:2])
            raise DataError(f"{table} says of {both} that they are two persons, and by other pairs that they are one")
    return [
        face if face.person or place not in person
        else face._replace(person=f"person of {printable(faces[root(place)].path)}")
        for place, face in enumerate(faces)
    ]  # fmt: skip


def draw(faces: Sequence[Face], chosen: Callable[[Face], bool]) -> list[Pair]:
    """Pairs of the pictures that are chosen, the same each time: as many of one person as of two, in up to ten folds.

    A person is in one fold alone, and so is a pair; of a fold at most 300 pairs of each kind are drawn.
    """
    by_person: dict[str, list[int]] = {}
    for place, face in enumerate(faces):
        if chosen(face):
            by_person.setdefault(face.person, []).append(place)
    several = sorted((name for name, own in by_person.items() if len(own) > 1), key=_hash)
    single = sorted((name for name, own in by_person.items() if len(own) == 1), key=_hash)
    folds = min(FOLDS, len(several) // 2)
    found: list[Pair] = []
    for fold in range(folds):
        persons = several[fold::folds] + single[fold::folds]
        genuine = [both for name in persons for both in itertools.combinations(by_person[name], 2)]
        genuine.sort(key=lambda both: _hash(faces[both[0]].digest + faces[both[1]].digest))
        genuine = genuine[:_MOST_OF_FOLD]
        found += [Pair(*both, True, fold) for both in genuine]
        places = [(n, place) for n, name in enumerate(persons) for place in by_person[name]]
        found += [Pair(*both, False, fold) for both in _strangers(places, len(genuine), fold)]
    return found


def _strangers(places: Sequence[tuple[int, int]], count: int, seed: int) -> list[tuple[int, int]]:
    """So many different pairs of places with unlike persons, or all there are, among at most a thousand pictures."""
    places = places[:: max(1, len(places) // _STRANGERS)]
    persons, own = (np.array(column) for column in zip(*places, strict=True))
    rows, columns = np.nonzero((persons[:, None] != persons) & (np.arange(len(own))[:, None] < np.arange(len(own))))
    kept = np.random.default_rng(seed).permutation(len(rows))[:count]
    return [(int(own[rows[n]]), int(own[columns[n]])) for n in sorted(kept)]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
