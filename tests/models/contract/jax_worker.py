"""Every recipe's model on Keras' JAX backend: `test_jax.py` runs this with KERAS_BACKEND=jax.

    python -m tests.models.contract.jax_worker FOLDER

writes records/KIND, and NAME.npz for every recipe: the weights of its tiny model, a training batch, and what the model
gives for that. Those of `TRAINED` are trained as well, a few steps; their histories are in FOLDER/NAME.
"""

import pathlib
import sys

import keras
import numpy as np

from models.contract import registry
from models.training.loop import train
from tests import quick
from tests.models.kinds import KINDS, tiny

TRAINED = ("edic", "small_cnn", "distill", "ecg_crnn")


def main(folder: pathlib.Path) -> None:
    """Builds, runs and trains."""
    quick.collect_rarely()
    assert keras.backend.backend() == "jax"
    written = {}
    for name, recipe in sorted(registry.recipes().items()):
        kind = KINDS[recipe.shape]
        if recipe.shape not in written:
            (folder / "records" / recipe.shape).mkdir(parents=True)
            written[recipe.shape] = kind.write(folder / "records" / recipe.shape)
        files, config = written[recipe.shape], recipe.make_config("small", tiny(recipe))
        model = recipe.build(config)
        batch = keras.tree.map_structure(np.array, next(iter(recipe.inputs([files["train"]], config, True))))
        arrays = {
            "weight": model.get_weights(), "batch": keras.tree.flatten(batch), "output": kind.outputs(model, batch)
        }  # fmt: skip
        np.savez(folder / f"{name}.npz", **{f"{k} {n:04}": v for k, vs in arrays.items() for n, v in enumerate(vs)})
        if name in TRAINED:
            train(
                recipe, config, [files["train"]], [files["validation"]],
                work_dir=str(folder / name / "work"), log_dir=str(folder / name), progress=False,
            )  # fmt: skip


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
