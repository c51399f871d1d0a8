"""The smallest game on pictures: a generator with state and noise, a critic, and a penalty of its slope."""

import dataclasses

import keras
import tensorflow as tf
from keras import ops

from models.contract.recipe import Evaluation, Recipe, option
from models.generative import losses
from models.generative.game import Batch, Game, GameConfig, compile_game

SIDE = 4


@dataclasses.dataclass(frozen=True)
class SmallConfig(GameConfig):
    """With or without a critic, a penalty of its slope, and what differs from device to device."""

    adversarial: bool = option(True, "whether there is a critic")
    penalty: float = option(0.1, "weight of the gradient penalty")
    alone: bool = option(True, "whether there is noise, and a mean over the batch")


class SmallGame(Game):
    """Pictures [B, 4, 4, 2] -> pictures."""

    config_class = SmallConfig

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.network = keras.layers.Conv2D(2, 3, padding="same")
        self.norm = keras.layers.BatchNormalization(momentum=0.5)
        self.noise = keras.random.SeedGenerator(config.seed)
        self.critic = None
        if config.adversarial:
            layers = [keras.layers.Conv2D(3, 3, activation="tanh"), keras.layers.Conv2D(1, 1)]
            self.critic = keras.Sequential([keras.Input((SIDE, SIDE, 2)), *layers])

    def example(self):
        return Batch(ops.zeros((1, SIDE, SIDE, 2)))

    def generate(self, x):
        return self.norm(self.network(x), training=False)

    def made(self, x, training):
        training = training and self.config.alone
        if training:
            x = x + 0.1 * keras.random.normal(ops.shape(x), seed=self.noise)
        return ops.cast(self.norm(self.network(x), training=training), "float32")

    def generator_loss(self, batch, training):
        made = self.made(batch.x, training)
        mse = ops.mean(ops.square(made - 2.0 * batch.x))
        if self.critic is None:
            return mse, {"mse": mse}
        passes = ops.mean(losses.least_squares(self.critic(made), 1.0))
        return mse + passes, {"mse": mse, "passes": passes}

    def critic_loss(self, batch, training):
        made, real = self.made(batch.x, training), 2.0 * batch.x
        told = losses.least_squares(self.critic(real), 1.0) + losses.least_squares(self.critic(made), 0.0)
        told = ops.mean(told)
        if not self.config.penalty:
            return told, {"told": told}
        place = ops.full((ops.shape(real)[0], 1, 1, 1), 0.5)
        penalty = ops.mean(losses.gradient_penalty(self.critic, real, made, place))
        return told + self.config.penalty * penalty, {"told": told, "penalty": penalty}


def build(config):
    model = SmallGame(config)
    model(model.example().x)
    return model


def inputs(files, config, training):
    """The same four pictures again and again, whatever the seed, so that trainings can be compared bit by bit."""
    batches = tf.data.Dataset.from_tensors(tf.random.stateless_normal((4, SIDE, SIDE, 2), (1, 2)))
    return batches.repeat() if training else batches


RECIPE_OF_TESTS = Recipe(
    name="small_game", shape="test", summary="A game of two turns", config=SmallConfig,
    presets={"small": {"steps": 12, "steps_per_epoch": 4, "batch_size": 4, "learning_rate": 0.01, "critic_steps": 2,
                       "average": 0.5}},
    build=build, inputs=inputs, signatures=None, evaluation=Evaluation(()), compile=compile_game,
)  # fmt: skip
