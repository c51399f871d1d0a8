"""Which split an example falls into: by its content, by the person it is of, with all classes where these are small."""

import collections
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from components.kinds.files import DataError
from models.records.pictures import SPLITS

FEW = 50  # a class of fewer contents (or groups) is dealt, since a hash might leave a split without it
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
_LEAST_GROUPS = len(SPLITS)
_NAMES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


class Item(NamedTuple):
    """What decides the split of an example.

    Attributes:
      digest: SHA-256 of the content, hex. label: name of the class, "" without one.
      group: who or what it is of (a person, a patient, a clip), "" if nobody says.
      split: one of SPLITS that was asked for, "" if none was.
    """

    digest: str
    label: str = ""
    group: str = ""
    split: str = ""


def split_named(folder: str) -> str:
    """The split that the name of a folder means ("val", "Training"), "" if none."""
    return _NAMES.get(folder.lower(), "")


def split_of(digest: str, shares: Mapping[str, float] = SHARES) -> str:
    """The split of a content, which depends on nothing else, so that an example never changes its split.

    Args:
      digest: SHA-256 of the content, hex. shares: of each split; they add up to 1.
    """
    position, name = int(digest[:15], 16) / 16**15, ""
    for name, share in shares.items():
        if position < share:
            return name
        position -= share
    return name


def grouped(items: Sequence[Item]) -> list[Item]:
    """Items whose groups are the folders that they lie in, with these groups if folders can say who, else with none.

    They can where every item lies in one and every class has items in at least three: then they are not the classes
    themselves, and each split can have one. Folders of one name are one group, whatever class they stand in. Items that
    ask for a split are left out of this.
    """
    places = collections.defaultdict(set)
    for item in items:
        if not item.split:
            places[item.label].add(item.group)
    usable = all("" not in found and len(found) >= _LEAST_GROUPS for found in places.values())
    return [item._replace(group=item.group if usable and not item.split else "") for item in items]


def deal(
    items: Sequence[Item], few: float = FEW, shares: Mapping[str, float] = SHARES, first: str = "train"
) -> list[str]:
    """The split of each item: its own, else by shares, groups kept together, every class in the training split.

    Unlike scikit-learn's splitters, which start from the order and the number of the items, this keeps nearly all where
    they are when one is added.

    What is split is a group, or a content without one; its class is the rarest of its items. Where a class has at
    least `few`, the hash decides each by itself (`split_of`), and none ever moves. Where it has fewer, they are ordered
    by their hashes and the shares at the end are cut off, at least one for each split if there are as many: another one
    may then move one across a border.

    Args:
      items: any number. few: see there; infinite where the shares shall be exact.
      shares: of each split, of what asks for none.
      first: at which end of the order the training split lies: "train", as `split_of`, or "test".

    Raises:
      DataError: one group was asked to be in two splits.
    """
    counts = collections.Counter(item.label for item in items)
    units = collections.defaultdict(list)
    for item in items:
        units[_key(item)].append(item)
    fixed = {key: _asked(key, members) for key, members in sorted(units.items())}
    by_label = collections.defaultdict(list)
    for key, members in units.items():
        if not fixed[key]:
            by_label[min((counts[item.label], item.label) for item in members)[1]].append(key)
    for keys in by_label.values():
        if len(keys) >= few:
            fixed |= {key: split_of(key[1], shares) for key in keys}
        else:
            fixed |= _cut(sorted(keys, key=lambda key: key[1], reverse=first == "train"), shares)
    return [item.split or fixed[_key(item)] for item in items]


def _key(item: Item) -> tuple[str, str]:
    """(group, hash by which it is placed)."""
    if not item.group:
        return "", item.digest
    return item.group, hashlib.sha256(item.group.encode(errors="surrogateescape")).hexdigest()


def _asked(key: tuple[str, str], members: Iterable[Item]) -> str:
    """The split that a group, or a content, was asked to be in; "" without."""
    asked = sorted({item.split for item in members} - {""})
    if len(asked) > 1:
        raise DataError(f"{key[0] or 'one content'} lies in the splits {' and '.join(asked)}; it may lie in one only")
    return asked[0] if asked else ""


def _cut(keys: Sequence[tuple[str, str]], shares: Mapping[str, float]) -> dict[tuple[str, str], str]:
    """The first for test, the next for validation, the rest for training."""
    left, done = list(keys), {}
    for name in (name for name in reversed(SPLITS[1:]) if shares.get(name)):
        count = max(round(len(keys) / (1 / shares[name])), int(len(keys) >= len(shares)))
        done |= dict.fromkeys(left[:count], name)
        left = left[count:]
    return done | dict.fromkeys(left, SPLITS[0])


def untrained(counts: Mapping[str, Mapping[str, int]], known: Iterable[str] = ()) -> list[str]:
    """Classes of which the training split has no example.

    Args:
      counts: split -> label -> number of examples. known: classes beside those of any split, which should have some.
    """
    there = {label for found in counts.values() for label, count in found.items() if label and count} | set(known)
    return sorted(label for label in there - {""} if not counts.get(SPLITS[0], {}).get(label))


def check_trained(counts: Mapping[str, Mapping[str, int]], noun: str, known: Iterable[str] = ()) -> None:
    """Raises DataError, naming the classes, if some have no example to train with; arguments as of `untrained`."""
    if missing := untrained(counts, known):
        where = [f"{label} ({_places(counts, label)})" for label in missing[:5]]
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DataError(
            f"no {noun} to train with of {len(missing)} of the classes: {', '.join(where)}{more}; add some, or leave "
            "the class out"
        )


def _places(counts: Mapping[str, Mapping[str, int]], label: str) -> str:
    places = ", ".join(f"{found[label]} in {split}" for split, found in counts.items() if found.get(label))
    return places or "none can be read"


def count(items: Iterable[Item], splits: Iterable[str]) -> dict[str, dict[str, int]]:
    """How many items of each class each split has: split -> label -> number."""
    found: dict[str, collections.Counter[str]] = {name: collections.Counter() for name in SPLITS}
    for item, split in zip(items, splits, strict=True):
        found[split][item.label] += 1
    return {name: dict(sorted(members.items())) for name, members in found.items()}
