"""The bank of candidates: faces of other persons, among whom a face's support set is looked for.

Candidates are the prototypes of the training's persons, mixtures of two persons' embeddings (in place of the paper's
generated faces), or a file of the user's. A bank belongs to the network that made its embeddings, by its fingerprint.
"""

import pathlib
import zipfile
from typing import NamedTuple

import numpy as np

from models.contract.recipe import ConfigError
from models.files import replacing

SOURCES = ("prototypes", "mixed", "file")
FILE = "bank.npz"
_SHARES = 0.3, 0.7  # of the first of two embeddings that are mixed


class Bank(NamedTuple):
    """Unit vectors float32 [M, D], and whom they show, int32 [M, 2]: a mixture shows two; -1 is nobody known."""

    embeddings: np.ndarray
    persons: np.ndarray


def prototypes(vectors: np.ndarray, persons: np.ndarray, count: int) -> Bank:
    """The mean direction of each of the `count` persons with the most pictures, in the order of their numbers.

    Args:
      vectors: unit vectors [N, D]. persons: int [N].
    """
    names, inverse, counts = np.unique(persons, return_inverse=True, return_counts=True)
    sums = np.zeros((len(names), vectors.shape[1]))
    np.add.at(sums, inverse, vectors)
    chosen = np.sort(np.argsort(-counts, kind="stable")[:count])
    return Bank(_unit(sums[chosen]), np.repeat(names[chosen, None], 2, axis=1).astype(np.int32))


def mixed(vectors: np.ndarray, persons: np.ndarray, count: int, seed: int) -> Bank:
    """Mixtures a x + (1 - a) y of embeddings of two persons each, drawn at random, a between 0.3 and 0.7.

    Args:
      vectors: unit vectors [N, D] of at least two persons. persons: int [N].
    """
    random = np.random.default_rng(seed)
    first = random.integers(0, len(vectors), count)
    second = random.integers(0, len(vectors), count)
    while (same := persons[first] == persons[second]).any():
        second[same] = random.integers(0, len(vectors), int(same.sum()))
    share = random.uniform(*_SHARES, (count, 1))
    shown = np.stack([persons[first], persons[second]], axis=1).astype(np.int32)
    return Bank(_unit(share * vectors[first] + (1 - share) * vectors[second]), shown)


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def write(path: pathlib.Path, bank: Bank, source: str, fingerprint: str) -> None:
    """Writes what `read` takes: `embeddings` (float16), `persons`, `source`, `fingerprint` (of the network, hex)."""
    with replacing(path) as part, open(part, "wb") as file:
        np.savez_compressed(
            file, embeddings=bank.embeddings.astype(np.float16), persons=bank.persons, source=source,
            fingerprint=fingerprint,
        )  # fmt: skip


def read(path: str, fingerprint: str, width: int) -> Bank:
    """The candidates of a file: an .npz with `embeddings` [M, D] and `fingerprint`, and `persons` if they are known.

    Args:
      fingerprint: of the network whose embeddings they must be. width: D of it.

    Raises:
      ConfigError: no such file, or one that cannot be used; or another network made it.
    """
    said = f"bank={path}: "
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise ConfigError(f"{said}no such file") from None
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{said}no bank: wanted is an .npz with embeddings and fingerprint") from error
    if missing := [name for name in ("embeddings", "fingerprint") if name not in found]:
        raise ConfigError(f"{said}no bank: {missing[0]} is missing; it holds {', '.join(sorted(found)) or 'nothing'}")
    if (made_by := str(found["fingerprint"])) != fingerprint:
        raise ConfigError(
            f"{said}made by the model with the fingerprint {made_by}; the one that is aligned has {fingerprint}"
        )
    rows = found["embeddings"]
    if rows.ndim != 2 or rows.shape[1] != width or not len(rows) or not np.issubdtype(rows.dtype, np.number):
        raise ConfigError(f"{said}embeddings are {rows.dtype} {list(rows.shape)}; the model's have {width} numbers")
    rows = rows.astype(np.float64)
    bad = ~np.isfinite(rows).all(axis=1) | ~rows.any(axis=1)
    if bad.any():
        raise ConfigError(f"{said}{bad.sum()} of {len(rows)} embeddings are zero or no finite numbers")
    persons = found.get("persons", np.full((len(rows), 2), -1))
    if len(persons) != len(rows) or persons.ndim > 2 or not np.issubdtype(persons.dtype, np.integer):
        raise ConfigError(f"{said}persons are {persons.dtype} {list(persons.shape)}; wanted is one a row")
    persons = np.broadcast_to(persons.reshape(len(rows), -1)[:, [0, -1]], (len(rows), 2))
    return Bank(_unit(rows), persons.astype(np.int32))
