"""The payload of a codec that codes indices of vectors: each under the table of its channel."""

import numpy as np
import tensorflow as tf

from models.codecs.serving.latents import FactorizedLatents, Tables
from models.codecs.serving.transforms import TransformPayload
from models.entropy.densities.tables import tables_from_pmfs


class IndexLatents(FactorizedLatents):
    """One section: indices [1, h, w, M] as float32, by tables that are the histograms of the training."""

    @staticmethod
    def tables_of(model) -> Tables:
        """What the constructor takes, derived from a trained codec with `quantizer`."""
        usage = np.array(model.quantizer.usage, np.float64)
        rows = np.tile(usage, (model.config.latents // len(usage), 1))
        # What the training did not use may yet come; a slot of the tables is the least that a symbol has.
        return tables_from_pmfs(list(rows), np.zeros(len(rows), np.int32), np.zeros(len(rows))).arrays("prior")

    def estimated_bits(self, y: tf.Tensor, y_hat: tf.Tensor) -> tf.Tensor:
        """What the histograms themselves say that indices cost: [1] float32 bits."""
        return self.model.index_bits(y_hat)


class IndexPayload(TransformPayload):
    """As `TransformPayload`; what is analysed and drawn are indices, which hold in float32 exactly."""

    def __init__(self, model, config):
        super().__init__(IndexLatents, model, config)

    def analyse_tile(self, pixels: tf.Tensor) -> tf.Tensor:
        """uint8 [1, 16h, 16w, 3] -> indices [1, h, w, M] float32."""
        return tf.cast(self.model.indices(tf.cast(pixels, tf.float32) / 255.0), tf.float32)

    def synthesise_tile(self, y_hat: tf.Tensor) -> tf.Tensor:
        """Indices [1, h, w, M] float32 -> uint8 [1, 16h, 16w, 3]."""
        x = self.model.draw_indices(tf.cast(y_hat, tf.int32))
        return tf.cast(tf.round(255.0 * tf.clip_by_value(x, 0.0, 1.0)), tf.uint8)
