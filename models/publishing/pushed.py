"""What lies beside the graph of an exported model: what it is, and its weights, from which it can be built again."""

import dataclasses
import json
import os
import pathlib
import time
import types
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from models.contract import registry
from models.contract.recipe import Config, ConfigError, Recipe

if TYPE_CHECKING:
    import keras  # takes seconds, which who only reads a folder need not wait

EXTRA = "assets.extra"  # the folder of a SavedModel that TensorFlow leaves alone
ABOUT = "kompakt.json"
WEIGHTS = "model.weights.h5"
TABLES = "tables.npz"
POLICY = "policy.npz"  # the weighting policy that a classifier was trained with


def save(
    directory: str | pathlib.Path,
    recipe: Recipe,
    config: Config,
    model: "keras.Model",
    tables: Mapping[str, np.ndarray] | None = None,
    **more: Any,
) -> None:
    """Writes what `describe` (with `more`) and `load` read, into a folder that may hold a SavedModel.

    Args:
      model: as `anew` gives it; of a compiled one the optimizer's state would be written as well.
      tables: of a codec, integers by name. They go with its weights: another machine might derive others.
    """
    extra = pathlib.Path(directory) / EXTRA
    extra.mkdir(parents=True, exist_ok=True)
    model.save_weights(extra / WEIGHTS)
    if tables:
        np.savez_compressed(extra / TABLES, **tables)
    about = {"recipe": recipe.name, "config": dataclasses.asdict(config)} | more
    (extra / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")


def anew(recipe: Recipe, config: Config, model: "keras.Model") -> "keras.Model":
    """A model of that configuration with the weights of `model`, and its tables: without optimizer, on one device."""
    plain = recipe.build(config)
    plain.set_weights(model.get_weights())
    if getattr(model, "tables", None):
        plain.tables, plain.reads = model.tables, model.reads
    return plain


def describe(directory: str) -> dict[str, Any]:
    """What a pushed model says of itself: {"recipe", "config", "fingerprint"}, and "trained_by" for a part of another.

    A codec may say "reads", the fingerprints besides its own whose streams it reads.

    Raises:
      FileNotFoundError: no model of ours there.
    """
    path = pathlib.Path(directory) / EXTRA / ABOUT
    if not path.is_file():
        raise FileNotFoundError(f"no pushed model at {directory} ({ABOUT} is missing)")
    return json.loads(path.read_text(encoding="utf-8"))


def chosen(option: str, path: str) -> tuple[dict[str, Any], Recipe, Config]:
    """What an option that names a pushed model stands for: as of `describe`, with its recipe and configuration.

    Raises:
      ConfigError: there is none, or it cannot be understood; with the option's name.
    """
    try:
        about = describe(str(newest(path)))
        recipe = registry.get(about["recipe"])
        return about, recipe, recipe.config(**about["config"])
    except FileNotFoundError as error:
        raise ConfigError(f"{option}={path}: neither a recipe's name nor a pushed model") from error
    except (ValueError, KeyError, TypeError, LookupError) as error:
        raise ConfigError(f"{option}={path}: of another version of this project: {error}") from error


def versions(folder: str | os.PathLike) -> dict[int, pathlib.Path]:
    """The complete models of a serving folder by their version, the oldest first; an absent folder holds none."""
    found = [p for p in pathlib.Path(folder).glob("*") if p.name.isdecimal() and (p / "saved_model.pb").is_file()]
    return {int(p.name): p for p in sorted(found, key=lambda p: int(p.name))}


def next_version(taken: Iterable[int]) -> int:
    """What a model is called that is pushed now: seconds since 1970, or one more than the newest of those taken."""
    return max([int(time.time()), *(version + 1 for version in taken)])


def newest(directory: str) -> pathlib.Path:
    """The folder itself, or of a folder of versions that with the highest number.

    A version may lack what servers load: `load` and a start from its weights need none of it.
    """
    found = [p for p in pathlib.Path(directory).glob("*") if p.name.isdecimal()]
    found = [p for p in found if (p / "saved_model.pb").is_file() or (p / EXTRA / ABOUT).is_file()]
    return max(found, key=lambda p: int(p.name), default=pathlib.Path(directory))


def load(directory: str, precision: str = "") -> "tuple[Recipe, Config, keras.Model]":
    """Builds a pushed model again: its recipe, its configuration, and the model with its weights and tables.

    Args:
      precision: arithmetic of its layers, if not what its configuration says.

    Raises:
      FileNotFoundError: no model of ours there.
      ConfigError, ValueError: it is of another version of this project.
    """
    about = describe(directory)
    recipe = registry.get(about["recipe"])
    config = recipe.config(**about["config"] | ({"precision": precision} if precision else {}))
    model = recipe.build(config)
    extra = pathlib.Path(directory) / EXTRA
    model.load_weights(extra / WEIGHTS)
    if (extra / TABLES).is_file():
        with np.load(extra / TABLES, allow_pickle=False) as file:
            carry(model, dict(file), about.get("reads", ()))
    return recipe, config, model


def carry(model: "keras.Model", tables: Mapping[str, np.ndarray], reads: Iterable[str]) -> None:
    """Gives a codec the tables that go with its weights, and the fingerprints whose streams it reads besides."""
    # No dict: Keras would look for layers in it.
    model.tables, model.reads = types.MappingProxyType(tables), tuple(int(text, 16) for text in reads)
