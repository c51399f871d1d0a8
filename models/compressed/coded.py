"""The weights of a network whose kernels have few distinct values."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np

from models.contract.errors import KompaktError


class ArchiveError(KompaktError, ValueError):
    """What should be an archive is none, or is damaged; the message is one line."""


class Coded(NamedTuple):
    """The weights of a network as an archive has them.

    Attributes:
      codebook: float32 [L]. symbols: int32 [m], of all numbers of all kernels. sizes: numbers of each kernel.
      rest: the other weights in their order, float32; each is what is left of it as float16, where it is `half`.
    """

    codebook: np.ndarray
    symbols: np.ndarray
    sizes: Sequence[int]
    rest: Sequence[np.ndarray]
    half: bool


def kernels_of(network: keras.Model) -> list[keras.Variable]:
    """The weights of a network that are quantised: its matrices and convolutions, in the order of `weights`."""
    return [w for w in network.weights if len(w.shape) >= 2]


def rest_of(network: keras.Model) -> list[keras.Variable]:
    """Its other weights of floating point: biases and normalisation. The seeds of dropout, integers, are none."""
    return [w for w in network.weights if len(w.shape) < 2 and "float" in str(w.dtype)]


def as_half(values: np.ndarray) -> np.ndarray:
    """Numbers rounded to float16, as float32; those out of its range become its largest ones."""
    largest = np.finfo(np.float16).max
    return np.clip(values, -largest, largest).astype(np.float16).astype(np.float32)


def weights_of(coded: Coded, network: keras.Model) -> list[np.ndarray]:
    """The values of `kernels_of` and then `rest_of` a network that has this form."""
    pieces = np.split(coded.codebook[coded.symbols], np.cumsum(coded.sizes)[:-1])
    shapes = [w.shape for w in kernels_of(network)]
    return [*(p.reshape(s) for p, s in zip(pieces, shapes, strict=True)), *coded.rest]


def fill(network: keras.Model, coded: Coded) -> None:
    """Gives a network the weights of an archive.

    Raises:
      ArchiveError: they are those of another network.
    """
    variables = [*kernels_of(network), *rest_of(network)]
    own = [int(np.prod(w.shape)) for w in kernels_of(network)], [tuple(w.shape) for w in rest_of(network)]
    if own != (list(coded.sizes), [r.shape for r in coded.rest]):
        raise ArchiveError("its weights are not those of the network that it describes")
    for variable, value in zip(variables, weights_of(coded, network), strict=True):
        variable.assign(value)
