"""Searches with several processes: keras-tuner's chief, which hands out the trials, and workers that train.

The chief waits for ever for a worker that died in a trial, unless one comes back under its name; that is what is done
here. A worker goes on with its trial from the last epoch that it had kept.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from models.contract.errors import KompaktError
from models.files import write_text

SPEC = "search.json"  # what a process of the search reads
CHIEF = "chief"
GIVE_UP = 3  # exit status of a worker whose error no other trial would avoid
_ROOT = pathlib.Path(__file__).resolve().parent.parent
LOOK_SECONDS = 0.2  # seconds between two looks at the processes
_LAST_SECONDS = 10  # that workers have to end after the chief
_DEATHS = 5  # of a process that follow each other without a trial that ended


class SearchError(KompaktError, RuntimeError):
    """A search that cannot go on."""

    status = 1


def run(spec: Mapping[str, Any], workers: int) -> None:
    """Runs a search to its end, or goes on with one that was interrupted; its trials lie in its directory then.

    Args:
      spec: "recipe" (a name), "config", "files", "plan", "directory", "logs", see `tuning.worker`.
      workers: how many processes train at once.

    Raises:
      SearchError: a process dies again and again, or says that no trial can come through.
    """
    directory = described(spec)
    address = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(free_port())}
    with contextlib.ExitStack() as stack:
        chief = stack.enter_context(Process(CHIEF, directory, address))
        names = [f"tuner{n}" for n in range(workers)]
        while names:
            with contextlib.ExitStack() as group:
                _watch(chief, [group.enter_context(Process(name, directory, address)) for name in names], directory)
            # Trials of an earlier search with more workers, which are still theirs.
            names = sorted(_ongoing(directory))


def described(spec: Mapping[str, Any]) -> pathlib.Path:
    """Writes what the processes of a search read; returns the folder of the search."""
    directory = pathlib.Path(spec["directory"])
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / SPEC, json.dumps(spec))
    return directory


class Process:
    """A process of the search, started again under its name; a context manager that ends it."""

    def __init__(self, name: str, directory: pathlib.Path, address: Mapping[str, str]):
        self.name, self._directory = name, directory
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        own = {"KERASTUNER_TUNER_ID": name, "PYTHONPATH": path, "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
        self._environment = os.environ | address | own
        self.deaths, self._ended = 0, -1
        self.start()

    def start(self) -> None:
        """Starts it."""
        command = [sys.executable, "-m", "tuning.worker", str(self._directory / SPEC), str(os.getpid())]
        with open(self._directory / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(command, env=self._environment, stderr=log, stdin=subprocess.DEVNULL)

    def revive(self, ended: int) -> None:
        """Starts it again. Args: ended: trials that have ended by now.

        Raises:
          SearchError: it is of no use.
        """
        self.deaths = 1 if ended > self._ended else self.deaths + 1
        self._ended = ended
        if self.process.returncode == GIVE_UP or self.deaths > _DEATHS:
            raise SearchError(f"the search's process {self.name} cannot go on: {self.last_words()}")
        print(f"  {self.name} died (exit code {self.process.returncode}); started again", flush=True)
        self.start()

    def last_words(self) -> str:
        """The last line that it wrote."""
        lines = (self._directory / f"{self.name}.log").read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), f"exit code {self.process.returncode}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self) -> None:
        """Ends it, by force if need be."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _watch(chief: Process, workers: Sequence[Process], directory: pathlib.Path) -> None:
    """Until no trial is left: starts again what dies.

    Workers end when they are told that there is nothing to do, and the chief when it has told them; who has come too
    late to be told is not waited for.
    """
    patience = _LAST_SECONDS / LOOK_SECONDS
    while any(worker.process.poll() != 0 for worker in workers) and patience > 0:
        done = ended(directory)
        if chief.process.poll() == 0:
            patience -= 1
        elif chief.process.poll() is not None:  # a new one hands out all trials that were under way
            for worker in workers:
                worker.stop()
            chief.revive(done)
            for worker in workers:
                worker.start()
        for worker in workers:
            if chief.process.poll() != 0 and worker.process.poll() not in (None, 0):
                worker.revive(done)
        time.sleep(LOOK_SECONDS)


def ended(directory: pathlib.Path) -> int:
    """How many trials have ended."""
    return len(_state(directory).get("end_order", ()))


def _ongoing(directory: pathlib.Path) -> list[str]:
    """Workers whose trials have begun and not ended."""
    state = _state(directory)
    return [name for name, trial in state.get("ongoing_trials", {}).items() if trial not in state["end_order"]]


def _state(directory: pathlib.Path) -> dict[str, Any]:
    """What the chief has written of the search; {} while it does so for the first time."""
    for path in directory.glob("*/oracle.json"):
        with contextlib.suppress(ValueError):
            return json.loads(path.read_text(encoding="utf-8"))
    return {}


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
