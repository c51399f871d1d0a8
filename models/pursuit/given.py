"""Dictionaries that a user brings: `.npy` files with an atom a row."""

import os

import numpy as np

from models.contract.recipe import ConfigError
from models.pursuit.atoms import normalised


def read(path: str) -> np.ndarray:
    """The atoms of a file, each of norm 1, float64 [K, d].

    Raises:
      ConfigError: no such file, or no matrix of finite numbers whose rows are not zero.
    """
    if not os.path.isfile(path):
        raise ConfigError(f"dictionary={path}: no such file; wanted is a .npy file with an atom a row")
    try:
        return normalised(np.load(path, allow_pickle=False))[0]
    except (ValueError, TypeError, EOFError, OSError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"dictionary={path}: not a .npy file with an atom a row ({said})") from error
