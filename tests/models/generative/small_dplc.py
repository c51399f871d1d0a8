"""The smallest distribution-preserving codec, and pictures that come again and again, whatever the seed."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from models.generative.distribution_preserving import RECIPE
from models.training import loop

SIZES = {"channels": 2, "latents": 6, "crop_size": 16, "code_channels": 3, "blocks": 1, "batch_size": 8}
SIDE = SIZES["crop_size"]


def config(**options):
    """Options of the smallest model."""
    return RECIPE.make_config("small", SIZES | {"steps": 8, "steps_per_epoch": 2, "generator_share": 0.5,
                                                "critic_steps": 1, "critic_weight": 0.05} | options)  # fmt: skip


def pictures(count: int = 8):
    """Pictures [count, S, S, 3] float32 in [0, 1]: stripes of random colours."""
    random = np.random.default_rng(3)
    colours, phase = random.uniform(0.2, 0.8, (count, 1, 1, 3)), random.uniform(0, 6, (count, 1, 1, 1))
    rows = np.arange(SIDE)[:, None, None]
    return (colours + 0.2 * np.sin(rows / 2 + phase) * np.ones((1, SIDE, 1))).astype("float32")


def inputs(files, config, training):
    """The same pictures always, so that trainings can be compared bit by bit."""
    batches = tf.data.Dataset.from_tensors(pictures(config.batch_size))
    return batches.repeat() if training else batches


OF_TESTS = dataclasses.replace(RECIPE, inputs=inputs, callbacks=None)


def settled(options):
    """A model that was never trained, whose codes and noise are heard: its statistics are those of its batches."""
    keras.utils.set_random_seed(options.seed)
    model = RECIPE.build(options)
    model.generator.layers[-2].kernel.assign(50 * model.generator.layers[-2].kernel)
    for _ in range(25):
        model(pictures(), training=True)
    return model


class Watch(keras.callbacks.Callback):
    """Notes the generator and what is before it when step two begins; a kill before so many steps of all."""

    def __init__(self, kill_before: int = 0):
        super().__init__()
        self.left, self.generator, self.others = kill_before, None, None

    def on_train_batch_begin(self, batch, logs=None):
        if hasattr(self.model, "mapper") and self.generator is None:
            self.generator, self.others = self.model.generator.get_weights(), self.model.mapper.get_weights()
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def train(folder, watch: Watch | None = None, **options):
    """Trains, or goes on with what lies in a folder, step by step: tracing takes longer than all there is to do."""
    tf.config.run_functions_eagerly(True)
    try:
        return loop.train(OF_TESTS, config(**options), [], [], work_dir=str(folder / "work"),
                          log_dir=str(folder / "logs"), callbacks=[watch or Watch()], progress=False)  # fmt: skip
    finally:
        tf.config.run_functions_eagerly(False)
