"""Trains a codec on Keras' JAX backend with its pictures in the accelerator's memory, for so many minutes.

    python -m tests.claims.train_on_jax --pictures FOLDER --out FOLDER [--recipe edic] [--set K=V]... [--minutes N]

There is no input pipeline that could be too slow: crops are cut and mirrored on the device, and `steps_per_epoch` steps
are one call. The learning rate warms up and falls along a cosine over the minutes, so that an accelerator rented for a
time is used for all of it; `steps` does not count. Every half minute OUT gets `state.npz`, from which the same command
goes on, and a line of `history.jsonl`; in the end RECIPE.npz, weights as in `models/weights`. TensorFlow is not run,
but must be importable: recipes name what is served.
"""

import argparse
import dataclasses
import functools
import json
import math
import os
import pathlib
import time
import zipfile
from collections.abc import Sequence

os.environ.setdefault("KERAS_BACKEND", "jax")
import jax  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
from jax import numpy as jnp  # noqa: E402
from PIL import Image  # noqa: E402

from models.contract import registry  # noqa: E402
from models.contract.recipe import Config, ConfigError  # noqa: E402
from models.publishing import released  # noqa: E402
from models.training import initial  # noqa: E402
from models.training.loop import TrainingError  # noqa: E402
from models.training.optimizers import optimizer, schedule  # noqa: E402

_SAVE_SECONDS = 30.0
_TICKS = 100_000  # of the learning rate's schedule, over all of the time
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def read(folder: pathlib.Path, side: int, scales: Sequence[float] = (1.0,)) -> dict[str, np.ndarray]:
    """All pictures of a folder, at each of the scales, in one row of pixels, uint8 [P, 3], and where each begins and
    how large it is, int32. What is smaller than a crop is left out.

    Raises:
      ConfigError: a file is damaged, or no picture is as large as a crop.
    """
    pictures = []
    for file in sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES):
        try:
            picture = Image.open(file).convert("RGB")
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read as a picture: {error}") from error
        for scale in scales:
            width, height = (round(scale * length) for length in picture.size)
            if min(width, height) >= side:
                pictures.append(np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS)))
    if not pictures:
        raise ConfigError(f"{folder}: no picture of {side}x{side} pixels or more")
    sizes = np.array([p.shape[:2] for p in pictures], np.int32)
    begins = np.concatenate([[0], np.cumsum(sizes.prod(1))[:-1]]).astype(np.int32)
    return {"pixels": np.concatenate([p.reshape(-1, 3) for p in pictures]), "begins": begins, "sizes": sizes}


def crops(data: dict, chosen, places, mirrored, side: int):
    """Crops float32 [B, S, S, 3] in [0, 1] of chosen pictures, int32 [B]; `places` [B, 2] in [0, 1) as in training."""
    sizes = data["sizes"][chosen]
    corners = jnp.minimum((places * (sizes - side + 1)).astype(jnp.int32), sizes - side)
    across = jnp.arange(side)
    across = jnp.where(mirrored[:, None], across[::-1], across)
    rows, columns = corners[:, :1] + jnp.arange(side), corners[:, 1:] + across
    where = data["begins"][chosen][:, None, None] + rows[:, :, None] * sizes[:, 1][:, None, None] + columns[:, None]
    return data["pixels"][where].astype(jnp.float32) / 255


class Training:
    """A model, its optimizer and its state: lists of arrays, as JAX wants them."""

    def __init__(self, recipe, config: Config, data: dict):
        keras.utils.set_random_seed(config.seed)
        self.config, self.data, self.model = config, data, recipe.build(config)
        if config.init:
            initial.load(recipe, self.model, config.init)
        self.schedule = schedule(dataclasses.replace(config, steps=_TICKS))
        self.optimizer = optimizer(config, config.learning_rate)
        self.optimizer.build(self.model.trainable_variables)
        self.parts = (self.model.trainable_variables, self.model.non_trainable_variables, self.optimizer.variables)
        self.state = [[v.value for v in part] for part in self.parts]
        self.rate_place = [v is self.optimizer.learning_rate for v in self.optimizer.variables].index(True)
        self.epoch = jax.jit(self._epoch, donate_argnums=0)
        self.validate = jax.jit(self._validate)

    def _loss(self, trainable, others, x, training: bool):
        outputs, others = self.model.stateless_call(trainable, others, x, training=training)
        bpp, mse = jnp.mean(outputs["bits"]) / self.config.crop_size**2, jnp.mean(jnp.square(x - outputs["x_hat"]))
        return self.model.compute_loss(x=x, y_pred=outputs), (others, bpp, mse)

    def _epoch(self, state, key, rate, data):
        """`steps_per_epoch` steps; returns the state, and the means of loss, bits per pixel and squared error."""
        size, side = self.config.batch_size, self.config.crop_size

        def step(state, key):
            (trainable, others, optimizer), keys = state, jax.random.split(key, 3)
            chosen = jax.random.randint(keys[0], (size,), 0, len(data["begins"]))
            places, mirrored = jax.random.uniform(keys[1], (size, 2)), jax.random.bernoulli(keys[2], shape=(size,))
            x = crops(data, chosen, places, mirrored, side)
            loss = jax.value_and_grad(functools.partial(self._loss, training=True), has_aux=True)
            (value, (others, bpp, mse)), gradients = loss(trainable, others, x)
            trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
            return [list(trainable), list(others), list(optimizer)], jnp.stack([value, bpp, mse])

        trainable, others, optimizer = state
        optimizer = [rate if i == self.rate_place else v for i, v in enumerate(optimizer)]
        keys = jax.random.split(key, self.config.steps_per_epoch)
        state, found = jax.lax.scan(step, [trainable, others, optimizer], keys)
        return state, jnp.mean(found, 0)

    def _validate(self, state, data, first):
        """The loss of the central crops of `batch_size` pictures from `first` on, as outside training."""
        chosen = (first + jnp.arange(self.config.batch_size)) % len(data["begins"])
        middle, straight = jnp.full((len(chosen), 2), 0.5), jnp.zeros(len(chosen), bool)
        x = crops(data, chosen, middle, straight, self.config.crop_size)
        return self._loss(state[0], state[1], x, False)[0]

    def save(self, path: pathlib.Path, **about: float) -> None:
        """Writes the state, complete or not at all."""
        arrays = {f"{p} {n:04}": np.asarray(v) for p, part in enumerate(self.state) for n, v in enumerate(part)}
        temporary = path.with_name("state.partial.npz")
        np.savez(temporary, **arrays, **about)
        os.replace(temporary, path)

    def restore(self, path: pathlib.Path) -> tuple[int, float]:
        """Reads a state; returns how many epochs and seconds it has behind it.

        Raises:
          ConfigError: it is damaged, or of another model.
        """
        try:
            with np.load(path) as file:
                state = [[jnp.asarray(file[k]) for k in file.files if k.startswith(f"{p} ")] for p in range(3)]
                about = int(file["epochs"]), float(file["seconds"])
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{path}: no state of a training: {error}") from error
        if [[v.shape for v in part] for part in state] != [[v.shape for v in part] for part in self.state]:
            raise ConfigError(f"{path}: the state of another model; take another --out or the options of before")
        self.state = state
        return about

    def trained(self) -> keras.Model:
        """The model with the state's weights."""
        for part, values in zip(self.parts[:2], self.state[:2], strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)
        return self.model


def run(training: Training, seconds: float, out: pathlib.Path, validation: dict | None) -> None:
    """Trains until so many seconds of training have passed, those before an interruption included.

    Raises:
      TrainingError: the loss became NaN or infinite; the last state stays.
    """
    state = out / "state.npz"
    epochs, before = training.restore(state) if state.exists() else (0, 0.0)
    data, start = jax.device_put(training.data), time.monotonic()
    held = jax.device_put(validation) if validation else None
    passed, saved = before, before
    while passed < seconds:
        rate = float(training.schedule(round(_TICKS * passed / seconds)))
        key = jax.random.fold_in(jax.random.key(training.config.seed), epochs)
        training.state, means = training.epoch(training.state, key, jnp.float32(rate), data)
        loss, bpp, mse = (float(m) for m in means)
        if not math.isfinite(loss):
            raise TrainingError(f"the loss became {loss}; lower learning_rate")
        epochs, passed = epochs + 1, before + time.monotonic() - start
        if passed - saved < _SAVE_SECONDS and passed < seconds:
            continue
        saved = passed
        row = {"step": epochs * training.config.steps_per_epoch, "seconds": round(passed, 1), "rate": rate,
               "loss": loss, "bpp": bpp, "mse": mse}  # fmt: skip
        if held:
            firsts = range(0, len(held["begins"]), training.config.batch_size)
            row["val_loss"] = float(np.mean([float(training.validate(training.state, held, n)) for n in firsts]))
        training.save(state, epochs=epochs, seconds=passed)
        with (out / "history.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print("  ".join(f"{k} {v:.5g}" for k, v in row.items()), flush=True)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=pathlib.Path, required=True)
    parser.add_argument("--validation", type=pathlib.Path, help="pictures whose loss is written down as well")
    parser.add_argument("--scale", type=float, action="append", dest="scales", help="of the pictures, one or more [1]")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--recipe", default="edic")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--set", action="append", default=[], metavar="K=V", dest="settings")
    parser.add_argument("--minutes", type=float, default=8.0)
    options = parser.parse_args(arguments)
    try:
        train(options)
    except (registry.RegistryError, ConfigError, TrainingError) as error:
        parser.exit(1, f"{error}\n")


def train(options: argparse.Namespace) -> None:
    """What the command line asks for; raises what `main` prints."""
    recipe = registry.get(options.recipe)
    if wrong := [s for s in options.settings if "=" not in s]:
        raise ConfigError(f"--set {wrong[0]}: must be OPTION=VALUE")
    # Half precision would want a scaled loss; on a GPU, JAX multiplies float32 in 19 bits anyway.
    config = recipe.make_config(
        options.preset, {"precision": "float32"} | dict(s.split("=", 1) for s in options.settings)
    )
    if recipe.shape != "codec" or config.precision in ("auto", "mixed_float16") or keras.backend.backend() != "jax":
        raise ConfigError("wants a codec, KERAS_BACKEND=jax, and precision float32 or mixed_bfloat16")
    if any(scale <= 0 for scale in options.scales or ()):
        raise ConfigError("--scale: must be above 0")
    pictures = read(options.pictures, config.crop_size, options.scales or (1.0,))
    validation = read(options.validation, config.crop_size) if options.validation else None
    options.out.mkdir(parents=True, exist_ok=True)
    training = Training(recipe, config, pictures)
    run(training, 60 * options.minutes, options.out, validation)
    released.pack(recipe, config, training.trained(), options.out / f"{recipe.name}.npz")


if __name__ == "__main__":
    main()
