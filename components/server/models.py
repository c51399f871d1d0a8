"""The models of a server and their versions: found, loaded, warmed, switched to, drained."""

import contextlib
import pathlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from components.native_model import NativeError
from components.server.errors import RequestError
from components.server.version import Version
from components.serving.served_codec import one_line
from models.publishing import pushed


class State(NamedTuple):
    """What has become of a version: START, LOADING, AVAILABLE, UNLOADING or END, and why where it failed."""

    name: str
    error: str = ""


class Models:
    """Models by name, each with the newest versions of its folder.

    A version answers only when it is loaded and has answered its warm-up requests. The default is the newest, as is the
    label `canary`; `stable` is the one before. One that left the newest answers who asks already, and is then closed.

    Args:
      places: name -> a folder of versions, or a single version.
      keep: how many versions of a model are served. tell: called with a line when something changes.
    """

    def __init__(self, places: Mapping[str, pathlib.Path], keep: int = 2, tell: Callable[[str], None] = lambda _: None):
        self._places, self._keep, self._tell = dict(places), keep, tell
        self._versions: dict[str, dict[int, Version]] = {name: {} for name in places}
        self._leaving: dict[str, list[Version]] = {name: [] for name in places}
        self._states: dict[str, dict[int, State]] = {name: {} for name in places}
        self._failed: dict[pathlib.Path, int] = {}  # path -> when its graph was written
        self._lock, self._refreshing = threading.Lock(), threading.Lock()

    @property
    def names(self) -> list[str]:
        """Names of the models."""
        return list(self._places)

    def refresh(self) -> None:
        """Loads what is new in the folders, and retires what is no longer among the newest."""
        with self._refreshing:
            for name, place in self._places.items():
                found = _found(place)
                for number in sorted(found, reverse=True)[: self._keep]:
                    if number not in self._versions[name]:
                        self._load(name, number, found[number])
                with self._lock:
                    loaded = sorted(self._versions[name], reverse=True)
                    gone = [self._versions[name].pop(number) for number in loaded[self._keep :]]
                for version in gone:
                    self._set(name, version.number, State("UNLOADING"))
                    self._leaving[name].append(version)
                    version.retire()
                self._leaving[name] = [v for v in self._leaving[name] if not self._has_left(name, v)]

    def _load(self, name: str, number: int, directory: pathlib.Path) -> None:
        try:
            written = (directory / "saved_model.pb").stat().st_mtime_ns
            if self._failed.get(directory) == written:
                return
            self._set(name, number, State("LOADING"))
            version = Version(number, directory)
        except (NativeError, RequestError, OSError, ValueError) as error:
            self._failed[directory] = written
            self._set(name, number, State("END", one_line(error)))
            self._tell(f"{name} {number}: cannot be served: {one_line(error)}")
            return
        with self._lock:
            self._versions[name][number] = version
            self._states[name][number] = State("AVAILABLE")
        self._tell(f"{name} {number}: loaded and warm")

    def _has_left(self, name: str, version: Version) -> bool:
        if version.is_closed:
            self._set(name, version.number, State("END"))
            self._tell(f"{name} {version.number}: unloaded")
        return version.is_closed

    def _set(self, name: str, number: int, state: State) -> None:
        with self._lock:
            self._states[name][number] = state

    def find(self, name: str, number: int | None = None, label: str | None = None) -> Version:
        """A version that answers: that of a number, of a label, or the newest.

        Raises:
          RequestError: there is none.
        """
        with self._lock:
            return self._find(name, number, label)

    @contextlib.contextmanager
    def held(self, name: str, number: int | None = None, label: str | None = None) -> Iterator[Version]:
        """What `find` gives, kept in memory; no version is retired between the two."""
        with contextlib.ExitStack() as holding:
            with self._lock:
                version = holding.enter_context(self._find(name, number, label).held())
            yield version

    def _find(self, name: str, number: int | None, label: str | None) -> Version:
        if name not in self._versions:
            raise RequestError("NOT_FOUND", f"no model '{name}'; there are: {', '.join(self._places)}")
        loaded = self._versions[name]
        if not loaded:
            raise RequestError("UNAVAILABLE", f"no version of '{name}' is loaded")
        newest = sorted(loaded, reverse=True)
        if label:
            labels = {"canary": newest[0], "stable": newest[min(1, len(newest) - 1)]}
            if label not in labels:
                raise RequestError("NOT_FOUND", f"no label '{label}'; there are: {', '.join(labels)}")
            number = labels[label]
        if number is None:
            return loaded[newest[0]]
        if number not in loaded:
            there = ", ".join(map(str, newest))
            raise RequestError("NOT_FOUND", f"version {number} of '{name}' is not loaded; there are: {there}")
        return loaded[number]

    def states(self, name: str) -> dict[int, State]:
        """What has become of each version of a model, the newest first. Raises RequestError: no such model."""
        with self._lock:
            if name not in self._states:
                raise RequestError("NOT_FOUND", f"no model '{name}'; there are: {', '.join(self._places)}")
            return dict(sorted(self._states[name].items(), reverse=True))


def _found(place: pathlib.Path) -> dict[int, pathlib.Path]:
    """The complete versions of a folder; of a single version its number, 1 if its name is none."""
    if (place / "saved_model.pb").is_file():
        return {int(place.name) if place.name.isdecimal() else 1: place}
    return pushed.versions(place)
