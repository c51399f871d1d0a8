"""A suite that loses a process ends, with what it died of and everything else."""

import subprocess
import sys

import pytest

pytest.importorskip("xdist")

CONFTEST = """
def pytest_xdist_make_scheduler(config, log):
    from tests.scheduling import Pieces
    config.option.loadscopereorder = False
    return Pieces(config, log)
"""
DIES = "import os, time\ndef test_before():\n    time.sleep(0.2)\ndef test_dies():\n    os._exit(1)\n"


@pytest.mark.parametrize("behind", [0, 1, 3])  # files that wait when it dies, and when nothing waits any more
def test_every_other_test_is_run_when_a_process_dies(behind, tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for n in range(6):
        (tmp_path / f"test_a{n}.py").write_text("def test_passes():\n    pass\n")
    (tmp_path / "test_dies.py").write_text(DIES + "def test_after():\n    pass\n")
    for n in range(behind):
        (tmp_path / f"test_z{n}.py").write_text("import time\ndef test_passes():\n    time.sleep(0.2)\n")
    options = ["-n", "2", "--dist", "loadfile", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "--rootdir", tmp_path]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, tmp_path], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "test_dies.py::test_dies" in done.stdout
    assert f"1 failed, {6 + 2 + behind} passed" in done.stdout
