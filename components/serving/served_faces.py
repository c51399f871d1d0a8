"""A pushed network for faces as its users meet it: the signatures `embed` and `verify` of a SavedModel."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from components.native_model import NativeError
from components.serving.served_codec import one_line
from components.serving.served_model import ServedModelError, opened

WANTED = {"embed": {"image_bytes"}, "verify": {"first_bytes", "second_bytes"}}


class Verified(NamedTuple):
    """What `verify` says of a pair: cosine of the embeddings, whether that is one person's, the threshold, the share of
    the validation's impostor pairs that it accepts, and how many of these there were. Of an aligned network also the
    aligned score, by which `same` is then decided, its threshold and the share that this accepts; else None."""

    cosine: float
    same: bool
    threshold: float
    false_accept_rate: float
    impostor_pairs: int
    aligned: float | None = None
    aligned_threshold: float | None = None
    aligned_false_accept_rate: float | None = None


class Embedded(NamedTuple):
    """What `embed` says of pictures: unit vectors float32 [N, D]; of an aligned network also "support" and "alignment",
    float32 [N, 4] (`models.faces.ida_serving`), with which cosines are aligned; else None."""

    embedding: np.ndarray
    support: np.ndarray | None = None
    alignment: np.ndarray | None = None


class ServedFaces:
    """Calls `embed` and `verify` with encoded pictures (PNG, JPEG or BMP bytes).

    Raises:
      ServedModelError: the folder holds no such model.
    """

    def __init__(self, path: str | os.PathLike):
        self.directory, self._model = opened(path)
        for name, wanted in WANTED.items():
            has = self._model.signatures
            if name not in has or not wanted <= set(has[name].inputs):
                raise ServedModelError(
                    f"{self.directory}: no network for faces: no signature '{name}' that takes "
                    f"{' and '.join(sorted(wanted))} (it has {', '.join(sorted(has)) or 'none'})"
                )

    def embed(self, batch: Sequence[bytes]) -> np.ndarray:
        """Unit vectors of pictures, float32 [N, D]. Raises ServedModelError: the model refused one."""
        return self.describe(batch).embedding

    def describe(self, batch: Sequence[bytes]) -> Embedded:
        """All that is said of pictures. Raises ServedModelError: the model refused one."""
        return embedded(self._call("embed", image_bytes=list(batch)))

    def verify(self, first: bytes, second: bytes) -> Verified:
        """Whether two pictures show one person. Raises ServedModelError: the model refused one."""
        return verified(self._call("verify", first_bytes=[first], second_bytes=[second]))

    def evaluate(self, records: Sequence[bytes]) -> dict[str, np.ndarray]:
        """What `serving_default` says of records. Raises ServedModelError."""
        return self._call("serving_default", examples=list(records))

    def _call(self, name: str, **inputs) -> dict[str, np.ndarray]:
        try:
            return self._model(name, **inputs)
        except NativeError as error:
            raise ServedModelError(one_line(error)) from error


def embedded(answer) -> Embedded:
    """The answer of `embed`, output name -> values of a batch."""
    names = [name for name in Embedded._fields if name == "embedding" or name in answer]
    return Embedded(**{name: np.asarray(answer[name], np.float32) for name in names})


def verified(answer) -> Verified:
    """The first answer of `verify`, output name -> values of a batch."""
    kinds = {"cosine": float, "same": bool, "threshold": float, "false_accept_rate": float, "impostor_pairs": int}
    kinds |= {name: float for name in Verified._fields if name.startswith("aligned") and name in answer}
    return Verified(**{name: kind(answer[name][0]) for name, kind in kinds.items()})
