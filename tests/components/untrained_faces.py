"""A tiny untrained network for faces, exported, and faces for it."""

import pathlib

import keras
import numpy as np
from PIL import Image

from models.contract import registry
from models.contract.training import Files
from models.faces import calibration, decision, ida
from models.publishing import export, pushed
from tests.models.examples import face_record, photograph, write_records
from tests.models.face_kind import Face

THRESHOLD = 0.6


def save(directory: pathlib.Path):
    """Exports it to a folder; returns its configuration and the model."""
    recipe, config, model = made()
    export.export(recipe, config, model, str(directory))
    return config, model


def made():
    """Its recipe, configuration and the model: answers differ from face to face, and the threshold is THRESHOLD."""
    recipe = registry.get("face")
    config = recipe.make_config("small", Face.tiny)
    keras.utils.set_random_seed(3)
    model = recipe.build(config)
    pixels = np.stack([np.array(Image.fromarray(face(n, n % 3)).resize((16, 16))) for n in range(6)]) / 255
    vectors = np.array(model.network(pixels.astype("float32")))
    last = [layer for layer in model.network.layers if isinstance(layer, keras.layers.BatchNormalization)][-1]
    last.gamma.assign(1 / vectors.std(0))
    last.beta.assign(-vectors.mean(0) / vectors.std(0))
    model.decision.assign([THRESHOLD, 0.01, 1234.0])
    return recipe, config, model


def save_aligned(root: pathlib.Path, directory: pathlib.Path, **settings) -> None:
    """Exports an alignment of it, with these options, to a folder; `root` gets the network, `face`, and records."""
    pushed.save(root / "face", *made(), fingerprint="0badcafe")
    files = records(root / "r.gz")
    recipe = registry.get("ida")
    options = {"model": str(root / "face"), "neighbours": 2, "duplicate": 1.0, "batch_size": 8,
               "false_accept_rate": 0.1}  # fmt: skip
    config = recipe.adapt(recipe.make_config("small", options | settings), files)
    model = recipe.build(config)
    ida.prepare(model, config, Files(files, files, "", ""))
    calibration.calibrate(model, config, *decision.vectors_of(model, files, ida.face_config(config)))
    export.export(recipe, config, model, str(directory), examples=files)


def face(person: int, picture: int) -> np.ndarray:
    """A picture, uint8 [24, 20, 3], of a person: a piece of a photograph in a light of its own."""
    return (photograph(24, 20, 40 * person) * (0.7 + 0.1 * picture)).clip(0, 255).astype(np.uint8)


def records(path: pathlib.Path, persons: int = 6, each: int = 3) -> list[str]:
    """A file of records of so many persons, with pairs in two folds."""
    count = persons * each
    pairs = {n: [(n + 1, 1, n // each % 2)] if n % each < each - 1 else [] for n in range(count)}
    for n in range(0, count - each, each):
        pairs[n] = [*pairs[n], (n + each, 0, n // each % 2)]
    return [write_records(path, [face_record(face(n // each, n % each), n, n // each, pairs[n]) for n in range(count)])]
