"""A run that is killed, and one that is stopped by Ctrl-C: the same command goes on from the last checkpoint."""

import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.pipeline.runners.test_local_run import write_pictures

pytestmark = pytest.mark.slow

SETTINGS = ("channels=8", "latents=8", "crop_size=64", "batch_size=2", "steps=40", "steps_per_epoch=4")
LIMIT = 300  # seconds; a loaded machine starts TensorFlow slowly


@pytest.fixture
def start(tmp_path):
    """Starts the command in a process of its own; what is still alive at the end of the test is killed."""
    write_pictures(tmp_path / "pictures", 0, 6)
    command = [sys.executable, "-m", "pipeline", "run", "factorized", "--data", str(tmp_path / "pictures")]
    command += ["--out", str(tmp_path / "out"), *(word for s in SETTINGS for word in ("--set", s))]
    started = []

    def run():
        # Where the tests run in the background, their children would ignore Ctrl-C's signal.
        hear = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        environment = os.environ | {"PYTHONUNBUFFERED": "1", "CUDA_VISIBLE_DEVICES": ""}
        with open(tmp_path / "stderr.txt", "w") as errors:
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, preexec_fn=hear
            )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def newest_checkpoint(out: pathlib.Path) -> int:
    """How many epochs the newest checkpoint below the output folder has behind it (0 without one)."""
    files = out.glob("training/*/state/epoch-*.weights.h5")
    return max((int(re.search(r"epoch-(\d+)", f.name)[1]) for f in files), default=0)


def test_killed_training_goes_on_and_ctrl_c_ends_with_130(tmp_path, start):
    out = tmp_path / "out"
    first = start()
    deadline = time.monotonic() + LIMIT
    while newest_checkpoint(out) < 2:
        assert first.poll() is None and time.monotonic() < deadline, (tmp_path / "stderr.txt").read_text()
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    done = newest_checkpoint(out)
    assert 2 <= done < 10, "the training was over before it could be killed"
    (kept,) = out.glob("training/*/state/history.json")
    before = [e for e in json.loads(kept.read_text()) if e["step"] <= 4 * done]

    second = start()
    printed = ""
    for line in second.stdout:
        printed += line
        if re.search(r"Trainer [\d.]+ s", line):
            break
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=LIMIT)
    errors = (tmp_path / "stderr.txt").read_text()
    assert second.returncode == 130, errors
    assert errors.rstrip().endswith("the same command goes on from where it was")
    assert "TfdsExampleGen unchanged, from the cache" in printed
    newest = max((out / "artifacts" / "Trainer" / "model_run").iterdir(), key=lambda p: int(p.name))
    history = json.loads((newest / "history.json").read_text())
    assert [entry["step"] for entry in history] == list(range(4, 44, 4))
    assert history[: len(before)] == before  # Not trained again: the very numbers of the first process.
    assert not [p for p in (out / "training").rglob("*") if p.is_file()]
