"""Trained and exported once a session: every recipe of the registry, tiny."""

import dataclasses
import functools
import pathlib

import keras
import pytest
import tensorflow as tf

from models import registry
from models.export import export
from models.recipe import Config, Recipe
from models.train import train
from tests.models.kinds import KINDS, tiny


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
    """name -> Trained; each recipe is trained and exported when it is first asked for."""
    done = {}

    def of(name: str) -> Trained:
        if name not in done:
            recipe = registry.get(name)
            config = recipe.make_config("small", tiny(recipe))
            folder, files = tmp_path_factory.mktemp(name), records(recipe.kind)
            tf.config.run_functions_eagerly(name not in getattr(KINDS[recipe.kind], "traced", (name,)))
            try:
                model = train(
                    recipe, config, [files["train"]], [files["validation"]],
                    work_dir=str(folder / "work"), log_dir=str(folder / "logs"), progress=False,
                )  # fmt: skip
            finally:
                tf.config.run_functions_eagerly(False)
            export(recipe, config, model, str(folder / "model"))
            done[name] = Trained(recipe, config, model, folder / "model", folder / "logs")
        return done[name]

    return of
