"""The smallest recipe there is: one weight a side of a picture, fitted to the picture's size. It trains in no time."""

import dataclasses

import keras
import tensorflow as tf

from models.contract.recipe import Config, Evaluation, Metric, Recipe, option
from models.records import pictures as picture_records
from tests.models.kinds import photograph, picture_record, write_records


@dataclasses.dataclass(frozen=True)
class LineConfig(Config):
    """A line's options."""

    width: int = option(2, "inputs", low=1)


class Line(keras.Model):
    """[B, width] -> [B, 1]; the loss is the mean square."""

    def __init__(self, config):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x, training=None):
        return self.dense(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.square(y_pred - keras.ops.sum(x, axis=-1, keepdims=True)))


def build(config):
    model = Line(config)
    model(keras.ops.zeros((1, config.width)))
    return model


def inputs(files, config, training):
    """Batches [B, width] of the pictures' heights in hundreds of pixels, in an order that the seed decides."""
    records = picture_records.records(files).map(
        lambda r: tf.cast(picture_records.parse(r)[picture_records.HEIGHT], tf.float32) / 100
    )
    records = records.map(lambda height: tf.fill([config.width], height))
    return records.shuffle(99, config.seed).repeat().batch(config.batch_size) if training else records.batch(2)


class Served(tf.Module):
    """The served line."""

    def __init__(self, model):
        super().__init__()
        self.model, self.fingerprint = model, 7
        self.functions = {"serving_default": tf.function(self.serve, [tf.TensorSpec([None], tf.string, "examples")])}

    def serve(self, examples):
        height = tf.cast(picture_records.parse(examples)[picture_records.HEIGHT], tf.float32)[:, None] / 100
        return {"y": self.model(tf.repeat(height, self.model.dense.kernel.shape[0], axis=1))}


RECIPE_OF_TESTS = Recipe(
    name="line", shape="test", summary="A line", config=LineConfig,
    presets={"small": {"steps": 10, "steps_per_epoch": 2, "batch_size": 4, "learning_rate": 0.01}},
    build=build, inputs=inputs, signatures=lambda model, config: Served(model),
    evaluation=Evaluation((Metric("y", "", "lower"),)),
)  # fmt: skip


def write(folder) -> list[str]:
    """A file of records of pictures of different heights."""
    return [write_records(folder / "r.gz", [picture_record(photograph(h, 8)) for h in (20, 40, 60, 80, 100)])]
