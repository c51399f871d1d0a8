"""Models behind a server, over REST or gRPC: what they answer as codecs and as classifiers, and how they fail."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from models.contract.errors import KompaktError


class RemoteError(KompaktError, ValueError):
    """The server cannot be reached, or answered what is no answer; the message is one line."""

    status = 1


class Refused(RemoteError):
    """The server answered that it does not take the request."""

    status = 2


class Away(RemoteError):
    """No server answered, or it was too busy; another try may do.

    Attributes:
      after_s: seconds that the server asks to wait before it.
    """

    def __init__(self, message: str, after_s: float = 0.0):
        super().__init__(message)
        self.after_s = after_s


class RemoteModel(Protocol):
    """A served model: `RestModel` or `GrpcModel`, which see."""

    url: str

    def predict(self, signature: str, inputs: Mapping[str, Sequence]) -> dict[str, list]:
        """What a signature answers for a batch."""

    def signatures(self) -> dict[str, tuple[str, ...]]:
        """What each signature takes."""

    def loaded(self) -> list[int]:
        """The versions that can be asked."""


def open_model(url: str, patience_s: float | None = None) -> RemoteModel:
    """What is served at a URL, "http://HOST:8501/v1/models/NAME" or "grpc://HOST:8500/v1/models/NAME".

    Args:
      patience_s: seconds for which a server that is away or busy is asked again. [default: that of `patience`]

    Raises:
      UserError: no such URL.
    """
    options = {} if patience_s is None else {"patience_s": patience_s}
    if url.startswith("grpc://"):
        from pipeline.client.grpc_model import GrpcModel

        return GrpcModel(url, **options)
    from pipeline.client.rest import RestModel

    return RestModel(url, **options)


class RemoteCodec:
    """Calls `compress`, its variants, and `decompress` of a served model."""

    def __init__(self, model: RemoteModel):
        self._model = model
        self._known: dict[str, tuple[str, ...]] | None = None

    def compress(self, image_bytes: bytes, quality: int | None = None, refine: int = 0) -> bytes:
        """Codes a PNG, JPEG or BMP file's bytes to a stream; the options are those of `ServedCodec.compress`.

        Raises:
          RemoteError: also where the model has one rate only, or cannot search.
        """
        if quality is None and not refine:
            return self._call("compress", "bitstream_bytes", image_bytes=image_bytes)
        if refine and not self._has("compress_refined"):
            raise Refused(f"{self._model.url}: refines no latents (no signature 'compress_refined')")
        variable = self.is_variable()
        if quality is not None and not variable:
            raise Refused(f"{self._model.url}: a model of one rate, which takes no quality")
        if variable and quality is None:
            quality = 50
        wanted = {"quality": quality} if quality is not None else {}
        wanted |= {"passes": refine} if refine else {}
        name = "compress_refined" if refine else "compress_at"
        return self._call(name, "bitstream_bytes", image_bytes=image_bytes, **wanted)

    def decompress(self, bitstream_bytes: bytes, seed: int | None = None) -> bytes:
        """Decodes a stream to the bytes of a PNG file; `seed` as of `ServedCodec.decompress`. Raises RemoteError."""
        if seed is None:
            return self._call("decompress", "image_bytes", bitstream_bytes=bitstream_bytes)
        if not self._has("decompress_seeded"):
            raise Refused(f"{self._model.url}: takes no seed: all its pictures follow from their streams")
        return self._call("decompress_seeded", "image_bytes", bitstream_bytes=bitstream_bytes, seed=seed)

    def is_variable(self) -> bool:
        """Whether the model has rates to choose from. Raises RemoteError."""
        return self._has("compress_at")

    def _has(self, signature: str) -> bool:
        if self._known is None:
            self._known = self._model.signatures()
        return signature in self._known

    def _call(self, signature: str, result: str, **values: bytes | int) -> bytes:
        answer = self._model.predict(signature, {name: [value] for name, value in values.items()})
        # A model with a single output is answered without the output's name.
        found = answer.get(result, answer.get("", [None]))[0]
        if not isinstance(found, bytes):
            raise RemoteError(f"{self._model.url}: the answer is not one prediction of bytes")
        return found


class RemotePredictor:
    """Calls `predict` of a served model of classes, or `predict_streams` with streams in place of pictures."""

    def __init__(self, model: RemoteModel, streams: bool = False):
        self._model = model
        self._signature, self._argument = ("predict", "image_bytes")
        if streams:
            self._signature, self._argument = ("predict_streams", "bitstream_bytes")
        self._names: list[str] = []

    def takes(self) -> frozenset[str]:
        """Names of what the signature takes; nothing where the model has none. Raises RemoteError."""
        return frozenset(self._model.signatures().get(self._signature, ()))

    def best(self, batch: Sequence, count: int = 1) -> list[list[tuple[str, float]]]:
        """The likeliest classes of each picture, stream (bytes) or signal (millivolts at 300 Hz): (name, probability).

        The names come by the signature `predict_names`, once; of a model without it only the likeliest class has a
        name, and the others their numbers.

        Raises:
          RemoteError: the server's answer is none.
        """
        if not len(batch):
            return []
        given = {self._argument: batch} if isinstance(batch[0], bytes) else _signals(batch)
        answers = self._model.predict(self._signature, given)
        try:
            return self._named(answers, count)
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise RemoteError(f"{self._model.url}: the answer has no classes") from error

    def _named(self, answers: Mapping[str, list], count: int) -> list[list[tuple[str, float]]]:
        found = []
        for likeliest, name, p in zip(answers["class"], answers["class_name"], answers["probabilities"], strict=True):
            name = name.decode() if isinstance(name, bytes) else str(name)
            order = sorted(range(len(p)), key=lambda k: -p[k])[:count] if count > 1 else [int(likeliest)]
            names = self._all_names(len(p)) if count > 1 else []
            found.append([(name if k == int(likeliest) else names[k], float(p[k])) for k in order])
        return found

    def _all_names(self, classes: int) -> list[str]:
        if not self._names:
            self._names = [str(k) for k in range(classes)]
            if "predict_names" in self._model.signatures():
                answer = self._model.predict("predict_names", {"index": list(range(classes))})
                names = answer.get("class_name", answer.get("", ()))
                self._names = [name.decode() if isinstance(name, bytes) else str(name) for name in names]
        return self._names


def _signals(batch: Sequence) -> dict[str, Sequence]:
    """A padded batch; the model takes signals to whole microvolts, so no more digits are sent."""
    from components.serving.served_ecg import padded
    from models.records.ecg_units import RATE

    samples, length = padded(batch)
    rows = samples.astype(float).round(3).tolist()
    return {"samples": rows, "length": length.tolist(), "rate": [float(RATE)] * len(rows)}
