"""Files and folders that are written complete or not at all."""

import os
import subprocess
import sys
import threading
import time

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


def test_a_lock_is_held_by_one_at_a_time_and_leaves_nothing(tmp_path):
    path, inside, most = tmp_path / "lock", [], []

    def work():
        for _ in range(20):
            with files.held(path):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 80 and max(most) == 1
    assert not list(tmp_path.iterdir())


def test_who_waits_for_a_lock_says_so_and_a_killed_process_lets_go_of_it(tmp_path, capsys):
    path = tmp_path / "lock"
    code = (
        "import sys, time; from models import files\nwith files.held(sys.argv[1]): print(1, flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    holder.stdout.readline()
    threading.Timer(0.2, holder.kill).start()
    with files.held(path, "waiting"):
        assert holder.wait() != 0
    assert capsys.readouterr().out == "waiting\n" and not path.exists()
