"""A pushed dictionary as its users meet it: the signatures `encode`, `decode` and those of vectors of a SavedModel."""

import os

import numpy as np

from components.native_model import NativeError
from components.serving.served_codec import one_line
from components.serving.served_model import ServedModelError, opened

WANTED = frozenset({"encode", "encode_vectors", "decode", "decode_vectors"})


class ServedDictionary:
    """Calls the signatures of a dictionary.

    Raises:
      ServedModelError: the folder holds no dictionary.
    """

    def __init__(self, path: str | os.PathLike):
        self.directory, self._model = opened(path)
        if missing := WANTED - set(self._model.signatures):
            has = ", ".join(self._model.signatures) or "none"
            raise ServedModelError(f"{self.directory}: not a dictionary: no signature '{min(missing)}' (it has {has})")

    def ask(self, signature: str, **inputs) -> dict[str, np.ndarray]:
        """What a signature answers for one element: name -> that of the only row.

        Raises:
          ServedModelError: the model refused it.
        """
        try:
            answers = self._model(signature, **{name: [value] for name, value in inputs.items()})
        except NativeError as error:
            raise ServedModelError(one_line(error)) from error
        return {name: values[0] for name, values in answers.items()}
