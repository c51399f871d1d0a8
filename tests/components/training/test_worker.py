"""Two processes learn what one learns, from the same batches; what one of them cannot do ends both."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from components.training import worker
from models.contract import registry
from models.publishing import pushed
from models.training import workers
from tests.models.kinds import KINDS, tiny

pytestmark = pytest.mark.slow

# No noise: its numbers are other ones on each replica.
OPTIONS = {"batch_size": 4, "steps": 50, "steps_per_epoch": 10, "quantisation": "rounded"}


def told(folder: pathlib.Path, name: str, **options) -> worker.Told:
    """A training of a recipe's tiny model into a folder."""
    recipe = registry.get(name)
    (folder / "records").mkdir(parents=True)
    files = KINDS[recipe.shape].write(folder / "records")
    known = {k: v for k, v in OPTIONS.items() if k in recipe.config.__dataclass_fields__}
    config = recipe.make_config("small", tiny(recipe) | known | options)
    return worker.Told(name, dataclasses.asdict(config), [files["train"]], [files["validation"]],
                       str(folder / "state"), str(folder / "logs"), str(folder / "model"))  # fmt: skip


def history(found: worker.Told) -> list[dict]:
    entries = json.loads((pathlib.Path(found.log_dir) / "history.json").read_text())
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in entries]


@pytest.mark.parametrize("name", ["factorized", "small_cnn"])
def test_two_workers_learn_what_one_process_learns(tmp_path, name):
    """The last batch of the validation is smaller than the workers' shares of a whole one."""
    one, two = (told(tmp_path / folder, name) for folder in ("one", "two"))
    worker.train(one)
    worker.launch(two, 2, str(tmp_path / "workers"))
    expected, found = history(one), history(two)
    assert len(found) == 5 and found[-1]["step"] == 50 and "val_loss" in found[0]
    for a, b in zip(expected, found, strict=True):
        assert a.keys() == b.keys()
        np.testing.assert_allclose([b[k] for k in a], [a[k] for k in a], rtol=1e-5)
    weights = [pushed.load(one.serving_model_dir)[2].get_weights() for one in (one, two)]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def process_of(index: int) -> int:
    """The number of the process that is the worker of that index, of those that this one started."""
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and f"PPid:\t{os.getpid()}\n" in (entry / "status").read_text():
                environment = (entry / "environ").read_bytes().decode().split("\0")
                if any(f'"index": {index}' in line for line in environment if line.startswith(workers.VARIABLE)):
                    return int(entry.name)
        except OSError:
            continue
    raise ProcessLookupError(index)


def test_a_worker_that_is_killed_ends_the_training_which_then_goes_on(tmp_path):
    found, failed = told(tmp_path, "small_cnn", steps=4000, steps_per_epoch=20), []

    def launch():
        try:
            worker.launch(found, 2, str(tmp_path / "workers"))
        except worker.WorkerError as error:
            failed.append(str(error))

    training = threading.Thread(target=launch)
    training.start()
    state = pathlib.Path(found.work_dir)
    while not list(state.glob("epoch-*")) and training.is_alive():
        time.sleep(0.1)
    os.kill(process_of(1), signal.SIGKILL)
    training.join(60)
    assert not training.is_alive() and "worker 1 of 2 was killed by SIGKILL" in failed[0]
    (left,) = state.glob("epoch-*.weights.h5")
    reached = int(left.name.split("-")[1].split(".")[0])
    few = dataclasses.replace(found, config=found.config | {"steps": 20 * (reached + 1)})
    worker.launch(few, 2, str(tmp_path / "workers"))
    assert [entry["step"] for entry in history(few)] == [20 * n for n in range(1, reached + 2)]
    assert (pathlib.Path(few.serving_model_dir) / "saved_model.pb").exists()


def test_what_is_wrong_with_the_input_is_told_by_the_worker_that_finds_it(tmp_path):
    path = tmp_path / "told.json"
    path.write_text(json.dumps(dataclasses.asdict(worker.Told("nobody", {}, [], [], "", "", ""))))
    with pytest.raises(SystemExit, match="nobody"):
        worker.main(str(path))
    ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])
    ended.wait()
    with pytest.raises(worker.WorkerError, match="nobody") as caught:
        worker._fail([ended], [0], tmp_path)
    assert caught.value.status == 2
    (tmp_path / "worker-0.error").unlink()
    with pytest.raises(worker.WorkerError, match="worker 0 of 1 ended with exit code 1; run again to go on"):
        worker._fail([ended], [0], tmp_path)
