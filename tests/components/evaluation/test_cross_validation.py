"""How recordings are dealt to folds, and what comes of the folds together."""

import collections

import pytest

from components.evaluation import cross_validation
from components.kinds.files import DataError
from models.contract import registry
from models.contract.recipe import ConfigError

LABELS = {f"{label}{n}": label for label, count in {"N": 31, "A": 7, "O": 12, "~": 3}.items() for n in range(count)}


def test_every_recording_is_tested_once_and_no_role_is_taken_twice():
    plans = cross_validation.deal(LABELS, 5, seed=1)
    tested = collections.Counter(key for roles in plans for key, role in roles.items() if role == "test")
    assert tested == dict.fromkeys(LABELS, 1)
    for roles in plans:
        assert set(roles) == set(LABELS) and set(roles.values()) == {"train", "validation", "test"}


@pytest.mark.parametrize("folds", [3, 4, 5, 10, 15])
def test_every_recording_is_learned_from_and_the_ones_that_choose_rotate(folds):
    plans = cross_validation.deal(LABELS, folds, seed=1)
    times = {role: collections.Counter(k for roles in plans for k, r in roles.items() if r == role) for role in
             ("train", "validation")}  # fmt: skip
    assert all(times["train"][key] >= 1 for key in LABELS)
    normal = [key for key in LABELS if LABELS[key] == "N"]  # of a rare class a few choose again and again
    if folds <= 10:
        assert all(times["validation"][key] <= 1 and times["train"][key] >= folds - 2 for key in normal)
    chosen = {frozenset(k for k, role in roles.items() if role == "validation") for roles in plans}
    assert len(chosen) == folds


def test_folds_have_their_share_of_each_class():
    for roles in cross_validation.deal(LABELS, 5, seed=1):
        by_role = collections.Counter((LABELS[key], role) for key, role in roles.items())
        assert by_role["N", "test"] in (6, 7) and by_role["A", "test"] in (1, 2) and by_role["O", "test"] in (2, 3)
        assert all(by_role[label, "validation"] >= 1 and by_role[label, "train"] >= 1 for label in "NAO~")
        sizes = collections.Counter(roles.values())
        assert sizes["test"] in (10, 11) and sizes["validation"] < sizes["test"]


def test_the_dealing_follows_the_ids_alone():
    shuffled = dict(sorted(LABELS.items(), key=lambda item: item[0][::-1]))
    by_class = dict(sorted(shuffled.items(), key=lambda item: "NAO~".index(item[1])))
    assert cross_validation.deal(by_class, 3, 1) == cross_validation.deal(LABELS, 3, 1)
    assert cross_validation.deal(LABELS, 3, 2) != cross_validation.deal(LABELS, 3, 1)


def test_a_class_that_cannot_be_in_every_fold_is_named():
    with pytest.raises(DataError, match="class 'A' has 2 recordings"):
        cross_validation.deal({"a": "A", "b": "A", "c": "N", "d": "N", "e": "N"}, 2, 1)


def test_means_are_over_folds_and_confusions_by_name():
    rows = [
        {"names": ["N", "A"], "challenge_f1": 0.8, "accuracy": 0.9, "f1": {"N": 0.9, "A": 0.7},
         "confusion": [[5, 1], [2, 3]]},
        {"names": ["A", "N"], "challenge_f1": 0.6, "accuracy": 0.7, "f1": {"A": None, "N": 0.6},
         "confusion": [[0, 0], [1, 7]]},
    ]  # fmt: skip
    found = cross_validation.summary(rows)
    assert found["mean"] == pytest.approx({"challenge_f1": 0.7, "accuracy": 0.8, "f1/N": 0.75, "f1/A": 0.7})
    assert found["spread"]["challenge_f1"] == pytest.approx(0.1 * 2**0.5) and found["spread"]["f1/A"] is None
    assert found["names"] == ["N", "A"] and found["confusion"] == [[12, 2], [2, 3]]


def test_recipes_of_pictures_are_refused(tmp_path):
    recipe = registry.get("small_cnn")
    with pytest.raises(ConfigError, match="small_cnn takes pictures"):
        cross_validation.plan_of(recipe, recipe.make_config(), dataset="", folder="", digest="", folds=2, out=tmp_path)
