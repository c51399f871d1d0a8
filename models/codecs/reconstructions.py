"""What a codec makes of pictures that it does not learn from, side by side with these, in TensorBoard."""

import os

import keras
import tensorflow as tf

from models.codecs.inputs import inputs
from models.contract.training import Files


class Reconstructions(keras.callbacks.Callback):
    """Draws the first validation batch as originals and reconstructions, every few epochs.

    Args:
      config, files: of the training; without validation pictures nothing is drawn.
    """

    def __init__(self, config, files: Files, every_epochs: int = 5):
        super().__init__()
        self.batch = next(iter(inputs(files.validation, config, False).take(1)), None)
        self.directory, self.every_epochs = os.path.join(files.logs, "validation"), every_epochs

    def on_epoch_end(self, epoch, logs=None):
        if self.batch is None or epoch % self.every_epochs:
            return
        with tf.summary.create_file_writer(self.directory).as_default():
            images = keras.ops.convert_to_numpy(side_by_side(self.model, self.batch))
            tf.summary.image("reconstructions", images, step=epoch, max_outputs=4)


def side_by_side(model: keras.Model, x):
    """Pixels [B, H, W, 3] in [0, 1] beside what the codec makes of them: [B, H, 2W, 3] in [0, 1]."""
    return keras.ops.concatenate([x, keras.ops.clip(model(x, training=False)["x_hat"], 0.0, 1.0)], axis=2)


def callbacks(model: keras.Model, config, files: Files) -> list[keras.callbacks.Callback]:
    """What goes along with the training of every codec."""
    return [Reconstructions(config, files)]
