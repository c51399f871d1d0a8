"""Notes about files: kept while a file stays as it is, made anew when it changes, and never in the way."""

import os
import time

import pytest

from components.kinds import notes
from components.kinds.notes import Notes


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with two files, an empty cache, and a clock by which what is written now has lain for a while."""
    monkeypatch.setenv("KOMPAKT_CACHE", str(tmp_path / "cache"))
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10 * notes._STEP_NS)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a").write_text("one")
    (folder / os.fsdecode(b"\xe9")).write_text("two")
    return folder


def look(place, what="test/1"):
    """Notes of all files, and the names of those that were read for it."""
    read = []

    def make(name):
        read.append(name)
        return [(place / name).read_text()]

    with Notes(place, what) as found:
        return {name: found.of(name, lambda name=name: make(name)) for name in sorted(os.listdir(place))}, read


def test_what_did_not_change_is_not_read_again(place):
    first, read = look(place)
    assert len(read) == 2
    again, read = look(place)
    assert again == first and read == []
    assert look(place, "test/2")[1] and look(place.parent / "in")[1] == []


def test_another_content_of_the_same_size_and_time_is_seen(place):
    look(place)
    before = os.stat(place / "a")
    (place / "a").write_text("six")
    os.utime(place / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    found, read = look(place)
    assert read == ["a"] and found["a"] == ["six"]


def test_a_file_that_was_written_a_moment_ago_is_read_again(place, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("KOMPAKT_CACHE", str(place.parent / "cache"))
    look(place)
    assert len(look(place)[1]) == 2


def test_files_that_are_gone_are_forgotten_and_errors_are_not_kept(place):
    look(place)
    os.remove(place / "a")
    look(place)
    (kept,) = (place.parent / "cache" / "notes").iterdir()
    assert '"a"' not in kept.read_text()
    with Notes(place, "test/1") as found, pytest.raises(OSError):
        found.of("b", lambda: (place / "b").read_text())


@pytest.mark.parametrize("damage", ["nothing", "[]", '{"a": ["x", 1]}'])
def test_notes_that_are_damaged_are_made_anew(place, damage):
    first, _ = look(place)
    (kept,) = (place.parent / "cache" / "notes").iterdir()
    kept.write_text(damage)
    assert look(place)[0] == first and look(place)[1] == []


def test_a_cache_that_cannot_be_written_is_no_error(place, monkeypatch):
    (place.parent / "file").write_text("no folder")
    monkeypatch.setenv("KOMPAKT_CACHE", str(place.parent / "file"))
    assert len(look(place)[1]) == len(look(place)[1]) == 2
