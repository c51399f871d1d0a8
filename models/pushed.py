"""What lies beside the graph of an exported model: what it is, and its weights, from which it can be built again."""

import dataclasses
import json
import pathlib
from typing import TYPE_CHECKING, Any

from models import registry
from models.recipe import Config, Recipe

if TYPE_CHECKING:
    import keras  # takes seconds, which who only reads a folder need not wait

EXTRA = "assets.extra"  # the folder of a SavedModel that TensorFlow leaves alone
ABOUT = "kompakt.json"
WEIGHTS = "model.weights.h5"


def save(directory: str | pathlib.Path, recipe: Recipe, config: Config, model: "keras.Model", **more: Any) -> None:
    """Writes what `describe` (with `more`) and `load` read, into a folder that may hold a SavedModel.

    Args:
      model: as `anew` gives it; of a compiled one the optimizer's state would be written as well.
    """
    extra = pathlib.Path(directory) / EXTRA
    extra.mkdir(parents=True, exist_ok=True)
    model.save_weights(extra / WEIGHTS)
    about = {"recipe": recipe.name, "config": dataclasses.asdict(config)} | more
    (extra / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")


def anew(recipe: Recipe, config: Config, model: "keras.Model") -> "keras.Model":
    """A model of that configuration with the weights of `model`: without optimizer, on one device."""
    plain = recipe.build(config)
    plain.set_weights(model.get_weights())
    return plain


def describe(directory: str) -> dict[str, Any]:
    """What a pushed model says of itself: {"recipe", "config", "fingerprint"}, and "trained_by" for a part of another.

    Raises:
      FileNotFoundError: no model of ours there.
    """
    path = pathlib.Path(directory) / EXTRA / ABOUT
    if not path.is_file():
        raise FileNotFoundError(f"no pushed model at {directory} ({ABOUT} is missing)")
    return json.loads(path.read_text(encoding="utf-8"))


def newest(directory: str) -> pathlib.Path:
    """The folder itself, or of a folder of versions that with the highest number."""
    versions = [f for f in pathlib.Path(directory).glob("*") if f.name.isdecimal()]
    return max(versions, key=lambda f: int(f.name), default=pathlib.Path(directory))


def load(directory: str) -> "tuple[Recipe, Config, keras.Model]":
    """Builds a pushed model again: its recipe, its configuration, and the model with its weights.

    Raises:
      FileNotFoundError: no model of ours there.
      ConfigError, ValueError: it is of another version of this project.
    """
    about = describe(directory)
    recipe = registry.get(about["recipe"])
    config = recipe.config(**about["config"])
    model = recipe.build(config)
    model.load_weights(pathlib.Path(directory) / EXTRA / WEIGHTS)
    return recipe, config, model
