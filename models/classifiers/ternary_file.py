"""The weights of a classifier with ternary matrices as a small file: four values of -1, 0 and 1 in a byte."""

import os
import pathlib

import keras
import numpy as np

from models.contract.recipe import ConfigError, Recipe
from models.files import replacing
from models.layers.ternary import TernaryMatrix

FILE = "ternary.npz"


def write(model, config, directory: str | os.PathLike) -> None:
    """Writes FILE into a folder if `config.budget` asks for ternary matrices.

    It holds the weights in the order of the network's `weights`: w0, w1, ... as float32, and of a ternary matrix
    t0, ... its values as `pack` has them, with its shape as s0, ...

    Args:
      model: a `models.classifiers.classifier.Classifier` in folded form.
    """
    if not config.budget:
        return
    matrices = {id(layer.kernel) for layer in model.network._flatten_layers() if isinstance(layer, TernaryMatrix)}
    arrays = {}
    for n, weight in enumerate(model.network.weights):
        values = np.array(weight)
        if id(weight) in matrices:
            arrays |= {f"t{n}": pack(values), f"s{n}": np.array(values.shape, np.int32)}
        else:
            arrays[f"w{n}"] = values
    with replacing(pathlib.Path(directory, FILE)) as part, open(part, "wb") as file:
        np.savez(file, **arrays)


def read(path: str | os.PathLike, recipe: Recipe, config) -> keras.Model:
    """The classifier whose weights a FILE holds, of a recipe and a configuration as the model's `kompakt.json` says.

    Raises:
      ConfigError: the file is of another network, or damaged.
    """
    model = recipe.build(config)
    try:
        with np.load(path, allow_pickle=False) as file:
            count = sum(name[0] in "tw" for name in file.files)
            weights = [
                file[f"w{n}"] if f"w{n}" in file else unpack(file[f"t{n}"], tuple(file[f"s{n}"])) for n in range(count)
            ]
        model.network.set_weights(weights)
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError(f"{path}: no ternary weights of this network: {error}") from error
    return model


def pack(values: np.ndarray) -> np.ndarray:
    """Values of -1, 0 and 1 as uint8 [ceil(N / 4)]: two bits each, the value plus one, the first in the lowest bits.

    Raises:
      ValueError: there is another value.
    """
    flat = np.asarray(values).reshape(-1)
    if not np.isin(flat, (-1, 0, 1)).all():
        raise ValueError("a ternary matrix holds -1, 0 and 1 alone")
    codes = np.zeros(-(-flat.size // 4) * 4, np.uint8)
    codes[: flat.size] = flat + 1
    return (codes.reshape(-1, 4) << np.array([0, 2, 4, 6], np.uint8)).sum(1).astype(np.uint8)


def unpack(packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `pack`: float32 of a shape.

    Raises:
      ValueError: not as many values, or bits that stand for none.
    """
    codes = (packed[:, None] >> np.array([0, 2, 4, 6], np.uint8)) & 3
    size = int(np.prod(shape))
    if -(-size // 4) != len(packed) or (codes > 2).any():
        raise ValueError(f"{len(packed)} bytes do not hold {size} ternary values")
    return codes.reshape(-1)[:size].reshape(shape).astype(np.float32) - 1


def size_bytes(network: keras.Model) -> dict[str, int]:
    """Bytes of all weights: "ternary" with two bits for each value of a ternary matrix, and "float32"."""
    matrices = {id(layer.kernel) for layer in network._flatten_layers() if isinstance(layer, TernaryMatrix)}
    sizes = [(np.prod(w.shape, dtype=int), id(w) in matrices) for w in network.weights]
    packed = sum(-(-int(size) // 4) if is_ternary else 4 * int(size) for size, is_ternary in sizes)
    return {"ternary": packed, "float32": 4 * int(sum(size for size, _ in sizes))}
