"""The signatures of a SavedModel on this machine, called in the quickest way that there is."""

import functools
import os
import pathlib

import numpy as np

from components import process_memory
from components.native_model import LibraryMissing, NativeError, load_part, signatures_at


class LoadedModel:
    """Calls signatures through TensorFlow's C library, or through Python's loader where the library is not found.

    Only what is called is loaded, at its first call.

    Attributes:
      signatures: name -> `native_model.Signature`.

    Raises:
      NativeError: no model at the folder, or a damaged one.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = pathlib.Path(directory)
        self.signatures = signatures_at(self.directory)
        self._loaded = functools.cache(self._load)

    def __call__(self, name: str, **values) -> dict[str, np.ndarray]:
        """What a signature answers: see `NativeModel.__call__`."""
        return self._loaded(name)(name, **values)

    def _load(self, name: str):
        try:
            model = load_part(self.directory, name)
        except LibraryMissing:
            return _python_model(self.directory)
        process_memory.give_back()
        return model


@functools.lru_cache(1)
def _python_model(directory: pathlib.Path):
    """What `NativeModel` does, by `tf.saved_model.load`."""
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(os.fspath(directory))
    except Exception as error:  # what a damaged file raises is any kind of error
        raise NativeError(str(error)) from error

    def call(name, **values):
        signature = loaded.signatures[name]
        wanted = signature.structured_input_signature[1]
        try:
            answers = signature(**{key: tf.constant(value, wanted[key].dtype) for key, value in values.items()})
        except tf.errors.OpError as error:
            raise NativeError(error.message) from error
        return {key: value.numpy() for key, value in answers.items()}

    return call
