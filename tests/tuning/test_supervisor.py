"""Searches with a chief and workers as real processes, of which some are killed in the middle of a trial."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from models.contract import registry
from tests.components import toy_model
from tuning import supervisor
from tuning.plan import WORKERS, Plan, workers
from tuning.tuner import ConfigTuner

pytestmark = pytest.mark.slow

TINY = {"channels": 8, "latents": 8, "crop_size": 64, "batch_size": 2, "steps": 200, "steps_per_epoch": 1}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    toy_model.write_records(folder / "part.gz", [(70, 66), (64, 80)])
    return {"train_files": [str(folder / "part.gz")], "validation_files": [str(folder / "part.gz")]}


def processes(parent: int = os.getpid()) -> dict[str, int]:
    """Processes of a search that a process has started: ids by name."""
    found = {}
    for place in pathlib.Path("/proc").iterdir():
        try:
            command = (place / "cmdline").read_bytes().split(b"\0")
            environment = (place / "environ").read_bytes().split(b"\0")
        except OSError:  # gone, or another user's
            continue
        if b"tuning.worker" in command and str(parent).encode() in command:
            found |= {e.split(b"=")[1].decode(): int(place.name) for e in environment if e.startswith(b"KERASTUNER_TU")}
    return found


def kill_in_trials(directory: pathlib.Path, names: list[str]) -> list[str]:
    """Kills each of the workers as soon as its trial has kept an epoch; gives the trials."""
    hit = []
    for name in names:
        for _ in range(6000):  # minutes, where other tests take the cores
            time.sleep(0.05)
            states = list(directory.glob("*/oracle.json"))
            try:
                trial = json.loads(states[0].read_text())["ongoing_trials"][name] if states else None
            except (ValueError, KeyError):
                continue
            if trial and trial not in hit and list(directory.glob(f"*/trial_{trial}/state/epoch-*.h5")):
                os.kill(processes()[name], signal.SIGKILL)
                hit.append(trial)
                break
    return hit


def test_killed_workers_come_back_and_no_trial_is_lost_or_doubled(files, tmp_path, capfd):
    recipe = registry.get("factorized")
    directory, logs = tmp_path / "search", tmp_path / "logs"
    plan = Plan(4, algorithm="random", steps=12)
    search = ConfigTuner(
        recipe, recipe.make_config("small", TINY), plan, directory=str(directory), logs=str(logs), workers=2
    )
    hit = []
    killer = threading.Thread(target=lambda: hit.extend(kill_in_trials(directory, ["tuner1", "tuner0"])))
    killer.start()
    search.search(**files)
    killer.join()
    told = capfd.readouterr().out
    assert len(set(hit)) == 2 and told.count("died (exit code -9); started again") == 2
    trials = search.completed()
    assert sorted(int(t.trial_id) for t in trials) == [0, 1, 2, 3] == sorted(map(int, search.oracle.end_order))
    assert len({json.dumps(t.hyperparameters.values) for t in trials}) == 4
    assert [t.score for t in trials] == sorted(t.score for t in trials)
    assert not directory.exists() and not processes()
    kept = {f"trial-{n}" for n in (1, 2, 3, 4)}
    assert {path.name for path in logs.iterdir() if path.is_dir()} == kept
    for trial in trials:  # an interrupted trial went on where it was: its history is whole
        history = json.loads((logs / f"trial-{int(trial.trial_id) + 1}" / "history.json").read_text())
        assert [entry["step"] for entry in history] == list(range(1, 13))
        assert trial.score == history[-1]["val_loss"], "not rounded on its way"


def test_after_a_kill_of_the_chief_its_worker_goes_on_with_the_trial(files, tmp_path, capfd):
    directory = tmp_path / "search"
    config = registry.get("factorized").make_config("small", TINY)
    spec = {
        "recipe": "factorized", "config": vars(config), "files": files, "directory": str(directory), "logs": "",
        "plan": vars(Plan(1, steps=5)),
    }  # fmt: skip

    def kill() -> None:
        while not list(directory.glob("*/trial_0/state/epoch-*.h5")):
            time.sleep(0.02)
        os.kill(processes()[supervisor.CHIEF], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    supervisor.run(spec, 1)
    killer.join()
    assert capfd.readouterr().out.count("chief died (exit code -9); started again") == 1
    state = json.loads(next(directory.glob("*/oracle.json")).read_text())
    assert state["end_order"] == state["start_order"] == ["0"] and not processes()
    history = json.loads(next(directory.glob("*/trial_0/logs/history.json")).read_text())
    assert [entry["step"] for entry in history] == [1, 2, 3, 4, 5]


def test_after_a_kill_of_all_fewer_workers_go_on_where_it_was(files, tmp_path):
    """Whose parent is gone ends too; what a worker that does not come back had begun is ended all the same."""
    config = registry.get("factorized").make_config("small", TINY)
    directory = tmp_path / "search"
    spec = {
        "recipe": "factorized", "config": vars(config), "files": files, "directory": str(directory), "logs": "",
        "plan": vars(Plan(3, algorithm="random", steps=12)),
    }  # fmt: skip
    command = "import json, sys; from tuning import supervisor; supervisor.run(json.loads(sys.argv[1]), 2)"
    whole = subprocess.Popen([sys.executable, "-c", command, json.dumps(spec)])
    begun = []
    while len(begun) < 2:
        time.sleep(0.05)
        begun = {path.parent.parent.name for path in directory.glob("*/trial_*/state/epoch-*.h5")}
    assert len(processes(whole.pid)) == 3
    whole.kill()
    whole.wait()
    until = time.monotonic() + 10
    while processes(whole.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not processes(whole.pid)
    supervisor.run(spec, 1)
    state = json.loads(next(directory.glob("*/oracle.json")).read_text())
    assert sorted(state["end_order"]) == ["0", "1", "2"] and len(state["start_order"]) == 3
    for trial in directory.glob("*/trial_*"):
        history = json.loads((trial / "logs" / "history.json").read_text())
        assert [entry["step"] for entry in history] == list(range(1, 13))


def test_a_search_without_data_ends_with_the_reason(tmp_path):
    recipe = registry.get("factorized")
    search = ConfigTuner(recipe, recipe.make_config("small", TINY), Plan(2), directory=str(tmp_path / "a"), workers=2)
    with pytest.raises(supervisor.SearchError, match="^the search's process tuner. cannot go on: .*no records"):
        search.search(train_files=[], validation_files=[])
    assert not processes()


def test_the_environment_says_how_many(monkeypatch):
    monkeypatch.setenv(WORKERS, "3")
    assert workers() == 3
    monkeypatch.setenv(WORKERS, "none")
    with pytest.raises(ValueError, match=f"{WORKERS}=none: wanted is a number above 0"):
        workers()
