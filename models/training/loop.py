"""The one training loop: the pipeline's Trainer, each tuner trial and the tests call it.

It takes a recipe through its phases, one or several. Resumable after a kill: state goes to `work_dir` once an epoch,
written under a temporary name and renamed, and the same call goes on from there, in the phase and at the epoch where it
was. Several GPUs share each batch (`models.training.replicas`), and so do several processes (`workers`); XLA and mixed
precision where they pay (Keras' "auto": on a GPU; on a CPU XLA slows small convolutional networks to a third).
"""

import contextlib
import dataclasses
import functools
import math
import os
import tempfile
from collections.abc import Sequence

import keras

from models.contract.errors import KompaktError
from models.contract.recipe import Config, ConfigError, Recipe
from models.contract.training import Files, Phase, single
from models.training import initial, replicas, workers
from models.training.averaging import AverageWeights
from models.training.callbacks import Backup, History, KeepBest, LastStep, Progress, Summaries
from models.training.optimizers import compile_model


class TrainingError(KompaktError, RuntimeError):
    """Training cannot go on: the loss is no number any more."""

    status = 1


def strategy_scope():
    """The scope of a strategy of several workers (`workers`), or else of one of several devices, or nothing.

    Where TensorFlow has several GPUs, or no GPU and several CPUs, these share a batch.
    """
    if (together := workers.strategy()) is not None:
        return together.scope()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        if len(devices) > 1:
            return _mirrored(*(device.name for device in devices)).scope()
    return contextlib.nullcontext()


def must_be_several() -> None:
    """Raises ConfigError where a batch would not be shared: one device is seen, and one worker."""
    with strategy_scope():
        if replicas.count() == 1:
            raise ConfigError(
                "--distribute mirrored: TensorFlow sees one device here; several GPUs share by themselves"
            )


@functools.cache
def _mirrored(*devices: str):
    """The one strategy of these devices: a second one's sums would be taken for those of the first."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


def compiled_model(
    recipe: Recipe,
    config: Config,
    phase: Phase | None = None,
    before: keras.Model | None = None,
    files: Files | None = None,
) -> keras.Model:
    """Builds the model of a phase, gives it the weights it starts from, and compiles it as the recipe says.

    Args:
      config: the phase's own. phase: the only one, if not given. before: the model of the phase before; without one,
        `config.init` is loaded if it is set. files: for the phase's `prepare`.

    Raises:
      ConfigError: `config.init` holds no weights that fit, or the devices cannot share a batch equally.
    """
    if config.batch_size % (devices := replicas.count()):
        raise ConfigError(
            f"batch_size={config.batch_size}: must be a multiple of the {devices} devices that share a batch"
        )
    phase = phase or Phase("", config.steps)
    keras.utils.set_random_seed(config.seed)
    model = (phase.build or recipe.build)(config)
    if before is not None:
        phase.inherit(model, before)
    elif config.init:
        served_recipe, served, _ = recipe.served(model, config) if recipe.served else (recipe, model, config)
        initial.load(served_recipe, served, config.init, whole=not phase.build)
    phase.prepare(model, config, files)
    for layer in phase.frozen(model):
        layer.trainable = False
    (recipe.compile or compile_model)(model, config)
    # A step that makes variables is traced twice.
    model.optimizer.build(model.trainable_variables)
    replicas.unite(model)
    return model


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
) -> keras.Model:
    """Trains a recipe's model, phase by phase.

    Args:
      recipe, config: what to train and how.
      train_files, validation_files: TFRecord files for `recipe.inputs`.
      work_dir: where the state lies from which a killed training goes on. The caller removes it when the model is safe.
      log_dir: gets TensorBoard's events and `history.json`, see `models.training.callbacks.History`.
      callbacks: more Keras callbacks (a tuner's, say), the same in every phase. progress: whether to show a bar.

    Returns: the trained model, compiled: of the last epoch, or the best of the last phase, as `recipe.judge` says, or
      with the mean weights of its end, as `config.average_from` says.

    Raises:
      TrainingError: the loss became NaN or infinite.
      FileNotFoundError: no data.
      ConfigError: as `compiled_model`.
    """
    with contextlib.ExitStack() as stack:
        if not workers.is_chief():  # all work alike; what others than the chief would keep goes nowhere
            log_dir, progress = stack.enter_context(tempfile.TemporaryDirectory()), False
        files = Files(train_files, validation_files, work_dir, log_dir)
        return _phases(_Run(recipe, config, files, callbacks, progress))


def _phases(run: "_Run") -> keras.Model:
    """Trains all phases of a training; returns the last one's model."""
    recipe, config = run.recipe, run.config
    history = History(run.files.work, run.files.logs, writes=workers.is_chief())
    phases = (recipe.phases or single)(config, run.files)
    model, done = None, 0
    while phase := _next(phases, model):
        model = run.phase(phase, model, history, done)
        done += phase.steps
    return model


def _next(phases, model: keras.Model | None) -> Phase | None:
    """The phase that a generator gives for the model that its last one left; None at the end."""
    try:
        return phases.send(model)
    except StopIteration:
        return None


@dataclasses.dataclass
class _Run:
    """What all phases of one training share; as the arguments of `train`."""

    recipe: Recipe
    config: Config
    files: Files
    callbacks: Sequence[keras.callbacks.Callback]
    progress: bool

    def phase(self, phase: Phase, before: keras.Model | None, history: History, done: int) -> keras.Model:
        """Trains one phase, or what is missing of it; `done` steps of the training lie before it."""
        config = phase.config(self.config)
        files = self.files._replace(work=os.path.join(self.files.work, phase.name),
                                    logs=os.path.join(self.files.logs, phase.name))  # fmt: skip
        with strategy_scope():
            model = compiled_model(self.recipe, config, phase, before, files)
        steps_per_epoch = min(config.steps_per_epoch, config.steps)
        is_chief = workers.is_chief()
        backup = Backup(files.work, writes=is_chief)
        first = backup.restore(model)
        replicas.part_noise(model)
        history.enter(phase, config, done, first)
        # A resumed run draws other crops than the ones it has seen.
        batches = self.recipe.inputs(files.train, dataclasses.replace(config, seed=config.seed + first), True)
        validation = self.recipe.inputs(files.validation, config, False)
        reached = first * steps_per_epoch
        model.fit(
            workers.shared(batches, config.batch_size),
            validation_data=workers.shared(validation, config.batch_size),
            epochs=math.ceil(config.steps / steps_per_epoch),
            initial_epoch=first,
            steps_per_epoch=steps_per_epoch,
            verbose=0,
            callbacks=[
                *(
                    [AverageWeights(files.work, config, is_chief)] if config.average_from < 1 else []
                ),  # first: history has its count
                history,
                backup,
                LastStep(config.steps - reached),
                Summaries(files.logs),
                *([Progress(self.config.steps, done + min(reached, config.steps))] if self.progress else []),
                *(self.recipe.callbacks(model, config, files) if self.recipe.callbacks else []),
                *self.callbacks,
                *self._best(files, config, history),
                workers.Together(),
            ],
        )
        if backup.broken:
            name = self.recipe.name
            raise TrainingError(f"the loss of {name} became NaN or infinite; lower learning_rate and run again")
        return model

    def _best(self, files: Files, config: Config, history: History) -> list[keras.callbacks.Callback]:
        """What keeps the best epoch, where that is what a training gives back."""
        if self.recipe.judge.keep != "best" or config.average_from < 1:
            return []
        return [KeepBest(files.work, self.recipe.judge, history, workers.is_chief())]
