"""Searches whose processes others start, the jobs of a cluster say, each as keras-tuner's variables tell it.

All see one folder. In it lies a note of the search, which chief and workers go by: where the search is, which life of
the chief it is (a new one hands out anew what was under way, so the workers begin again), and whether it has ended.
"""

import dataclasses
import json
import os
import pathlib
import time
import uuid
from collections.abc import Mapping, MutableMapping
from typing import Any

from models.files import write_text
from tuning import supervisor
from tuning.supervisor import CHIEF, LOOK_SECONDS, Process, SearchError

# For the Tuner's step, which is told nothing of how a search is done: the note, and where the chief listens.
NOTE, ORACLE = "KOMPAKT_SWEEP_NOTE", "KOMPAKT_SWEEP_ORACLE"
SEARCH = "KOMPAKT_SWEEP_ID"  # names the note, so that nobody goes by that of an earlier search
IP, PORT, TUNER = "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID"


@dataclasses.dataclass(frozen=True)
class Role:
    """What a process is in a search: `name` (the chief's, or a worker's own), where the chief listens, the note."""

    name: str
    ip: str
    port: str
    note: pathlib.Path

    @property
    def is_chief(self) -> bool:
        """Whether it hands out the trials."""
        return self.name == CHIEF


def taken(environment: MutableMapping[str, str], out: pathlib.Path) -> Role | None:
    """The role that the environment gives; the variables are taken out of it, since keras-tuner would act on them.

    Args:
      out: folder of the search, where the note lies.

    Raises:
      SearchError: some of the variables are missing.
    """
    if TUNER not in environment:
        return None
    names = (TUNER, IP, PORT, SEARCH)
    if missing := [name for name in names if not environment.get(name)]:
        raise SearchError(f"{TUNER} is set, and not {', '.join(missing)}")
    name, ip, port, search = (environment.pop(name) for name in names)
    return Role(name, ip, port, out / f"sweep-{search}.json")


def lead(role: Role, environment: MutableMapping[str, str]) -> None:
    """Has searches of this process start the chief alone, as `role` says."""
    environment |= {NOTE: str(role.note), ORACLE: f"{role.ip}:{role.port}"}


def ended(role: Role) -> int | None:
    """With which exit status the search has ended; None: it has not."""
    return _read(role.note).get("ended")


def end(role: Role, status: int) -> None:
    """Notes that the search has ended, for the workers."""
    role.note.parent.mkdir(parents=True, exist_ok=True)
    write_text(role.note, json.dumps({"ended": status}))


def is_led() -> bool:
    """Whether searches of this process have workers that others start."""
    return NOTE in os.environ


def run(spec: Mapping[str, Any]) -> None:
    """Runs a search's chief until no trial is left; started again when it dies. See `tuning.supervisor.run`.

    Raises:
      SearchError: it dies again and again, or a worker says that no trial can come through.
    """
    directory, note = supervisor.described(spec), pathlib.Path(os.environ[NOTE])
    for failure in directory.glob("*.failed"):
        failure.unlink()
    ip, _, port = os.environ[ORACLE].rpartition(":")

    def begin() -> None:
        write_text(note, json.dumps({"directory": str(directory), "chief": uuid.uuid4().hex}))

    begin()
    with Process(CHIEF, directory, {IP: ip, PORT: port}) as chief:
        # Who comes too late to be told that there is nothing left reads it in the note.
        while chief.process.poll() != 0 and supervisor.ended(directory) < spec["plan"]["trials"]:
            for failure in directory.glob("*.failed"):
                raise SearchError(failure.read_text(encoding="utf-8"))
            if chief.process.poll() is not None:
                begin()
                chief.revive(supervisor.ended(directory))
            time.sleep(LOOK_SECONDS)


def work(role: Role) -> int:
    """Does a worker's part of a search, as soon as there is one, until it has ended; returns the exit status."""
    worker, life = None, ""
    try:
        while "ended" not in (said := _read(role.note)):
            if said and said["chief"] != life:
                if worker:
                    worker.stop()
                life, directory = said["chief"], pathlib.Path(said["directory"])
                worker = Process(role.name, directory, {IP: role.ip, PORT: role.port})
            if worker and worker.process.poll() == 0:
                return 0
            if worker and worker.process.poll() is not None:
                worker.revive(supervisor.ended(directory))
            time.sleep(LOOK_SECONDS)
    except SearchError as error:  # the chief would wait for ever
        write_text(directory / f"{role.name}.failed", str(error))
        raise
    finally:
        if worker:
            worker.stop()
    return 0


def _read(note: pathlib.Path) -> dict[str, Any]:
    """What the note says; {} before there is one."""
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
