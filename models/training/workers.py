"""Several processes, on one machine or on several, that train one model: each works on its share of every batch.

    batch --equal shares, in the order of the workers--> replicas on all workers --gradients, summed--> one update

What a process is, `TF_CONFIG` says, as everywhere in TensorFlow: {"cluster": {"worker": ["HOST:PORT", ...]},
"task": {"type": "worker", "index": N}}. The first worker is the chief, which alone writes what stays. All read the same
records and the same state, so both must lie where all of them can read.
"""

import dataclasses
import functools
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras

from models.contract.recipe import ConfigError

if TYPE_CHECKING:
    import tensorflow as tf

VARIABLE = "TF_CONFIG"


@dataclasses.dataclass(frozen=True)
class Place:
    """Which of how many workers a process is; `addresses` are theirs."""

    index: int
    addresses: tuple[str, ...]

    @property
    def count(self) -> int:
        """Of the workers."""
        return len(self.addresses)

    def config(self) -> str:
        """The value of `TF_CONFIG`."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": list(self.addresses)}, "task": task})


def place_of(environment: Mapping[str, str] = os.environ) -> Place | None:
    """What `TF_CONFIG` says; None without it.

    Raises:
      ConfigError: it does not say what it should.
    """
    if not (text := environment.get(VARIABLE)):
        return None
    try:
        told = json.loads(text)
        addresses, task = tuple(told["cluster"]["worker"]), told["task"]
        index, kind = int(task["index"]), task["type"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{VARIABLE}={text}: wanted is {Place(0, ('HOST:PORT', '...')).config()}, for each worker with its index"
        ) from error
    if set(told["cluster"]) != {"worker"} or kind != "worker":
        raise ConfigError(f"{VARIABLE}: all processes are of type worker, the first one is the chief; not {kind}")
    if not all(isinstance(a, str) and a.rpartition(":")[2].isdecimal() for a in addresses):
        raise ConfigError(f"{VARIABLE}: addresses are HOST:PORT, not {', '.join(map(str, addresses))}")
    if not 0 <= index < len(addresses):
        raise ConfigError(f"{VARIABLE}: index {index}, but there are {len(addresses)} workers")
    return Place(index, addresses)


@functools.cache
def strategy() -> "tf.distribute.MultiWorkerMirroredStrategy | None":
    """The strategy of this process and its fellows; None where it has none. The first call must precede all TensorFlow.

    Raises:
      ConfigError: as `place_of`.
    """
    if keras.backend.backend() != "tensorflow" or (place := place_of()) is None or place.count == 1:
        return None
    import tensorflow as tf

    return tf.distribute.MultiWorkerMirroredStrategy()


def index() -> int:
    """Of this worker; 0 of the chief, and where there are no others."""
    return 0 if strategy() is None else place_of().index


def is_chief() -> bool:
    """Whether this process writes what stays."""
    return index() == 0


def shared(batches: "tf.data.Dataset", batch_size: int):
    """This worker's part of every batch, for `fit`; the batches themselves where there is one worker.

    All workers draw the same batches in the same order, so that they learn what one process learns. Of a batch that is
    smaller, the last replicas get what is left, or nothing.

    Args:
      batch_size: examples of a whole one, a multiple of the replicas.
    """
    import tensorflow as tf

    if (together := strategy()) is None:
        return batches
    share = batch_size // together.num_replicas_in_sync
    local = together.num_replicas_in_sync // place_of().count
    first = index() * local

    def cut(*batch):
        one = [tf.nest.map_structure(lambda x, k=k: x[k * share : (k + 1) * share], batch)
               for k in range(first, first + local)]  # fmt: skip
        parts = [tf.data.Dataset.from_tensors(part if len(batch) > 1 else part[0]) for part in one]
        return functools.reduce(lambda a, b: a.concatenate(b), parts)

    return together.distribute_datasets_from_function(lambda context: batches.flat_map(cut))


def wait() -> None:
    """Returns when all workers have called it."""
    if strategy() is not None:
        _meeting()()


@functools.cache
def _meeting():
    import tensorflow as tf

    def meet():
        return tf.distribute.get_replica_context().all_reduce("SUM", tf.constant(1.0))

    return tf.function(lambda: strategy().run(meet), autograph=False)


class Together(keras.callbacks.Callback):
    """Ends every epoch for all workers at once: what the chief wrote is there when another one reads it."""

    def on_epoch_end(self, epoch, logs=None):
        wait()
