"""What every pushed model that answers through the signature `predict` has in common."""

import abc
import json
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from components.native_model import NativeError, signatures_at
from components.serving.loaded_model import LoadedModel
from components.serving.served_codec import describe, newest_version, one_line
from models.contract.errors import KompaktError


class ServedModelError(KompaktError, ValueError):
    """No usable model at a path, or something that a model refused; the message is one line."""


def takes(path: str | os.PathLike, signature: str = "predict") -> frozenset[str]:
    """What a signature of a SavedModel takes, by name, read without loading the model; nothing where it has no such.

    Raises:
      ServedModelError: no model at the path, or a damaged one.
    """
    try:
        found = signatures_at(newest_version(path))
    except ValueError as error:
        raise ServedModelError(one_line(error)) from error
    return frozenset(found[signature].inputs if signature in found else ())


def opened(path: str | os.PathLike) -> tuple[pathlib.Path, LoadedModel]:
    """The folder of a pushed model, of several versions the newest, and the model. Raises ServedModelError: none."""
    try:
        directory = newest_version(path)
        return directory, LoadedModel(directory)
    except ValueError as error:
        raise ServedModelError(one_line(error)) from error


class ServedModel(abc.ABC):
    """Calls `predict`, or another signature, of a SavedModel, which says the probabilities of classes.

    Attributes:
      names: of the classes; empty if the model does not say them.

    Raises:
      ServedModelError: the folder holds no such model.
    """

    signature = "predict"
    wanted: frozenset[str] = frozenset()  # what a subclass feeds
    what = "model with the signature 'predict'"

    def __init__(self, path: str | os.PathLike):
        self.directory, self._model = opened(path)
        name = self.signature
        if name not in self._model.signatures:
            has = ", ".join(self._model.signatures) or "none"
            raise ServedModelError(f"{self.directory}: not a {self.what}: no signature '{name}' (it has {has})")
        inputs = self._model.signatures[name].inputs
        if not self.wanted <= set(inputs):
            raise ServedModelError(f"{self.directory}: not a {self.what}: '{name}' takes {', '.join(sorted(inputs))}")
        self.names = json.loads(describe(self.directory).get("config", {}).get("class_names") or "[]")

    def call(self, **inputs) -> np.ndarray:
        """The probabilities, float32 [N, K], for a batch of what the signature takes.

        Raises:
          ServedModelError: the model refused it.
        """
        try:
            return self._model(self.signature, **inputs)["probabilities"]
        except NativeError as error:
            raise ServedModelError(one_line(error)) from error

    @abc.abstractmethod
    def probabilities(self, batch: Sequence) -> np.ndarray:
        """What each of a batch shows, float32 [N, K]."""

    def best(self, batch: Sequence, count: int = 1) -> list[list[tuple[str, float]]]:
        """The likeliest classes of each of a batch: (name, probability), likeliest first. Raises ServedModelError."""
        if not len(batch):
            return []
        p = self.probabilities(batch)
        orders = np.argsort(-p, axis=1)[:, :count]
        names = self.names or [str(k) for k in range(p.shape[1])]
        return [[(names[k], float(row[k])) for k in order] for row, order in zip(p, orders, strict=True)]


class Asked:
    """Calls signatures of a SavedModel, one element at a time. Subclasses say which it must have, and what it then is.

    Raises:
      ServedModelError: the folder holds no such model.
    """

    wanted: frozenset[str] = frozenset()
    what = "model"

    def __init__(self, path: str | os.PathLike):
        self.directory, self._model = opened(path)
        if missing := self.wanted - set(self._model.signatures):
            has = ", ".join(self._model.signatures) or "none"
            raise ServedModelError(f"{self.directory}: not a {self.what}: no signature '{min(missing)}' (it has {has})")

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


class ServedGenerator(Asked):
    """Calls the signatures of a model that draws pictures of nothing."""

    wanted = frozenset({"sample"})
    what = "generative model"


class ServedSceneCodec(Asked):
    """Calls the signatures of a codec of scenes with label maps."""

    wanted = frozenset({"compress_selective", "decompress_maps"})
    what = "codec of scenes"
