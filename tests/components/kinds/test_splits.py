"""Which split an example falls into: shares, small classes, persons, and what stays when examples are added."""

import collections
import hashlib
import math

import pytest

from components.kinds import splits
from components.kinds.files import DataError
from components.kinds.splits import Item
from models.records.pictures import SPLITS


def digest(text) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def items(count, label="a", first=0, **said):
    return [Item(digest(f"{label}{n}"), label, **said) for n in range(first, first + count)]


def test_large_classes_go_by_their_hash_and_never_move():
    found = items(splits.FEW) + items(300, "b")
    dealt = splits.deal(found)
    assert dealt == [splits.split_of(item.digest) for item in found]
    assert splits.deal(found + items(40, "b", 300))[: len(found)] == dealt


@pytest.mark.parametrize(("count", "expected"), [(1, (1, 0, 0)), (2, (2, 0, 0)), (3, (1, 1, 1)), (20, (16, 2, 2))])
def test_small_classes_are_dealt(count, expected):
    dealt = collections.Counter(splits.deal(items(count)))
    assert tuple(dealt[name] for name in SPLITS) == expected


def test_one_more_of_a_small_class_moves_few():
    before, more = items(30), items(1, first=30)
    dealt, again = splits.deal(before), splits.deal(before + more)
    assert sum(a != b for a, b in zip(dealt, again, strict=False)) <= 2


def test_the_order_may_lie_the_other_way_round():
    found = items(20)
    one, other = splits.deal(found), splits.deal(found, few=math.inf, first="test")
    by_hash = sorted(range(20), key=lambda n: found[n].digest)
    assert [other[n] for n in by_hash] == ["test"] * 2 + ["validation"] * 2 + ["train"] * 16
    assert [one[n] for n in by_hash] == ["train"] * 16 + ["validation"] * 2 + ["test"] * 2


def test_groups_stay_together_and_rare_classes_are_spread():
    labels = {(g, n): "rare" if n == 0 and g < 6 else "often" for g in range(30) for n in range(5)}
    found = [Item(digest(place), label, f"p{place[0]}") for place, label in labels.items()]
    dealt = splits.deal(found)
    where = collections.defaultdict(set)
    for item, split in zip(found, dealt, strict=True):
        where[item.group].add(split)
    assert all(len(found) == 1 for found in where.values())
    counts = splits.count(found, dealt)
    assert all(counts[name]["rare"] for name in SPLITS) and not splits.untrained(counts)


def test_what_is_asked_for_is_kept_and_taken_by_the_rest_of_a_group():
    found = [Item(digest(0), "a", "p1", "test"), Item(digest(1), "a", "p1"), *items(8, "a", 10)]
    assert splits.deal(found)[:2] == ["test", "test"]
    with pytest.raises(DataError, match="p1 lies in the splits test and train; it may lie in one only"):
        splits.deal([*found, Item(digest(2), "a", "p1", "train")])


def test_shares_of_a_set_that_has_a_split_of_its_own():
    dealt = collections.Counter(splits.deal(items(20), shares={"train": 0.9, "validation": 0.1}))
    assert dealt == {"train": 18, "validation": 2}


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["p1", "p2", "p3", "p1", "p2", "p3"], True),
        (["p1", "p2", "p2", "p1", "p2", "p3"], False),  # one class lies in two folders
        (["p1", "p2", "p3", "p1", "p2", ""], False),
    ],
)
def test_folders_say_who_where_they_can(folders, expected):
    found = [Item(digest(n), "aaabbb"[n], folder) for n, folder in enumerate(folders)]
    assert [item.group for item in splits.grouped(found)] == (folders if expected else [""] * 6)


def test_classes_without_an_example_to_train_with_are_named():
    counts = {"train": {"a": 3}, "validation": {"b": 1}, "test": {"a": 1, "b": 2, "": 4}}
    assert splits.untrained(counts) == ["b"]
    with pytest.raises(DataError, match=r"to train with of 1 of the classes: b \(1 in validation, 2 in test"):
        splits.check_trained(counts, "pictures")
    splits.check_trained({"train": {"a": 1, "b": 1}, "test": {"a": 1}}, "pictures")


@pytest.mark.parametrize(("name", "split"), [("Training", "train"), ("val", "validation"), ("valid", "validation"),
                                             ("testing", "test"), ("trains", "")])  # fmt: skip
def test_names_of_folders_for_splits(name, split):
    assert splits.split_named(name) == split
