"""Finds the kinds of data: every folder of components/kinds with a `kind.py`. Adding a kind is adding a folder."""

import functools
import importlib
import pathlib
from collections.abc import Mapping

from components.kinds.files import DataError
from components.kinds.kind import Kind

_ROOM = pathlib.Path(__file__).parent


@functools.cache
def kinds() -> Mapping[str, Kind]:
    """All kinds by their noun, in the order of their folders' names.

    Raises:
      TypeError: a KIND that is none. ValueError: two kinds share a noun or the name of a data set.
    """
    found: dict[str, Kind] = {}
    taken: dict[str, str] = {}
    for path in sorted(_ROOM.glob("*/kind.py")):
        kind = importlib.import_module(f"{__package__}.{path.parent.name}.kind").KIND
        if not isinstance(kind, Kind):
            raise TypeError(f"{path}: KIND is a {type(kind).__name__}, not a Kind")
        for name in (kind.noun, *kind.datasets, *kind.places):
            if taken.setdefault(name, kind.noun) != kind.noun or kind.noun in found:
                raise ValueError(f"{path}: {name!r} is taken by the kind {taken[name]!r}")
        found[kind.noun] = kind
    return found


def get(noun: str) -> Kind:
    """The kind of that noun.

    Raises:
      DataError: there is none; the message lists them.
    """
    if noun not in kinds():
        raise DataError(f"no kind of data is called {noun!r}; there are {', '.join(kinds())}")
    return kinds()[noun]


def kind_of(dataset: str) -> Kind | None:
    """The kind whose own data set has that name; None for a name of TFDS's catalogue, or an unknown one."""
    own = (kind for kind in kinds().values() if dataset in (*kind.datasets, *kind.places))
    return next(own, None)


def dataset_names() -> tuple[str, ...]:
    """Names of all data sets of our own."""
    return tuple(name for kind in kinds().values() for name in (*kind.datasets, *kind.places))
