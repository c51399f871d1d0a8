"""How the fixed feature network was trained: which photograph a patch is of, and what was done to it.

    python -m models.generative.perception.training PHOTOS_FOLDER models/generative/perception/features.npz

Nothing is labelled by hand. The first question makes features of content and texture, the second lets them keep what
blur, noise and coding take away. The last layer is then scaled so that each feature has mean 0 and variance 1 over
patches that nothing was done to. Same folder, seed and machine, same weights.
"""

import io
import pathlib
import sys
from collections.abc import Callable

import keras
import numpy as np
import scipy.ndimage
from keras import ops
from PIL import Image

from models.files import replacing
from models.generative.perception import features

SEED, STEPS, BATCH, SIDE = 1, 1500, 48, 64
LEARNING_RATE = 1e-3


def _blurred(patch: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    return scipy.ndimage.gaussian_filter(patch.astype(np.float32), (*2 * (draw.uniform(0.5, 2.5),), 0), mode="nearest")


def _noisy(patch: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    return patch + draw.normal(0, draw.uniform(4, 40), patch.shape)


def _jpeg(patch: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(patch).save(file, format="JPEG", quality=int(draw.integers(5, 50)))
    return np.asarray(Image.open(file))


def _coarse(patch: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    picture, side = Image.fromarray(patch), int(SIDE / draw.uniform(1.5, 4))
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


DONE: tuple[Callable, ...] = (lambda patch, _: patch, _blurred, _noisy, _jpeg, _coarse)


def batch(photographs: list[np.ndarray], draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patches float32 [B, 64, 64, 3] on 0 to 255, of which photograph each is, and what was done to it, int [B]."""
    of, done = draw.integers(0, len(photographs), BATCH), draw.integers(0, len(DONE), BATCH)
    patches = []
    for n, what in zip(of, done, strict=True):
        top, left = (draw.integers(0, side - SIDE + 1) for side in photographs[n].shape[:2])
        patch = np.ascontiguousarray(photographs[n][top : top + SIDE, left : left + SIDE][:, :: draw.choice((1, -1))])
        patches.append(np.clip(np.rint(DONE[what](patch, draw)), 0, 255))
    return np.stack(patches).astype(np.float32), of, done


def network() -> keras.Sequential:
    """Pixels [B, H, W, 3] on [-1, 1] -> features [B, H/8, W/8, 64]."""
    layers = [
        keras.layers.Conv2D(out, 3, stride, "same", activation="relu", kernel_initializer="he_normal")
        for _, out, stride in features.LAYERS
    ]
    return keras.Sequential([keras.Input((None, None, 3)), *layers, keras.layers.Conv2D(features.DIMENSIONS, 1)])


def train(photographs: list[np.ndarray], steps: int = STEPS, say: Callable = print) -> dict[str, np.ndarray]:
    """The weights, as `features.weights` has them, of photographs uint8 [H, W, 3] that are 64 pixels a side or more."""
    keras.utils.set_random_seed(SEED)
    draw, body = np.random.default_rng(SEED), network()
    pixels = keras.Input((SIDE, SIDE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(ops.relu(body(pixels)))
    answers = [keras.layers.Dense(count)(pooled) for count in (len(photographs), len(DONE))]
    model = keras.Model(pixels, answers)
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps, 0.02)
    loss = [keras.losses.SparseCategoricalCrossentropy(from_logits=True) for _ in answers]
    model.compile(keras.optimizers.Adam(schedule), loss, metrics=[["accuracy"], ["accuracy"]])
    for step in range(steps):
        x, of, done = batch(photographs, draw)
        logs = model.train_on_batch(x / 127.5 - 1.0, [of, done], return_dict=True)
        if step % 100 == 99:
            say(f"step {step + 1}: " + ", ".join(f"{name} {value:.3f}" for name, value in logs.items()), flush=True)
            model.reset_metrics()
    _scale(body, photographs, draw)
    values = [np.array(w.value) for w in body.weights]
    names = [f"{kind}{n}" for n in range(len(values) // 2) for kind in ("kernel", "bias")]
    return {name: value.astype(np.float16) for name, value in zip(names, values, strict=True)}


def _scale(body: keras.Sequential, photographs: list[np.ndarray], draw: np.random.Generator) -> None:
    """Brings the last layer's outputs to mean 0 and variance 1 over patches as they are."""
    found = []
    for _ in range(40):
        x, _, done = batch(photographs, draw)
        if (done == 0).any():
            found.append(np.array(body(x[done == 0] / 127.5 - 1.0)).reshape(-1, features.DIMENSIONS))
    mean, deviation = (f(np.concatenate(found).astype(np.float64), axis=0) for f in (np.mean, np.std))
    kernel, bias = body.layers[-1].get_weights()
    body.layers[-1].set_weights([kernel / deviation, (bias - mean) / deviation])


def main(folder: str, path: str, steps: str = str(STEPS)) -> None:
    """Trains on all pictures of a folder and writes the weights whole."""
    paths = sorted(p for p in pathlib.Path(folder).iterdir() if p.suffix.lower() in (".png", ".jpg", ".webp"))
    found = train([np.asarray(Image.open(p).convert("RGB")) for p in paths], int(steps))
    with replacing(path) as part, open(part, "wb") as file:
        np.savez_compressed(file, **found)
    print(f"{path}: {pathlib.Path(path).stat().st_size:,} bytes, fingerprint {features.fingerprint(found)}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python -m models.generative.perception.training PHOTOS_FOLDER FEATURES.npz [STEPS]")
    main(*sys.argv[1:])
