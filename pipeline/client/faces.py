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
SCORES = COSINE, ALIGNED = "cosine", "aligned"


class Network(Protocol):
    """What embeds and verifies: `components.serving.served_faces.ServedFaces`, or a server's."""

    def describe(self, batch: Sequence[bytes]):
        """What is said of pictures, an `Embedded`."""

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

    def describe(self, batch: Sequence[bytes]):
        """What is said of pictures, an `Embedded`. Raises RemoteError."""
        from components.serving.served_faces import embedded
        from pipeline.client.remote import RemoteError

        answer = self._model.predict("embed", {"image_bytes": list(batch)})
        try:
            found = embedded(answer | {"embedding": only(answer, "embedding")})
        except (KeyError, TypeError, ValueError) as error:
            raise RemoteError(f"{self._model.url}: the answer has no embeddings") from error
        if any(part is not None and (part.ndim != 2 or len(part) != len(batch)) for part in found):
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

    Args:
      score: one of SCORES, by which persons are ranked; None is "aligned" where the network has it, as in `verify`.

    Attributes:
      names: of the persons, sorted. whole: whether every picture could be read; the others were told.
      score: by which persons are ranked. threshold: of that score, below which a picture shows nobody of these.

    Raises:
      UserError: no such folder, not one picture in it that can be read, or the network has no such score.
      RemoteError: a server does not answer.
    """

    def __init__(self, folder: pathlib.Path, network: Network, score: str | None = None):
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
        found = [network.describe(encoded[n : n + _BATCH]) for n in range(0, len(encoded), _BATCH)]
        self._embeddings = np.concatenate([part.embedding for part in found])
        is_aligned = found[0].support is not None and found[0].alignment is not None
        if score == ALIGNED and not is_aligned:
            raise UserError(f"--score {ALIGNED}: this network's 'embed' gives nothing to align scores by")
        self.score = score or (ALIGNED if is_aligned else COSINE)
        if self.score == ALIGNED:
            self._support = np.concatenate([part.support for part in found])
        decision = network.verify(encoded[0], encoded[0])
        self.threshold = decision.aligned_threshold if self.score == ALIGNED else decision.threshold

    def best(self, batch: Sequence[bytes], count: int) -> list[list[tuple[str, float]]]:
        """The nearest persons of each picture, nearest first: (name, score with the nearest picture of the person)."""
        if not len(batch):
            return []
        scores = self._scores(self._network.describe(batch))
        by_person = np.full((len(scores), len(self.names)), -np.inf, np.float32)
        for place, person in enumerate(self._persons):
            by_person[:, person] = np.maximum(by_person[:, person], scores[:, place])
        orders = np.argsort(-by_person, axis=1, kind="stable")[:, :count]
        return [[(os.fspath(self.names[k]), float(row[k])) for k in order]
                for row, order in zip(by_person, orders, strict=True)]  # fmt: skip

    def _scores(self, probes) -> np.ndarray:
        """Of each of `Embedded` pictures with each of the gallery's."""
        cosines = probes.embedding @ self._embeddings.T
        if self.score == COSINE:
            return cosines
        from components.evaluation.verification import alignment_of
        from models.faces.alignment import aligned

        first, second = (alignment_of(support, probes.alignment[0]) for support in (probes.support, self._support))
        return aligned(cosines, (first.mean[:, None], first.spread[:, None]), (second.mean, second.spread), first.form)
