"""The smallest game: a generator of numbers and a critic of them, each with an optimizer of its own."""

import dataclasses

import keras
import tensorflow as tf
from keras import ops

from models.contract.recipe import Evaluation, Recipe
from models.training.optimizers import Group, Optimizers, frozen, optimizer
from tests.models import line


class Game(keras.Model):
    """x [B, width] -> what the generator makes of it, [B, width]; the critic tells that from x."""

    def __init__(self, config):
        super().__init__()
        self.generator = keras.layers.Dense(config.width)
        self.critic = keras.Sequential([keras.layers.Dense(3, activation="tanh"), keras.layers.Dense(1)])

    def call(self, x, training=None):
        made = self.generator(x)
        self.critic(made)  # makes its weights
        return made

    def losses_of(self, x, made):
        """What the generator minimises, and what the critic does."""
        critic = ops.mean(self.critic(ops.stop_gradient(made))) - ops.mean(self.critic(x))
        return -ops.mean(frozen(self.critic, made)), critic + 0.1 * ops.mean(ops.square(self.critic(x)))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return sum(self.losses_of(x, y_pred))


def build(config):
    model = Game(config)
    model(ops.zeros((1, config.width)))
    return model


def compile_model(model, config):
    """The critic by Adam at every step, the generator by SGD at every other, at twice the rate."""
    faster = dataclasses.replace(config, optimizer="sgd", learning_rate=2 * config.learning_rate)
    model.compile(optimizer=Optimizers(Group(optimizer(config), model.critic),
                                       Group(optimizer(faster), model.generator, every=2)))  # fmt: skip


def inputs(files, config, training):
    """The same four rows again and again, whatever the seed, so that trainings can be compared bit by bit."""
    rows = tf.random.stateless_normal((4, config.width), (1, 2)) + 1.0
    batches = tf.data.Dataset.from_tensors(rows)
    return batches.repeat() if training else batches


RECIPE_OF_TESTS = Recipe(
    name="game", shape="test", summary="A game", config=line.LineConfig,
    presets={"small": {"steps": 6, "steps_per_epoch": 2, "batch_size": 4, "learning_rate": 0.01}},
    build=build, inputs=inputs, signatures=None, evaluation=Evaluation(()), compile=compile_model,
)  # fmt: skip
