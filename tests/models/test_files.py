"""Files and folders that are written complete or not at all."""

import os

import pytest

from models import files


def test_a_file_takes_its_place_when_it_is_complete(tmp_path):
    path = tmp_path / ("n" * 250 + ".npz")  # the longest name there can be, with a suffix that writers go by
    path.write_text("old")
    with files.replacing(path) as part:
        assert part.name == path.name and path.read_text() == "old"
        part.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_the_old_file_alone(tmp_path):
    files.write_text(tmp_path / "a.json", "é")
    with pytest.raises(ZeroDivisionError), files.replacing(tmp_path / "a.json") as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "é" and os.listdir(tmp_path) == ["a.json"]


def test_a_folder_takes_the_place_of_an_empty_one_and_of_no_other(tmp_path):
    (tmp_path / "a").mkdir()
    for _ in range(2):
        try:
            with files.replacing(tmp_path / "a") as part:
                part.mkdir()
                (part / "x").write_text("x")
        except OSError as error:
            assert "not empty" in str(error)
    assert os.listdir(tmp_path) == ["a"] and os.listdir(tmp_path / "a") == ["x"]
