"""Tiny untrained models of electrocardiograms, and signals for them."""

import json
import pathlib

import keras
import numpy as np

from models.contract import registry
from models.publishing import export
from models.records import ecg_units
from models.records import recordings as ecg_records

NAMES = ["O", "N", "rare", "A"]  # not in the order of the evaluation, one unknown to it, one of it missing
SIZE = {"channels": 4, "growth": 2, "blocks": 3, "layers": 1}
LSTM = {"lstm_units": 4, "lstm_layers": 1}


def build(name: str = "ecg_cnn"):
    """Recipe, configuration and model; its running means count, and its answers differ from signal to signal."""
    recipe = registry.get(name)
    options = SIZE | {"classes": len(NAMES), "class_names": json.dumps(NAMES), "amplitude": 0.2}
    config = recipe.make_config("small", options | (LSTM if name == "ecg_crnn" else {}))
    keras.utils.set_random_seed(3)
    model = recipe.build(config)
    random = np.random.default_rng(3)
    for weight in model.weights:
        if "moving_mean" in weight.path:
            weight.assign(random.normal(size=weight.shape, scale=0.3))
    kernel, bias = (w for w in model.weights if "logits" in w.path)
    batch = [signal(10, seed) for seed in range(8)]
    logits = np.array(model({"samples": np.stack(batch), "length": np.full(8, len(batch[0]))}))
    bias.assign(-logits.mean(0) / logits.std())
    kernel.assign(kernel / logits.std())
    return recipe, config, model


def save(directory: pathlib.Path, name: str = "ecg_cnn"):
    """Exports the model to a folder; returns it."""
    recipe, config, model = build(name)
    export.export(recipe, config, model, str(directory))
    return model


def signal(seconds: float, seed: int = 0, rate: float = ecg_units.RATE) -> np.ndarray:
    """Rhythm and waves in steps of 2 microvolts, millivolts float32 [T]; of a seed the same rhythm at every rate."""
    t = np.arange(round(seconds * rate)) / rate
    random = np.random.default_rng(seed)
    pulse = np.exp(-(((t * random.uniform(0.8, 2)) % 1 - 0.5) ** 2) / 0.002)
    parts = zip((0.3, 11, 31, 47, 71), random.uniform(0, 6, 5), 10 ** random.uniform(-3, 0, 5), strict=True)
    waves = sum(scale * np.sin(2 * np.pi * f * t + phase) for f, phase, scale in parts)
    return (np.rint(500 * (pulse + waves)) / 500).astype(np.float32)


def record(samples: np.ndarray, label_name: str = "", key: str = "r") -> bytes:
    """The serialised record of a signal at RATE."""
    return ecg_records.recording_example(
        samples, key=key, format_name="simulated", original_rate=ecg_units.RATE, size_bytes=2 * len(samples),
        noise_class="clean", label_name=label_name,
    ).SerializeToString()  # fmt: skip
