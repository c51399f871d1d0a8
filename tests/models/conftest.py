"""Trained and exported once a session: every recipe of the registry, tiny."""

import contextlib
import dataclasses
import fcntl
import functools
import os
import pathlib

import keras
import pytest
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


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    """kind -> {"train": file, "validation": file}, written when first asked for."""
    written = {}

    def of(kind: str) -> dict[str, str]:
        if kind not in written:
            written[kind] = KINDS[kind].write(tmp_path_factory.mktemp(kind))
        return written[kind]

    return of


@pytest.fixture(scope="session")
def trained(records, tmp_path_factory):
    """name -> Trained; each recipe is trained and exported when it is first asked for, by whichever process asks.

    The processes of one run share what they exported: the second one builds the model from that.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    shared.mkdir(exist_ok=True)

    @functools.cache
    def of(name: str) -> Trained:
        recipe, folder = registry.get(name), shared / name
        if recipe.served:  # exported is a part of the model: another process could not build it again
            return train_tiny(recipe, tmp_path_factory.mktemp(name), records(recipe.shape))
        with open(shared / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "model").is_dir():  # renamed into place by the export, the last thing
                return train_tiny(recipe, folder, records(recipe.shape))
        _, config, model = pushed.load(str(folder / "model"))
        return Trained(recipe, config, model, folder / "model", folder / "logs")

    return of


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
