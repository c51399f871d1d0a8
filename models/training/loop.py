"""The one training loop: the pipeline's Trainer, each tuner trial and the tests call it.

Resumable after a kill: state goes to `work_dir` once an epoch, written under a temporary name and renamed, and the same
call goes on from there. Several GPUs share each batch (`models.training.replicas`); XLA and mixed precision where they
pay (Keras' "auto": on a GPU; on a CPU XLA slows small convolutional networks to a third).
"""

import contextlib
import dataclasses
import functools
import json
import math
import os
import pathlib
import re
import sys
import time
import warnings
from collections.abc import Sequence

import keras
from tqdm import tqdm

from models.contract.errors import KompaktError
from models.contract.recipe import Config, ConfigError, Recipe
from models.publishing import pushed
from models.training import replicas


class TrainingError(KompaktError, RuntimeError):
    """Training cannot go on: the loss is no number any more."""

    status = 1


def schedule(config: Config) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up to the peak, then a cosine down to `final_rate_fraction` of it at the last step."""
    warmup = max(1, round(config.steps * config.warmup_fraction))
    return keras.optimizers.schedules.CosineDecay(
        config.learning_rate / (warmup + 1),  # a rate of zero would waste the first step
        decay_steps=max(1, config.steps - warmup),
        alpha=config.final_rate_fraction,
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )


def strategy_scope():
    """The scope of a MirroredStrategy where TensorFlow has several GPUs, or no GPU and several CPUs, else nothing."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        if len(devices) > 1:
            return _mirrored(*(device.name for device in devices)).scope()
    return contextlib.nullcontext()


@functools.cache
def _mirrored(*devices: str):
    """The one strategy of these devices: a second one's sums would be taken for those of the first."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


def compiled_model(recipe: Recipe, config: Config, weights: Sequence | None = None) -> keras.Model:
    """Builds the model, loads `config.init` or `weights` if given, and compiles it with the configuration's optimizer.

    Raises:
      ConfigError: `config.init` holds no weights that fit, or the devices cannot share a batch equally.
    """
    if config.batch_size % (devices := replicas.count()):
        raise ConfigError(
            f"batch_size={config.batch_size}: must be a multiple of the {devices} devices that share a batch"
        )
    keras.utils.set_random_seed(config.seed)
    model = recipe.build(config)
    served_recipe, served, _ = recipe.served(model, config) if recipe.served else (recipe, model, config)
    if config.init:
        load_initial(served_recipe, served, config.init)
    if weights is not None:
        served.set_weights(weights)
    model.compile(optimizer=optimizer(config))
    # A step that makes variables is traced twice.
    model.optimizer.build(model.trainable_variables)
    replicas.unite(model)
    return model


def optimizer(config: Config, learning_rate: float | None = None) -> keras.optimizers.Optimizer:
    """Adam, or SGD with Nesterov's momentum, on the schedule of the configuration or at a rate that can be assigned."""
    common = {
        "learning_rate": schedule(config) if learning_rate is None else learning_rate,
        "global_clipnorm": config.gradient_clip_norm / replicas.count() or None,  # Keras sums what is clipped
        "weight_decay": config.weight_decay or None,
    }
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(momentum=config.momentum, nesterov=config.momentum > 0, **common)
    return keras.optimizers.Adam(**common)


def load_initial(recipe: Recipe, model: keras.Model, directory: str) -> None:
    """Loads the weights of a pushed model: a version folder, or the newest in a folder of versions.

    A model of another recipe gives the layers that both have by name and shape, and the rest starts afresh; a model of
    the same recipe must fit as a whole.

    Raises:
      ConfigError: no model there, or its weights do not fit.
    """
    path = pushed.newest(directory) / pushed.EXTRA / pushed.WEIGHTS
    if not path.is_file():
        raise ConfigError(f"init={directory}: no pushed model there ({path.name} is missing)")
    try:
        about = path.with_name(pushed.ABOUT)
        if about.is_file() and json.loads(about.read_text(encoding="utf-8"))["recipe"] != recipe.name:
            _load_common(model, path)
        else:
            model.load_weights(path)
    except ValueError as error:
        raise ConfigError(f"init={directory}: its weights do not fit this model: {error}") from error


def _load_common(model: keras.Model, path: pathlib.Path) -> None:
    """Loads what a file of weights has in common with the model; raises ValueError if that is nothing."""
    before = model.get_weights()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras names every layer that does not fit
        model.load_weights(path, skip_mismatch=True)
    loaded = sum(bool((old != new).any()) for old, new in zip(before, model.get_weights(), strict=True))
    if not loaded:
        raise ValueError("no layer is the same")
    print(f"  {loaded} of {len(before)} weights come from another recipe's model", flush=True)


def train(
    recipe: Recipe,
    config: Config,
    train_files: Sequence[str],
    validation_files: Sequence[str],
    *,
    work_dir: str,
    log_dir: str,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    progress: bool = True,
    weights: Sequence | None = None,
) -> keras.Model:
    """Trains a recipe's model.

    Args:
      recipe, config: what to train and how.
      train_files, validation_files: TFRecord files for `recipe.inputs`.
      work_dir: where the state lies from which a killed training goes on. The caller removes it when the model is safe.
      log_dir: gets TensorBoard's events and `history.json`, a list of {"step", "seconds", metric: value}.
      callbacks: more Keras callbacks (a tuner's, say). progress: whether to show a progress bar.
      weights: of what the recipe serves, to start from.

    Returns: the trained model, compiled.

    Raises:
      TrainingError: the loss became NaN or infinite.
      FileNotFoundError: no data.
      ConfigError: as `compiled_model`.
    """
    steps_per_epoch = min(config.steps_per_epoch, config.steps)
    epochs = math.ceil(config.steps / steps_per_epoch)
    with strategy_scope():
        model = compiled_model(recipe, config, weights)
    backup = Backup(work_dir)
    first = backup.restore(model)
    replicas.part_noise(model)
    # A resumed run draws other crops than the ones it has seen.
    batches = recipe.inputs(train_files, dataclasses.replace(config, seed=config.seed + first), True)
    validation = recipe.inputs(validation_files, config, False)
    terminate = keras.callbacks.TerminateOnNaN()
    model.fit(
        batches,
        validation_data=validation,
        epochs=epochs,
        initial_epoch=first,
        steps_per_epoch=steps_per_epoch,
        verbose=0,
        callbacks=[
            terminate,
            backup,
            LastStep(config.steps - first * steps_per_epoch),
            History(work_dir, log_dir, config, first),
            Summaries(validation, log_dir),
            *([Progress(config.steps, first * steps_per_epoch)] if progress else []),
            *callbacks,
        ],
    )
    if terminate.model.stop_training and backup.broken:
        raise TrainingError(f"the loss of {recipe.name} became NaN or infinite; lower learning_rate and run again")
    return model


class Backup(keras.callbacks.Callback):
    """Keeps the newest state (weights and optimizer) as `epoch-N.weights.h5`, renamed into place when complete."""

    def __init__(self, directory: str):
        super().__init__()
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.broken = False

    def saved(self) -> list[tuple[int, pathlib.Path]]:
        """(epochs done, file), oldest first."""
        files = self.directory.glob("epoch-*.weights.h5")
        return sorted((int(re.search(r"epoch-(\d+)", f.name)[1]), f) for f in files)

    def restore(self, model: keras.Model) -> int:
        """Loads the newest state; returns how many epochs it has behind it (0 without one)."""
        if not (saved := self.saved()):
            return 0
        epoch, path = saved[-1]
        model.optimizer.build(model.trainable_variables)
        model.load_weights(path)
        return epoch

    def on_train_batch_end(self, batch, logs=None):
        self.broken |= not math.isfinite((logs or {}).get("loss", 0.0))

    def on_epoch_end(self, epoch, logs=None):
        if self.broken:
            return
        old = self.saved()
        temporary = self.directory / "partial.weights.h5"
        self.model.save_weights(temporary)
        os.replace(temporary, self.directory / f"epoch-{epoch + 1}.weights.h5")
        for _, path in old:
            path.unlink()


class LastStep(keras.callbacks.Callback):
    """Ends the training after so many steps, within an epoch if need be; the epoch is closed as any other."""

    def __init__(self, steps: int):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left <= 0:
            self.model.stop_training = True


class History(keras.callbacks.Callback):
    """Writes `history.json`, one entry an epoch, going on with what an interrupted run had written."""

    def __init__(self, work_dir: str, log_dir: str, config: Config, first_epoch: int):
        super().__init__()
        self.kept = pathlib.Path(work_dir) / "history.json"
        self.shown = pathlib.Path(log_dir) / "history.json"
        self.shown.parent.mkdir(parents=True, exist_ok=True)
        self.config = config
        entries = json.loads(self.kept.read_text()) if self.kept.exists() else []
        self.entries = [e for e in entries if e["step"] <= self.steps_after(first_epoch)]
        self.before = self.entries[-1]["seconds"] if self.entries else 0.0
        self.start = time.monotonic()
        if self.entries:
            self.write()

    def steps_after(self, epochs: int) -> int:
        """Training steps done after so many epochs."""
        return min(epochs * self.config.steps_per_epoch, self.config.steps)

    def on_epoch_end(self, epoch, logs=None):
        seconds = round(self.before + time.monotonic() - self.start, 2)
        numbers = {k: float(v) for k, v in (logs or {}).items()}
        self.entries.append({"step": self.steps_after(epoch + 1), "seconds": seconds, **numbers})
        self.write()

    def write(self):
        """Writes both copies, each renamed into place."""
        for path in (self.kept, self.shown):
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps(self.entries, indent=1))
            os.replace(temporary, path)


class Summaries(keras.callbacks.TensorBoard):
    """TensorBoard's scalars; and pictures, if the model has a method `pictures(batch) -> [B, H, W, 3] in [0, 1]`."""

    def __init__(self, validation, log_dir: str, every_epochs: int = 5):
        super().__init__(log_dir, write_graph=False)
        self.batch = next(iter(validation.take(1)), None)
        self.every_epochs = every_epochs

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if self.batch is not None and hasattr(self.model, "pictures") and epoch % self.every_epochs == 0:
            with self._val_writer.as_default():
                images = keras.ops.convert_to_numpy(self.model.pictures(self.batch))
                self.summary.image("reconstructions", images, step=epoch, max_outputs=4)


class Progress(keras.callbacks.Callback):
    """A progress bar over all steps with the last losses."""

    def __init__(self, steps: int, done: int):
        super().__init__()
        seconds = 1.0 if sys.stderr.isatty() else 30.0  # a log is not filled with bars
        self.bar = tqdm(total=steps, initial=done, desc="train", unit="step", mininterval=seconds, dynamic_ncols=True)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update(1)
        if self.bar.n % 20 == 0:
            self.bar.set_postfix({k: f"{float(v):.3g}" for k, v in (logs or {}).items()}, refresh=False)

    def on_train_end(self, logs=None):
        self.bar.close()
