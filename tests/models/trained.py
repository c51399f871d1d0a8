"""Recipes of the registry, trained tiny and exported, for the tests of all models."""

import contextlib
import dataclasses
import fcntl
import functools
import os
import pathlib

import keras
import tensorflow as tf

from components.native_model import AS_IT_IS, NativeModel
from models.contract import registry
from models.contract.recipe import Config, Recipe
from models.publishing import pushed
from models.publishing.export import export
from models.training.loop import train
from tests.models.kinds import KINDS, tiny

OPTIMISED = "mean_scale_hyperprior"  # whose signatures a server's optimiser sees


@dataclasses.dataclass
class Trained:
    """A recipe after its tiny training."""

    recipe: Recipe
    config: Config
    model: keras.Model
    directory: pathlib.Path  # the SavedModel
    logs: pathlib.Path

    @functools.cached_property
    def functions(self):
        """The signatures of the SavedModel, loaded once."""
        self.loaded = tf.saved_model.load(str(self.directory))
        return self.loaded.signatures

    @contextlib.contextmanager
    def served(self):
        """The signatures of the SavedModel as a server has them; they take and give tensors like `functions`.

        Codecs run as traced but for `OPTIMISED`, since the optimiser takes longer for each than all that is asked.
        """
        as_traced = self.recipe.shape == "codec" and self.recipe.name != OPTIMISED
        with NativeModel(self.directory, config=AS_IT_IS if as_traced else b"") as model:

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
        self._of = functools.cache(self._make)

    def __call__(self, name: str) -> Trained:
        return self._of(name)

    def _make(self, name: str) -> Trained:
        recipe, folder = registry.get(name), self._shared / name
        if recipe.served:  # exported is a part of the model: another process could not build it again
            return train_tiny(recipe, self._factory.mktemp(name), self._records(recipe.shape))
        with open(self._shared / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "model").is_dir():  # renamed into place by the export, the last thing
                return train_tiny(recipe, folder, self._records(recipe.shape))
        _, config, model = pushed.load(str(folder / "model"))
        return Trained(recipe, config, model, folder / "model", folder / "logs")


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
    return Trained(recipe, config, model, folder / "model", folder / "logs")
