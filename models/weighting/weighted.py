"""The training of a classifier whose examples are weighed, by a frozen policy or a rule."""

import json

import keras
import numpy as np
from keras import ops

from models.classifiers import classifier
from models.classifiers.classifier import cross_entropy
from models.contract.example_weights import weighed
from models.contract.recipe import ConfigError
from models.contract.training import Judge
from models.training import replicas
from models.training.callbacks import KeepBest
from models.weighting import rules
from models.weighting.policy import states
from models.weighting.record import Record


class Weighted(keras.Model):
    """A classifier and what weighs its examples; only `classifier` is exported.

    `call` takes pixels [B, S, S, 3] float32 in [0, 1] and returns logits. Labels are [B, K], or as
    `models.weighting.inputs` gives them. Weights of examples given besides, [B], are multiplied with the own ones.

    Args:
      config: of `law`. network: a built classifier. policy: None where a rule weighs.
    """

    def __init__(self, config, network: keras.Model, policy=None, **kwargs):
        super().__init__(**kwargs)
        self.config, self.classifier, self.policy = config, network, policy
        if policy is not None:
            policy.trainable = False
        self.record = Record(config.stages)
        self.steps_done = self.add_weight(shape=(), dtype="int32", trainable=False, initializer="zeros", name="steps")
        self.trackers = [keras.metrics.Mean(name=n) for n in ("accuracy", "cross_entropy")]
        self.frequencies = config.class_frequencies
        self.search_log = ""  # of the search that the policy comes from, JSON

    def call(self, x, training=None):
        """Logits of pixels."""
        return self.classifier(x, training=training)

    @property
    def stage(self):
        """Stage of the training, int32 scalar from 0 on; each has as many steps."""
        stage = self.steps_done * self.config.stages // max(1, self.config.steps)
        return ops.minimum(stage, self.config.stages - 1)

    def weights_of(self, x, y, y_pred):
        """Weights [B] of a training batch, float32."""
        name, labels = self.config.weighting, y["labels"]
        if name == "law":
            progress = ops.cast(self.stage, "float32") / self.config.stages
            return ops.stop_gradient(self.policy(states(y_pred, labels, progress, self.frequencies)))
        if name == "meta":
            return rules.by_gradients(self.classifier, x, labels, y["clean_pixels"], y["clean_labels"])
        return rules.RULES[name](y_pred, labels, y["wrong"])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean of the weighed cross-entropies, scalar; unweighed outside of training. What was weighed is recorded."""
        if not isinstance(y, dict):
            return ops.mean(weighed(cross_entropy(y, y_pred), sample_weight))
        losses = cross_entropy(y["labels"], y_pred)
        if training:
            weights = self.weights_of(x, y, y_pred)
            self.record.add(self.stage, weights, y["wrong"], y_pred, y["labels"])
            self.steps_done.assign_add(1)
            losses = losses * weights
        return ops.mean(weighed(losses, sample_weight))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Running means of accuracy and cross-entropy, unweighed."""
        labels = y["labels"] if isinstance(y, dict) else y
        values = classifier.hits(labels, y_pred), cross_entropy(labels, y_pred)
        for tracker, value in zip(self.trackers, values, strict=True):
            tracker.update_state(value)
        return self.get_metrics_result()

    def summary(self) -> dict:
        """What the report shows: "weights", as of `Record.summary`, and "search", as of `Search.summary` or None."""
        search = json.loads(self.search_log) if self.search_log else None
        return {"weighting": self.config.weighting, "weights": self.record.summary(), "search": search}


def check_devices(config) -> None:
    """Raises ConfigError where weights would have to be normalised over several devices."""
    if replicas.count() > 1 and config.weighting not in ("uniform", "early_stopping", "focal"):
        raise ConfigError(f"weighting={config.weighting}: examples are weighed within a batch, on one device")


class StopEarly(KeepBest):
    """Leaves the model with the weights of the epoch that did best on the clean examples (cross-entropy)."""

    def __init__(self, directory: str, clean):
        super().__init__(directory, Judge("clean_cross_entropy"))
        self.clean = clean

    def on_epoch_end(self, epoch, logs=None):
        pixels, labels = self.clean
        logits = self.model.predict(pixels, batch_size=256, verbose=0)
        found = float(np.mean(np.array(cross_entropy(labels, logits))))
        super().on_epoch_end(epoch, {**(logs or {}), self.judge.name: found})
