"""Every recipe's model on Keras' JAX backend: `test_jax.py` runs this with KERAS_BACKEND=jax.

    python -m tests.models.contract.jax_worker FOLDER

writes records/KIND, and NAME.pickle for every recipe: the weights of its tiny model, a training batch, and what the
model gives for that. Those of `TRAINED` are trained as well, a few steps; their histories are in FOLDER/NAME. And
game.npz: what games of two optimizers end with that were killed, and those that were not.
"""

import contextlib
import pathlib
import pickle
import sys

import keras
import numpy as np

from models.contract import registry
from models.training.loop import train
from tests import quick
from tests.models.generative import small_game
from tests.models.kinds import KINDS, tiny
from tests.models.training import game

TRAINED = ("edic", "small_cnn", "distill", "ecg_crnn")


class Kill(keras.callbacks.Callback):
    """Stops the process, as a kill does, after the first epoch."""

    def on_epoch_end(self, epoch, logs=None):
        raise KeyboardInterrupt


def play(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Weights and the optimizers' variables of killed games that went on, and of those in one go."""
    found = {}
    for recipe in (game.RECIPE_OF_TESTS, small_game.RECIPE_OF_TESTS):
        for name, callbacks in (("killed", [Kill()]), ("killed", []), ("whole", [])):
            with contextlib.suppress(KeyboardInterrupt):
                own = folder / recipe.name / name
                model = train(recipe, recipe.make_config("small"), [], [], work_dir=str(own),
                              log_dir=str(own / "logs"), callbacks=callbacks, progress=False)  # fmt: skip
                arrays = (*model.weights, *model.optimizer.variables)
                found |= {f"{name} {recipe.name} {n:04}": np.array(v) for n, v in enumerate(arrays)}
    return found


def main(folder: pathlib.Path) -> None:
    """Builds, runs and trains."""
    import jax  # not by whoever asks for `TRAINED`

    quick.collect_rarely()
    assert keras.backend.backend() == "jax"
    np.savez(folder / "game.npz", **play(folder / "game"))
    written = {}
    for name, recipe in sorted(registry.recipes().items()):
        kind = KINDS[recipe.shape]
        if recipe.shape not in written:
            (folder / "records" / recipe.shape).mkdir(parents=True)
            written[recipe.shape] = kind.write(folder / "records" / recipe.shape)
        files, config = written[recipe.shape], recipe.make_config("small", tiny(recipe))
        model = recipe.build(config)
        batch = keras.tree.map_structure(np.array, next(iter(recipe.inputs([files["train"]], config, True))))
        found = {"weights": model.get_weights(), "batch": batch, "outputs": kind.outputs(model, batch)}
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(found))
        if name in TRAINED:
            train(
                recipe, config, [files["train"]], [files["validation"]],
                work_dir=str(folder / name / "work"), log_dir=str(folder / name), progress=False,
            )  # fmt: skip
        if quick.size() > 2 << 30:
            jax.clear_caches()  # gigabytes of compiled operations, all recipes together


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
