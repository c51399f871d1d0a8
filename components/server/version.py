"""One loaded version of a model: loaded, warmed, used, and closed when its last user has gone."""

import contextlib
import pathlib
import threading
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from components import process_memory
from components.native_model import LibraryMissing, NativeError, NativeModel
from components.server.errors import RequestError, invalid
from components.serving.loaded_model import LoadedModel
from components.serving.served_codec import one_line

_WARMUP = "assets.extra/tf_serving_warmup_requests"
_KINDS = {"f": "iuf", "i": "iu", "u": "iu", "b": "b", "O": "OSU"}  # kind of a dtype -> kinds of what is taken for it


class Version:
    """A version of a model in memory.

    Attributes:
      number: its version. signatures: name -> SignatureDef.

    Raises:
      NativeError: no model there, or one that cannot be loaded.
      RequestError: a warm-up request that the model refuses.
    """

    def __init__(self, number: int, directory: pathlib.Path):
        self.number, self.directory = number, directory
        self.signatures = _signatures(directory)
        try:
            self._model = NativeModel(directory)
        except LibraryMissing:
            self._model = LoadedModel(directory)
        self._users, self._is_retired, self._lock = 0, False, threading.Lock()
        for request in warmup_requests(directory):
            inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
            self.call(request.model_spec.signature_name, inputs)
        process_memory.give_back()

    def call(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What a signature answers.

        Raises:
          RequestError: no such signature, not its inputs, or the model refused them.
        """
        self.check(name, inputs)
        try:
            return self._model(name, **inputs)
        except (NativeError, TypeError, ValueError) as error:
            raise invalid(one_line(error)) from error

    def signature(self, name: str) -> meta_graph_pb2.SignatureDef:
        """A signature by name. Raises RequestError."""
        if name not in self.signatures:
            raise invalid(f"no signature '{name}'; there are: {', '.join(self.signatures)}")
        return self.signatures[name]

    def check(self, name: str, inputs: Mapping[str, np.ndarray]) -> None:
        """Raises RequestError for what the graph would not refuse by itself: names, dtypes, ranks, sizes of batches."""
        wanted = self.signature(name).inputs
        if missing := sorted(set(wanted) - set(inputs)):
            raise invalid(f"missing inputs of '{name}': {', '.join(missing)}")
        if unknown := sorted(set(inputs) - set(wanted)):
            raise invalid(f"'{name}' has no inputs {', '.join(unknown)}; it takes {', '.join(sorted(wanted))}")
        for key, value in inputs.items():
            dtype = tf.as_dtype(wanted[key].dtype)
            if value.dtype.kind not in _KINDS.get(np.dtype(dtype.as_numpy_dtype).kind, ""):
                raise invalid(f"input '{key}' of '{name}' wants {dtype.name}, not {_told(value)}")
            if dtype.is_integer and value.size and not dtype.min <= value.min() <= value.max() <= dtype.max:
                raise invalid(f"input '{key}' of '{name}' has numbers beyond {dtype.name}")
            shape = tf.TensorShape(wanted[key].tensor_shape)
            if not shape.is_compatible_with(value.shape):
                raise invalid(f"input '{key}' of '{name}' wants the shape {shape}, not {list(value.shape)}")
        if len({value.shape[:1] for value in inputs.values()}) > 1:
            sizes = ", ".join(f"{key} {value.shape[0]}" for key, value in sorted(inputs.items()))
            raise invalid(f"inputs of '{name}' have different numbers of elements: {sizes}")

    @contextlib.contextmanager
    def held(self) -> Iterator["Version"]:
        """Keeps the version in memory. Raises RequestError: it is on its way out."""
        with self._lock:
            if self._is_retired:
                raise RequestError("UNAVAILABLE", f"version {self.number} is being unloaded")
            self._users += 1
        try:
            yield self
        finally:
            with self._lock:
                self._users -= 1
            self._close_if_unused()

    def retire(self) -> None:
        """Takes no more users, and closes when the last has gone."""
        with self._lock:
            self._is_retired = True
        self._close_if_unused()

    @property
    def is_closed(self) -> bool:
        """Whether it has left the memory."""
        return self._model is None

    def _close_if_unused(self) -> None:
        with self._lock:
            if not self._is_retired or self._users or self._model is None:
                return
            model, self._model = self._model, None
        if isinstance(model, NativeModel):
            model.close()
        process_memory.give_back()


def warmup_requests(directory: pathlib.Path) -> Iterator:
    """The PredictRequests that lie beside a model. Raises NativeError: they are damaged."""
    path = directory / _WARMUP
    if not path.is_file():
        return
    try:
        for content in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(content)
            if log.HasField("predict_log"):
                yield log.predict_log.request
    except (tf.errors.OpError, message.DecodeError) as error:
        raise NativeError(f"{path}: damaged") from error


def _signatures(directory: pathlib.Path) -> dict[str, meta_graph_pb2.SignatureDef]:
    """The signatures that a model names, without what the loader itself calls. Raises NativeError."""
    path = directory / "saved_model.pb"
    try:
        saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
        found = saved.meta_graphs[0].signature_def
    except Exception as error:  # the file's, the parser's
        raise NativeError(f"{path}: damaged, or no SavedModel") from error
    kept = {}
    for name in sorted(found):
        if not name.startswith("__"):
            kept[name] = meta_graph_pb2.SignatureDef()
            kept[name].CopyFrom(found[name])  # not a part of the message: that would hold the graph
    return kept


def _told(value: np.ndarray) -> str:
    return "text" if value.dtype.kind in "OSU" else value.dtype.name
