"""The network for faces that a command uses, pushed or behind a server, and the pictures it is shown."""

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Protocol

import click
import numpy as np

from components.kinds.pictures.extensions import EXTENSIONS
from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH, shown
from pipeline.client.answers import tell
from pipeline.client.codecs import must_be_one, server_options
from pipeline.client.dictionaries import only
from pipeline.client.files import gather, tell_left_out

_BATCH = 32


class Network(Protocol):
    """What embeds and verifies: `components.serving.served_faces.ServedFaces`, or a server's."""

    def embed(self, batch: Sequence[bytes]) -> np.ndarray:
        """Unit vectors of pictures, float32 [N, D]."""

    def verify(self, first: bytes, second: bytes):
        """A `Verified`."""


def face_options(command: Callable) -> Callable:
    """The options that say which network is used."""
    for option in (
        server_options,
        click.option("--model", type=PATH, help="A pushed network for faces, or a folder of its versions."),
    ):
        command = option(command)
    return command


def open_network(model: pathlib.Path | None, url: str | None, wait: float, parallel: int = 1) -> Network:
    """The network that the options name.

    Raises:
      KompaktError: there is none, or not one place of it was said.
    """
    must_be_one([model] if model else [], url, parallel)
    if not (model or url):
        raise UserError("give --model DIR or --url http://HOST:PORT/v1/models/NAME")
    from components.serving.served_faces import WANTED, ServedFaces

    if not url:
        return ServedFaces(model)
    from pipeline.client.remote import open_model

    remote = open_model(url, wait)
    has = remote.signatures()
    for name, wanted in WANTED.items():
        if not wanted <= set(has.get(name, ())):
            raise UserError(
                f"{url}: no network for faces: no signature '{name}' that takes {' and '.join(sorted(wanted))}"
            )
    return RemoteFaces(remote)


class RemoteFaces:
    """Calls `embed` and `verify` of a served model (`pipeline.client.remote.RemoteModel`)."""

    def __init__(self, model):
        self._model = model

    def embed(self, batch: Sequence[bytes]) -> np.ndarray:
        """Unit vectors of pictures, float32 [N, D]. Raises RemoteError."""
        from pipeline.client.remote import RemoteError

        answer = self._model.predict("embed", {"image_bytes": list(batch)})
        try:
            found = np.asarray(only(answer, "embedding"), np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise RemoteError(f"{self._model.url}: the answer has no embeddings") from error
        if found.ndim != 2 or len(found) != len(batch):
            raise RemoteError(f"{self._model.url}: the answer has not an embedding for each picture")
        return found

    def verify(self, first: bytes, second: bytes):
        """Whether two pictures show one person, a `Verified`. Raises RemoteError."""
        from components.serving.served_faces import verified
        from pipeline.client.remote import RemoteError

        answer = self._model.predict("verify", {"first_bytes": [first], "second_bytes": [second]})
        try:
            return verified(answer)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise RemoteError(f"{self._model.url}: the answer is not that of 'verify'") from error


def picture(path: pathlib.Path) -> bytes:
    """A picture file as models take it: upright, in sRGB, PNG, JPEG or BMP bytes.

    Raises:
      OSError: it cannot be read. PictureError: it is no picture, or a damaged one.
    """
    from components.kinds.pictures.pictures import normalize

    return normalize(path.read_bytes()).encoded


def given_picture(path: pathlib.Path) -> bytes:
    """`picture`, of a path that a user gave. Raises UserError for whatever is wrong."""
    try:
        return picture(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{shown(path)}: {reason}") from error


class Gallery:
    """Persons whom a network can recognise: a folder a person, or pictures named as the person.

    Attributes:
      names: of the persons, sorted. whole: whether every picture could be read; the others were told.

    Raises:
      UserError: no such folder, or not one picture in it that can be read.
      RemoteError: a server does not answer.
    """

    def __init__(self, folder: pathlib.Path, network: Network):
        if not folder.is_dir():
            raise UserError(f"--gallery {shown(folder)}: no such folder")
        files, left_out = gather([folder], EXTENSIONS)
        tell_left_out(left_out)
        self.whole, persons, encoded = True, [], []
        for file in files:
            try:
                encoded.append(picture(file.path))
                persons.append(file.place.parts[0] if len(file.place.parts) > 1 else file.place.stem)
            except (OSError, ValueError) as error:
                self.whole = False
                tell(file.path, error)
        if not encoded:
            raise UserError(f"--gallery {shown(folder)}: no picture in it can be read")
        self._network, self.names = network, sorted(set(persons))
        self._persons = np.array([self.names.index(person) for person in persons])
        parts = [network.embed(encoded[n : n + _BATCH]) for n in range(0, len(encoded), _BATCH)]
        self._embeddings = np.concatenate(parts)
        self.threshold = network.verify(encoded[0], encoded[0]).threshold

    def best(self, batch: Sequence[bytes], count: int) -> list[list[tuple[str, float]]]:
        """The nearest persons of each picture, nearest first: (name, cosine to the nearest picture of the person)."""
        if not len(batch):
            return []
        cosines = self._network.embed(batch) @ self._embeddings.T
        by_person = np.full((len(cosines), len(self.names)), -np.inf, np.float32)
        for place, person in enumerate(self._persons):
            by_person[:, person] = np.maximum(by_person[:, person], cosines[:, place])
        orders = np.argsort(-by_person, axis=1, kind="stable")[:, :count]
        return [[(os.fspath(self.names[k]), float(row[k])) for k in order]
                for row, order in zip(by_person, orders, strict=True)]  # fmt: skip
