"""Recipes of the registry, trained tiny and exported, for the tests of all models."""

import contextlib
import dataclasses
import fcntl
import functools
import os
import pathlib

import keras
import tensorflow as tf

from components.native_model import NativeModel
from models.contract import registry
from models.contract.recipe import Config, Recipe
from models.publishing import parts, pushed
from models.publishing.export import export
from models.training.loop import train
from tests.models.kinds import KINDS, tiny

LATEST = 3  # recipes whose model and functions a process keeps: each is hundreds of megabytes of graphs
OPTIMISED = "mean_scale_hyperprior"  # whose signatures a server's optimiser sees


@dataclasses.dataclass
class Trained:
    """A recipe after its tiny training."""

    recipe: Recipe
    config: Config
    directory: pathlib.Path  # the SavedModel
    logs: pathlib.Path
    built: keras.Model | None = None  # as it was trained, where it is at hand

    @functools.cached_property
    def model(self) -> keras.Model:
        """The trained Keras model."""
        return self.built or pushed.load(str(self.directory))[2]

    @functools.cached_property
    def functions(self):
        """The signatures of the SavedModel, loaded once."""
        self.loaded = tf.saved_model.load(str(self.directory))
        return self.loaded.signatures

    @contextlib.contextmanager
    def served(self):
        """The signatures of the SavedModel as a server has them; they take and give tensors like `functions`.

        Codecs, and what holds one, run as traced but for `OPTIMISED`, since the optimiser takes longer for each than
        all that is asked; functions are put in their places, since to call them takes longer than that.
        """
        graphs = ("codec", "codes", "scenes", "joint", "joint_scenes", "selective", "video")
        as_traced = self.recipe.shape in graphs and self.recipe.name != OPTIMISED
        config = parts.inlining().SerializeToString() if as_traced else b""
        with NativeModel(self.directory, config=config) as model:

            def one(name, **given):
                answers = model(name, **{key: value.numpy() for key, value in given.items()})
                return {key: tf.constant(value) for key, value in answers.items()}

            yield {name: functools.partial(one, name) for name in model.signatures}


class Recipes:
    """name -> Trained; each recipe is trained and exported when it is first asked for, by whichever process asks.

    The processes of one run share what they exported: the second one builds the model from that.

    Args:
      records: shape -> record files. factory: pytest's, of temporary folders.
    """

    def __init__(self, records, factory):
        self._records, self._factory = records, factory
        base = factory.getbasetemp()
        self._shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
        self._shared.mkdir(exist_ok=True)
        self._kept, self._latest = functools.cache(self._make), functools.lru_cache(LATEST)(self._make)

    def __call__(self, name: str) -> Trained:
        return (self._kept if registry.get(name).served else self._latest)(name)

    def _make(self, name: str) -> Trained:
        recipe, folder = registry.get(name), self._shared / name
        # Where exported is a part of the model, another process could not build it again.
        if recipe.served and recipe.shape not in ("codec", "codes", "scenes", "video"):
            return train_tiny(recipe, self._factory.mktemp(name), self._records(recipe.shape))
        with open(self._shared / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "model").is_dir():  # renamed into place by the export, the last thing
                return train_tiny(recipe, folder, self._records(recipe.shape))
        return Trained(recipe, recipe.make_config("small", tiny(recipe)), folder / "model", folder / "logs")


def train_tiny(recipe: Recipe, folder: pathlib.Path, files: dict[str, str]) -> Trained:
    """Trains a recipe for a few steps and exports it into a folder."""
    config = recipe.make_config("small", tiny(recipe))
    tf.config.run_functions_eagerly(recipe.name not in getattr(KINDS[recipe.shape], "traced", (recipe.name,)))
    try:
        model = train(
            recipe, config, [files["train"]], [files["validation"]],
            work_dir=str(folder / "work"), log_dir=str(folder / "logs"), progress=False,
        )  # fmt: skip
    finally:
        tf.config.run_functions_eagerly(False)
    export(recipe, config, model, str(folder / "model"))
    return Trained(recipe, config, folder / "model", folder / "logs", model)
