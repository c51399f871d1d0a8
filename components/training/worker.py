"""A training as a process of its own, so that several can share it: `python -m components.training.worker FILE`.

FILE says what is trained, see `Told`; `TF_CONFIG` says which of the workers a process is (`models.training.workers`).
On this machine `launch` starts them all; on several, whoever starts the processes sets the variable, as Kubernetes'
training operator does, and gives all of them one FILE in a folder that all can read.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from models.contract.errors import KompaktError
from models.files import write_text
from models.training import workers

_POLL = 0.2  # seconds
_LAST_WORDS = 3.0  # that the others have, after one has failed, to say why


class WorkerError(KompaktError, RuntimeError):
    """A worker failed, and with it the training."""

    def __init__(self, text: str, status: int = 1):
        super().__init__(text)
        self.status = status


@dataclasses.dataclass(frozen=True)
class Told:
    """What is trained, and where it goes.

    Attributes:
      recipe, config: name and all options. train_files, eval_files: of records.
      work_dir, log_dir: as of `models.training.loop.train`. serving_model_dir: of the exported model.
      route_dir: where the model of every epoch is kept; empty: nowhere.
    """

    recipe: str
    config: dict
    train_files: Sequence[str]
    eval_files: Sequence[str]
    work_dir: str
    log_dir: str
    serving_model_dir: str
    route_dir: str = ""


def train(told: Told) -> None:
    """Trains and exports, or as one of several workers does its share; the chief exports."""
    from models.contract import registry
    from models.publishing import export
    from models.training import loop
    from models.training.callbacks import KeepRoute

    recipe = registry.get(told.recipe)
    config = recipe.config(**told.config)
    keeps = told.route_dir and workers.is_chief()
    model = loop.train(
        recipe, config, told.train_files, told.eval_files, work_dir=told.work_dir, log_dir=told.log_dir,
        callbacks=[KeepRoute(recipe, config, told.route_dir)] if keeps else [],
    )  # fmt: skip
    if workers.is_chief():
        export.export(recipe, config, model, told.serving_model_dir, examples=told.train_files)
    workers.wait()


def launch(told: Told, count: int, folder: str) -> None:
    """Trains by so many processes on this machine, and waits for them.

    Args:
      folder: gets what they are told, and what all but the chief print.

    Raises:
      WorkerError: one failed; the others are ended.
    """
    place = pathlib.Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob("*.error"):
        old.unlink()
    write_text(place / "told.json", json.dumps(dataclasses.asdict(told)))
    addresses = tuple(f"localhost:{port}" for port in _free_ports(count))
    running = []
    with contextlib.ExitStack() as stack:
        for n in range(count):
            log = stack.enter_context(open(place / f"worker-{n}.log", "w")) if n else None
            # They share the cores.
            threads = str(max(1, (os.cpu_count() or 1) // count))
            environment = os.environ | {
                workers.VARIABLE: workers.Place(n, addresses).config(), "TF_NUM_INTRAOP_THREADS": threads,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            }  # fmt: skip
            command = [sys.executable, "-W", "ignore", "-m", __name__, str(place / "told.json")]
            running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        try:
            while any(process.poll() is None for process in running):
                if failed := [n for n, process in enumerate(running) if process.poll()]:
                    _fail(running, failed, place)
                time.sleep(_POLL)
            if failed := [n for n, process in enumerate(running) if process.returncode]:
                _fail(running, failed, place)
        finally:
            for process in running:
                process.kill()
                process.wait()


def _fail(running: list[subprocess.Popen], failed: list[int], place: pathlib.Path) -> None:
    """Raises WorkerError with what the workers had to say: who waits for one that is gone says it too late."""
    end = time.monotonic() + _LAST_WORDS
    while time.monotonic() < end and not list(place.glob("*.error")) and any(p.poll() is None for p in running):
        time.sleep(_POLL)
    for n in range(len(running)):
        said = place / f"worker-{n}.error"
        if said.exists():
            raise WorkerError(**json.loads(said.read_text(encoding="utf-8")))
    code = running[failed[0]].returncode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    where = f"; it printed {place / f'worker-{failed[0]}.log'}" if failed[0] else ""
    raise WorkerError(f"worker {failed[0]} of {len(running)} {how}{where}; run again to go on")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]


def main(path: str) -> None:
    """The process of a worker; its error, if it is for the user, goes beside what it was told."""
    told_in = pathlib.Path(path)
    try:
        workers.strategy()  # before anything else asks TensorFlow
        train(Told(**json.loads(told_in.read_text(encoding="utf-8"))))
    except KompaktError as error:
        said = {"text": str(error), "status": error.status}
        write_text(told_in.with_name(f"worker-{workers.index()}.error"), json.dumps(said))
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main(sys.argv[1])
