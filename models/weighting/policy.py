"""A weighting policy: what it knows of an example, the actor that weighs it, and the file it is kept in.

    logits, label, stage --> state [F] --normaliser--> actor --> action in [0, 2] --over the batch--> weight, mean 1

Nothing in the state depends on the data set or on the network, so that a policy can be used on others.
"""

import json
import os
import pathlib

import keras
import numpy as np
from keras import ops

from models.classifiers.classifier import cross_entropy
from models.contract.recipe import ConfigError
from models.publishing import pushed

FEATURES = ("loss", "rank", "p_label", "p_max", "entropy", "margin", "progress")
PROGRESS = FEATURES.index("progress")
FREQUENCY = "frequency"
LEAST, MOST = 1e-3, 2.0  # of an action
_LONGEST_LOSS = 10.0  # nats, where the loss of a state ends
_FURTHEST = 5.0  # standard deviations, where a normalised state ends
HIDDEN = 64


def states(logits, labels, progress, frequencies=None):
    """What a policy knows of each example of a batch.

    Args:
      logits: [B, K]. labels: [B, K], distributions. progress: scalar in [0, 1), the share of the stages that are done.
      frequencies: [K], shares of the classes over the largest one's, if the policy is to know them.

    Returns:
      float32 [B, F] in the order of FEATURES, then FREQUENCY: loss over 10 nats, its rank in the batch from 0 to 1,
      probability of the label, largest probability, entropy over log K, label's probability less the best other one's,
      progress. No gradient passes.
    """
    logits, labels = (ops.stop_gradient(ops.cast(t, "float32")) for t in (logits, labels))
    p = ops.softmax(logits)
    classes, count = logits.shape[-1], ops.shape(logits)[0]
    losses = cross_entropy(labels, logits)
    rank = ops.argsort(ops.argsort(losses)) / ops.maximum(count - 1, 1)
    p_label = ops.sum(p * labels, axis=-1)
    entropy = -ops.sum(p * ops.log_softmax(logits), axis=-1) / float(np.log(classes))
    other = ops.max(ops.where(ops.one_hot(ops.argmax(labels, axis=-1), classes) > 0, 0.0, p), axis=-1)
    columns = [ops.minimum(losses, _LONGEST_LOSS) / _LONGEST_LOSS, ops.cast(rank, "float32"), p_label,
               ops.max(p, axis=-1), entropy, p_label - other, ops.ones_like(p_label) * progress]  # fmt: skip
    if frequencies is not None:
        columns.append(ops.sum(labels * ops.cast(frequencies, "float32"), axis=-1))
    return ops.stack(columns, axis=-1)


def mlp(inputs: int, seed: int, **last) -> keras.Sequential:
    """Two hidden layers of tanh and one output, float32 whatever the policy of the arithmetic."""
    starts = [keras.initializers.GlorotUniform(seed + n) for n in range(2)]
    layers = [keras.layers.Dense(HIDDEN, "tanh", dtype="float32", kernel_initializer=start) for start in starts]
    network = keras.Sequential([*layers, keras.layers.Dense(1, dtype="float32", **last)])
    network.build((None, inputs))
    return network


def each(network, x):
    """What a network of one output makes of rows: x [..., F] -> [...]."""
    return ops.reshape(network(ops.reshape(x, (-1, x.shape[-1]))), ops.shape(x)[:-1])


def normalised(actions):
    """Weights of actions [..., B]: none below LEAST before their mean over the batch becomes 1."""
    floored = ops.maximum(actions, LEAST)
    return floored * ops.cast(ops.shape(floored)[-1], "float32") / ops.sum(floored, axis=-1, keepdims=True)


class Policy(keras.layers.Layer):
    """A policy's actor with its normaliser of states. A fresh one weighs every example alike, exactly.

    Args:
      features: names of the state's entries, F. stages: K. smoothing: share of an action that is the present stage's;
        the rest is what the stage before it would have done.
    """

    def __init__(self, features, stages: int, smoothing: float, seed: int, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.feature_names, self.stages, self.smoothing = tuple(features), stages, smoothing
        self.count = self.add_weight(shape=(), trainable=False, initializer="zeros", name="count")
        self.sums = self.add_weight(shape=(2, len(self.feature_names)), trainable=False, initializer="zeros",
                                    name="sums")  # fmt: skip
        self.actor = mlp(len(self.feature_names), seed, kernel_initializer="zeros")
        self.built = True

    def see(self, states) -> None:
        """Takes states [B, F] into the means and deviations by which states are normalised."""
        self.count.assign_add(ops.cast(ops.shape(states)[0], "float32"))
        self.sums.assign_add(ops.stack([ops.sum(states, axis=0), ops.sum(ops.square(states), axis=0)]))

    def normalise(self, states):
        """States [..., F] less their means over their deviations, as far as states were seen."""
        count = ops.maximum(self.count, 1.0)
        mean = self.sums[0] / count
        deviation = ops.sqrt(ops.maximum(self.sums[1] / count - ops.square(mean), 0.0))
        return ops.clip((states - mean) / ops.maximum(deviation, 1e-2), -_FURTHEST, _FURTHEST)

    def actions(self, states, actor=None, direction=None):
        """States [..., F] -> actions [...] in [0, 2].

        Args:
          actor: another one than the policy's own. direction: [F], along which of the normalised states actions are
            pushed up; an exploration that treats like examples alike.
        """
        step = np.eye(len(self.feature_names), dtype="float32")[PROGRESS] / self.stages
        before = ops.where(step > 0, ops.maximum(states - step, 0.0), states)
        now, then = (self._one(s, actor or self.actor) for s in (states, before))
        found = self.smoothing * now + (1 - self.smoothing) * then
        if direction is not None:
            found = ops.clip(found + ops.sum(self.normalise(states) * direction, axis=-1), 0.0, MOST)
        return found

    def _one(self, states, actor):
        return MOST * ops.sigmoid(each(actor, self.normalise(states)))

    def call(self, states):
        """Weights [B] of a batch's states [B, F], without exploration."""
        return normalised(self.actions(states))

    def arrays(self) -> list[np.ndarray]:
        """All that decides its answers."""
        return [np.array(v) for v in (self.count, self.sums, *self.actor.variables)]

    def assign(self, arrays) -> None:
        """Takes what `arrays` of another of the same features gave."""
        for variable, value in zip((self.count, self.sums, *self.actor.variables), arrays, strict=True):
            variable.assign(value)

    def save(self, directory: str | os.PathLike) -> None:
        """Writes `pushed.POLICY` into a folder: the names of the state's entries and the arrays."""
        schema = json.dumps({"features": self.feature_names, "action": [0.0, MOST]})
        arrays = {f"{n:02}": values for n, values in enumerate(self.arrays())}
        np.savez_compressed(pathlib.Path(directory) / pushed.POLICY, schema=schema, **arrays)

    def load(self, directory: str) -> None:
        """Takes the policy beside a pushed model: a version folder, or the newest in a folder of versions.

        Raises:
          ConfigError: there is none, or its state has other entries.
        """
        path = pushed.newest(directory) / pushed.EXTRA / pushed.POLICY
        if not path.is_file():
            raise ConfigError(f"policy={directory}: no weighting policy there ({path.name} is missing)")
        with np.load(path, allow_pickle=False) as file:
            features = tuple(json.loads(str(file["schema"]))["features"])
            if features != self.feature_names:
                theirs, own = ", ".join(features), ", ".join(self.feature_names)
                hint = "true" if FREQUENCY in features else "false"
                raise ConfigError(
                    f"policy={directory}: its state is {theirs}; here it is {own}: set class_frequency={hint}"
                )
            self.assign([file[name] for name in sorted(file.files) if name != "schema"])
