"""Released weights: trained models of this project, small enough for its repository.

    python -m models.publishing.released PUSHED_MODEL models/weights/NAME.npz [FINGERPRINT ...]

packs a pushed model: its recipe, its configuration, its weights, in half precision where they were trained, and the
integer tables of its coder. What is served is made from the file, with the rounded weights and these tables, so that
streams written on one machine are read on every other. So are streams of the fingerprints, which models of the same
weights had before.
"""

import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from models.contract import registry
from models.contract.errors import KompaktError
from models.contract.recipe import Config, Recipe
from models.files import replacing
from models.publishing import pushed

if TYPE_CHECKING:
    import keras  # takes seconds, which who only asks where the weights are need not wait

FOLDER = pathlib.Path(__file__).parent.parent / "weights"
_ABOUT = "about"  # the entry that holds recipe, configuration and other fingerprints as JSON
_TABLE = "table "  # how the names of tables begin; weights have numbers


class ReleaseError(KompaktError, ValueError):
    """No released weights of that name, or a file that holds none; the message is one line."""


def names() -> list[str]:
    """The released models, by the names of their files."""
    return sorted(p.stem for p in FOLDER.glob("*.npz"))


def path_of(name: str) -> pathlib.Path:
    """The file of a released model.

    Raises:
      ReleaseError: there is none of that name.
    """
    if name not in names():
        raise ReleaseError(f"no released weights '{name}'; there are: {', '.join(names()) or 'none'}")
    return FOLDER / f"{name}.npz"


def describe(path: str | os.PathLike) -> dict[str, Any]:
    """What a file says of itself: {"recipe", "config"}, and "reads" where streams of other fingerprints are read.

    Raises:
      ReleaseError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return json.loads(file[_ABOUT].tobytes())
    except (OSError, EOFError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ReleaseError(f"{path}: no released weights: {' '.join(str(error).split())}") from error


def pack(
    recipe: Recipe, config: Config, model: "keras.Model", path: str | os.PathLike, reads: Sequence[str] = ()
) -> None:
    """Writes weights and tables, complete or not at all: trained weights in float16, others (running means) as is.

    Args:
      recipe, config, model: what is released.
      path: the file.
      reads: fingerprints, of 8 hexadecimal digits, of earlier models of these weights whose streams are still read.

    Raises:
      ReleaseError: a weight is beyond the range of half precision.
    """
    config = dataclasses.replace(config, init="")
    kept = [np.asarray(w.value, np.float16 if w.trainable else None) for w in model.weights]
    if not all(np.isfinite(values).all() for values in kept):
        raise ReleaseError("a weight is beyond the range of half precision (65504)")
    rounded = recipe.build(config)
    _assign(rounded, kept)
    if all(np.array_equal(a, b) for a, b in zip(model.get_weights(), rounded.get_weights(), strict=True)):
        if tables := getattr(model, "tables", None):
            reads = [*map("{:08x}".format, model.reads), *reads]
            pushed.carry(rounded, tables, ())
    tables = getattr(recipe.signatures(rounded, config), "tables", {})
    about = {"recipe": recipe.name, "config": dataclasses.asdict(config)}
    if reads:
        about["reads"] = [f"{int(text, 16):08x}" for text in dict.fromkeys(reads)]
    arrays = {_ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8)}
    arrays |= {f"{n:04}": values for n, values in enumerate(kept)}
    arrays |= {_TABLE + name: values for name, values in tables.items()}
    with replacing(path) as part:
        np.savez_compressed(part, **arrays)


def _assign(model: "keras.Model", weights: Sequence[np.ndarray]) -> None:
    """Gives a model its weights. Raises ValueError: they are not of its number and shapes."""
    for variable, values in zip(model.weights, weights, strict=True):
        variable.assign(values.astype(variable.dtype))


def unpack(path: str | os.PathLike, precision: str = "") -> "tuple[Recipe, Config, keras.Model]":
    """The recipe, the configuration and the model, its weights rounded to half precision, with its tables.

    Args:
      precision: arithmetic of its layers, if not what its configuration says.

    Raises:
      ReleaseError: the file is missing, damaged or not of this version's models.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(file[_ABOUT].tobytes())
            weights = [file[key] for key in sorted(file.files) if key.isdecimal()]
            tables = {k.removeprefix(_TABLE): file[k] for k in file.files if k.startswith(_TABLE)}
        recipe = registry.get(about["recipe"])
        config = recipe.config(**about["config"] | ({"precision": precision} if precision else {}))
        model = recipe.build(config)
        _assign(model, weights)
        if tables:
            pushed.carry(model, tables, about.get("reads", ()))
    except (OSError, EOFError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise ReleaseError(f"{path}: no released weights of this version: {' '.join(str(error).split())}") from error
    return recipe, config, model


def _main(directory: str, path: str, *reads: str) -> None:
    pack(*pushed.load(str(pushed.newest(directory))), path, reads)
    print(f"{path}: {os.path.getsize(path):,} bytes")


if __name__ == "__main__":
    import sys

    if len(sys.argv) < 3:
        sys.exit(f"usage: python -m models.publishing.released PUSHED_MODEL {FOLDER.name}/NAME.npz [FINGERPRINT ...]")
    _main(*sys.argv[1:])
