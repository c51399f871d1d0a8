"""The dtype policy under which a model is built, taken from its configuration and put back afterwards."""

import contextlib

import keras

from models.contract.recipe import Config


def resolved_precision(config: Config) -> str:
    """The Keras dtype policy: "auto" is mixed_float16 where the backend sees a GPU, else float32."""
    if config.precision != "auto":
        return config.precision
    # Asked for GPUs by name, JAX raises where there are none.
    gpus = [name for name in keras.distribution.list_devices() if name.startswith("gpu")]
    return "mixed_float16" if gpus else "float32"


@contextlib.contextmanager
def policy_of(config: Config):
    """Layers made within have the configuration's policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(resolved_precision(config))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
