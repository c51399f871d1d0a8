"""Released weights: trained models of this project, small enough for its repository.

    python -m models.released PUSHED_MODEL models/weights/NAME.npz

packs a pushed model: its recipe, its configuration, and its weights, in half precision where they were trained. What is
served is made from the file, with the rounded weights, so that streams written on one machine are read on every other.
"""

import dataclasses
import json
import os
import pathlib
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from models import pushed, registry
from models.recipe import Config, Recipe

if TYPE_CHECKING:
    import keras  # takes seconds, which who only asks where the weights are need not wait

FOLDER = pathlib.Path(__file__).with_name("weights")
_ABOUT = "about"  # the entry that holds recipe and configuration as JSON


class ReleaseError(ValueError):
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


def pack(recipe: Recipe, config: Config, model: "keras.Model", path: str | os.PathLike) -> None:
    """Writes the weights, complete or not at all: trained ones as float16, others (running means) as they are.

    Raises:
      ReleaseError: a weight is beyond the range of half precision.
    """
    about = {"recipe": recipe.name, "config": dataclasses.asdict(config) | {"init": ""}}
    kept = [np.asarray(w.value, np.float16 if w.trainable else None) for w in model.weights]
    arrays = {f"{n:04}": values for n, values in enumerate(kept)}
    if not all(np.isfinite(values).all() for values in arrays.values()):
        raise ReleaseError("a weight is beyond the range of half precision (65504)")
    path = pathlib.Path(path)
    temporary = path.with_name(f"{path.stem}.partial.npz")
    np.savez(temporary, **{_ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8)}, **arrays)
    os.replace(temporary, path)


def unpack(path: str | os.PathLike) -> "tuple[Recipe, Config, keras.Model]":
    """The recipe, the configuration and the model, its weights rounded to half precision.

    Raises:
      ReleaseError: the file is missing, damaged or not of this version's models.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(file[_ABOUT].tobytes())
            arrays = [file[key] for key in sorted(file.files) if key != _ABOUT]
        recipe = registry.get(about["recipe"])
        config = recipe.config(**about["config"])
        model = recipe.build(config)
        for variable, values in zip(model.weights, arrays, strict=True):
            variable.assign(values.astype(variable.dtype))
    except (OSError, EOFError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise ReleaseError(f"{path}: no released weights of this version: {' '.join(str(error).split())}") from error
    return recipe, config, model


def _main(directory: str, path: str) -> None:
    pack(*pushed.load(str(pushed.newest(directory))), path)
    print(f"{path}: {os.path.getsize(path):,} bytes")


if __name__ == "__main__":
    import sys

    if len(sys.argv) != 3:
        sys.exit(f"usage: python -m models.released PUSHED_MODEL {FOLDER.name}/NAME.npz")
    _main(*sys.argv[1:])
