"""The dictionary that a command uses, pushed or behind a server, and the files that hold weights."""

import io
import pathlib
from collections.abc import Callable

import click
import numpy as np

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH
from pipeline.client.codecs import must_be_one, server_options

SUFFIX = ".npz"


def dictionary_options(command: Callable) -> Callable:
    """The options that say which dictionary is used."""
    for option in (
        server_options,
        click.option("--model", type=PATH, help="A pushed dictionary, or a folder of its versions."),
    ):
        command = option(command)
    return command


def open_dictionary(model: pathlib.Path | None, url: str | None, wait: float, parallel: int) -> Callable[..., dict]:
    """What asks a signature for one element: (signature, **inputs) -> {output: its row}.

    Raises:
      KompaktError: there is no dictionary, or not one place of it was said.
    """
    from components.serving.served_dictionary import ServedDictionary

    return open_asked(ServedDictionary, model, url, wait, parallel)


def open_asked(kind: type, model: pathlib.Path | None, url: str | None, wait: float, parallel: int) -> Callable:
    """What asks a model of a `kind`, a subclass of `components.serving.served_model.Asked`, as `open_dictionary` says.

    Raises:
      KompaktError: there is no such model, or not one place of it was said.
    """
    must_be_one([model] if model else [], url, parallel)
    if not (model or url):
        raise UserError("give --model DIR or --url http://HOST:PORT/v1/models/NAME")
    if not url:
        return kind(model).ask
    from pipeline.client.remote import RemoteError, open_model

    remote = open_model(url, wait)
    if missing := kind.wanted - set(remote.signatures()):
        raise UserError(f"{url}: not a {kind.what}: no signature '{min(missing)}'")

    def ask(signature: str, **inputs) -> dict:
        rows = {name: [v if isinstance(v, bytes) else np.asarray(v).tolist()] for name, v in inputs.items()}
        answers = remote.predict(signature, rows)
        try:
            return {name: values[0] for name, values in answers.items()}
        except (AttributeError, IndexError, TypeError) as error:
            raise RemoteError(f"{url}: the answer is not one prediction") from error

    return ask


def only(answer: dict, name: str):
    """An answer's output; a server tells that of a signature with one output without its name."""
    return answer[name] if name in answer else answer[""]


def vectors_of(content: bytes) -> np.ndarray:
    """The vectors of a `.npy` file's bytes, float32 [N, d]; of one vector [1, d].

    Raises:
      ValueError: it holds none.
    """
    values = _loaded(content)
    if values.ndim not in (1, 2) or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise ValueError(f"wanted are finite numbers [d] or [N, d], not {values.dtype} {list(values.shape)}")
    return np.atleast_2d(values.astype("float32"))


def _loaded(content: bytes) -> np.ndarray:
    try:
        return np.load(io.BytesIO(content), allow_pickle=False)
    except (EOFError, OSError, ValueError) as error:
        raise ValueError(f"not a file of NumPy: {error}") from error


def packed(answer: dict) -> bytes:
    """The bytes of a `.npz` file with what `encode` answered."""
    file = io.BytesIO()
    np.savez_compressed(file, **{name: np.asarray(value, "float32") for name, value in answer.items()})
    return file.getvalue()


def weights_of(content: bytes) -> np.ndarray:
    """The weights of a `.npz` file's bytes, float32 [N, K].

    Raises:
      ValueError: it is none that `encode` writes.
    """
    found = _loaded(content)
    if isinstance(found, np.ndarray) or "weights" not in found.files:
        raise ValueError("no weights here: wanted is a file that `encode` has written")
    return found["weights"]


def array(values) -> bytes:
    """The bytes of a `.npy` file, float32."""
    file = io.BytesIO()
    np.save(file, np.asarray(values, "float32"))
    return file.getvalue()
