"""Training on several devices gives what one device gives on the same batch.

    batch --equal shares--> replicas of the model --mean of their losses--> gradients, summed --> one update

Only `tf.distribute` has replicas. On one device, on another backend and outside of a step there is one, and what is
here gives back what it is given.
"""

import threading

import keras
from keras import ops

from models.training import workers

_APART = 1_000_003  # between the seeds of two replicas: far from any seeds that people choose
_SHARE = threading.local()  # `examples`: how many there are, in a validation; TensorFlow runs each replica in a thread


def count() -> int:
    """How many replicas the strategy has in whose scope this is called."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def _context():
    """TensorFlow's context of the replica that is running, or None where there is one alone, or none."""
    if count() == 1:
        return None
    import tensorflow as tf

    return tf.distribute.get_replica_context()


def total(x):
    """Sum over the replicas, for tensors of one shape; gradients pass."""
    context = _context()
    return x if context is None else context.all_reduce("SUM", x)


def gathered(x):
    """Examples of all replicas, in the order of the batch, on each of them: [b, ...] -> [B, ...]; gradients pass."""
    context = _context()
    return x if context is None else context.all_gather(x[: getattr(_SHARE, "examples", None)], axis=0)


def start(examples):
    """Where in the batch a replica's share of so many examples begins, int32 scalar."""
    context = _context()
    if context is None:
        return 0
    sizes = context.all_gather(ops.reshape(ops.cast(examples, "int32"), (1,)), axis=0)
    return ops.sum(sizes[: context.replica_id_in_sync_group])  # shares before an empty one are full


def unite(model: keras.Model) -> None:
    """Makes the replicas of a compiled model learn as one; call it in the scope in which the model was made.

    Its `compute_loss` goes on saying the mean over the examples it is given. Here that is divided by the number of
    replicas, as Keras asks for where gradients are summed. Optimizers clip, and look for infinite numbers, before Keras
    sums: they are given the mean over the replicas, the same to each, and a norm to clip at that is divided likewise
    (see `models.training.optimizers.optimizer`).
    """
    replicas = count()
    if replicas == 1:
        return
    loss_of, apply = model.compute_loss, model.optimizer.apply

    def compute_loss(*args, **kwargs):
        return loss_of(*args, **kwargs) / replicas

    def apply_mean(grads, trainable_variables=None):
        known = iter(_context().all_reduce("MEAN", [g for g in grads if g is not None]))
        return apply([None if g is None else next(known) for g in grads], trainable_variables)

    model.compute_loss, model.optimizer.apply = compute_loss, apply_mean
    model.test_step, model.predict_step = _never_empty(model), _predicted(model.predict_step)
    # Keras would make variables here, which there are, from the mean of the shares of a first batch: that fails where
    # one is smaller than another, and the training would begin with the second batch.
    model._maybe_symbolic_build = lambda *args, **kwargs: None
    if workers.strategy() is not None:
        model.train_step, model.test_step = _as_rows(model.train_step), _as_rows(model.test_step)


def _as_rows(step):
    """A step whose numbers are [1]: of several workers Keras 3 takes the mean over an axis that scalars do not have."""

    def as_rows(data):
        return keras.tree.map_structure(lambda value: ops.reshape(value, (1,)), step(data))

    return as_rows


def _never_empty(model: keras.Model):
    """The model's `test_step` for the last batch of a validation, of which there may be nothing left for a replica.

    Not every kernel takes a batch of nothing. Such a replica is given one example of zeros, and forgets what it did to
    its metrics.
    """
    step = model.test_step

    def test_step(data):
        examples = ops.shape(keras.tree.flatten(data)[0])[0]
        missing = ops.maximum(1 - examples, 0)
        before = [variable.value + 0 for variable in model.metrics_variables]
        _SHARE.examples = examples
        try:
            logs = step(keras.tree.map_structure(lambda x: _continued(x, missing), data))
        finally:
            del _SHARE.examples
        for variable, value in zip(model.metrics_variables, before, strict=True):
            variable.assign(ops.where(examples > 0, variable.value, value))
        return logs

    return test_step


def _predicted(step):
    """Likewise a model's `predict_step`, which then answers nothing."""

    def predict_step(data):
        examples = ops.shape(keras.tree.flatten(data)[0])[0]
        answers = step(keras.tree.map_structure(lambda x: _continued(x, ops.maximum(1 - examples, 0)), data))
        return keras.tree.map_structure(lambda y: y[:examples], answers)

    return predict_step


def _continued(x, more):
    """x [b, ...] with so many zeros behind it."""
    return ops.pad(x, [(0, more)] + [(0, 0)] * (len(x.shape) - 1))


def part_noise(model: keras.Model) -> None:
    """Gives each replica random numbers of its own: they would all draw the same, for the same seed.

    Files hold the first replica's state, so it is to be called again for a model whose state was loaded.
    """
    if keras.backend.backend() != "tensorflow":
        return
    for variable in model.non_trainable_variables:
        if variable.name == "seed_generator_state":
            copies = model.distribute_strategy.experimental_local_results(variable.value)
            for replica, copy in enumerate(copies, workers.index() * len(copies)):
                copy.assign_add([replica * _APART, 0])
