"""Folders of pictures as sources: classes, small ones, folders for splits, folders that say who, what is left out."""

import shutil
import zlib

import pytest
from PIL import Image

from components.ingest.sources import dataset_digest, open_source
from components.kinds.files import DataError
from tests.components.pictures_on_disk import FIELD, noise


def write(root, *paths):
    """Writes a different picture to each path."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        noise(8, 8, zlib.crc32(path.encode())).save(root / path)
    return str(root)


def pictures(folder, count):
    return [f"{folder}/{n}.png" for n in range(count)]


def test_folders_named_after_splits_are_splits(tmp_path):
    paths = [*pictures("Training/a", 4), *pictures("Training/b", 4), *pictures("val/a", 2), *pictures("testing/b", 1)]
    source = open_source("class_folders", write(tmp_path, *paths, "testing/a/deep/x.png"))
    assert source.labels == ["a", "b"] and source.facts["untested"] == []
    assert source.classes == {"train": {"a": 4, "b": 4}, "validation": {"a": 2}, "test": {"a": 1, "b": 1}}
    assert source.facts["source_splits"] == {name: [name] for name in ("train", "validation", "test")}


def test_a_split_without_a_folder_is_carved_from_the_training_pictures(tmp_path):
    paths = [*pictures("train/a", 20), *pictures("train/b", 20), *pictures("test/a", 3), *pictures("test/b", 3)]
    source = open_source("class_folders", write(tmp_path, *paths))
    assert source.classes == {"train": {"a": 18, "b": 18}, "validation": {"a": 2, "b": 2}, "test": {"a": 3, "b": 3}}
    assert source.facts["source_splits"] == {"train": ["train", "validation"], "test": ["test"]}


def test_a_class_may_be_named_like_a_split(tmp_path):
    source = open_source("class_folders", write(tmp_path, *pictures("train", 4), *pictures("plane", 4)))
    assert source.labels == ["plane", "train"]


def test_splits_without_class_folders_are_one_clear_line(tmp_path):
    with pytest.raises(DataError, match="holds the splits of a data set, but no class folders in them .test/0.png"):
        open_source("class_folders", write(tmp_path, *pictures("train", 3), *pictures("test", 3)))


def test_a_class_that_only_the_test_has_is_told_before_training(tmp_path):
    paths = [*pictures("train/a", 3), *pictures("train/b", 3), *pictures("test/c", 2)]
    folder = write(tmp_path, *paths)
    assert open_source("class_folders", folder).labels == ["a", "b", "c"]
    with pytest.raises(DataError, match=r"no pictures to train with of 1 of the classes: c \(2 in test\)"):
        dataset_digest("class_folders", folder, labelled=True)


def test_the_same_picture_in_two_splits_is_one_picture(tmp_path):
    folder = write(tmp_path, *pictures("train/a", 3), *pictures("train/b", 3), "test/a/x.png", "test/b/x.png")
    shutil.copy(tmp_path / "train/a/0.png", tmp_path / "test/a/again.png")
    source = open_source("class_folders", folder)
    assert source.facts["duplicates"] == [{"path": "train/a/0.png", "same_as": "test/a/again.png"}]
    assert source.classes["test"] == {"a": 2, "b": 1}


def test_folders_below_the_classes_say_who(tmp_path):
    people = [f"{label}/p{n}/{k}.png" for n in range(9) for label in ("cross", "glad") for k in range(3)]
    source = open_source("class_folders", write(tmp_path, *people))
    where = {}
    for wanted in source._wanted:
        where.setdefault(wanted.path.split(b"/")[1], set()).add(wanted.split)
    assert source.facts["groups"] == 9 and all(len(found) == 1 for found in where.values())
    assert {split for found in where.values() for split in found} == {"train", "validation", "test"}
    (tmp_path / "glad" / "loose.png").write_bytes((tmp_path / "glad" / "p1" / "0.png").read_bytes()[:-1])
    assert "groups" not in open_source("class_folders", str(tmp_path)).facts


def test_single_pictures_are_trained_with_and_told(tmp_path):
    folder = write(tmp_path, *pictures("a", 20), *pictures("b", 20), "c/0.png", "d/0.png")
    source = open_source("class_folders", folder)
    assert source.classes["train"] == {"a": 16, "b": 16, "c": 1, "d": 1}
    assert source.facts["untested"] == ["c", "d"] and dataset_digest("class_folders", folder, labelled=True)


def test_what_macs_leave_behind_is_counted(tmp_path):
    folder = write(tmp_path, *pictures("a", 3), *pictures("b", 3))
    (tmp_path / "a" / "._0.png").write_bytes(b"resource fork")
    shutil.copytree(tmp_path / "a", tmp_path / "__MACOSX" / "a")
    (tmp_path / "b" / "x.heic").write_bytes(b"\0")
    Image.new("RGB", (4, 4)).save(tmp_path / "b" / "x.gif")
    source = open_source("class_folders", folder)
    assert source.labels == ["a", "b"] and source.facts["ignored"] == {".gif": 1, ".heic": 1, "hidden": 2}


@pytest.mark.skipif(not FIELD, reason="the files on which people failed are not here")
def test_folders_on_which_people_failed():
    source = open_source("class_folders", str(FIELD / "class_folders_with_splits"))
    assert source.labels == ["a", "b"] and [sum(source.classes[s].values()) for s in source.classes] == [40, 10, 10]
    source = open_source("class_folders", str(FIELD / "class_folders_with_single_pictures"))
    assert source.facts["untested"] == ["c", "d", "e"] and set(source.classes["train"]) == set("abcde")
    assert open_source("photos", str(FIELD / "mac_folder")).facts["ignored"] == {".gif": 1, ".heic": 1, "hidden": 1}
