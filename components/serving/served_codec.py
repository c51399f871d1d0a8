"""A pushed codec as its users meet it: the signatures of a SavedModel, and nothing else of what made it."""

import io
import itertools
import json
import os
import pathlib
import re

import numpy as np
from PIL import Image

from components.evaluation import classic, rate_distortion
from components.native_model import NativeError
from components.serving.loaded_model import LoadedModel
from models.contract.errors import KompaktError
from models.publishing import pushed


class ServedCodecError(KompaktError, ValueError):
    """No usable model at a path, or a picture or stream that a model refused; the message is one line."""


def newest_version(path: str | os.PathLike) -> pathlib.Path:
    """The folder of a SavedModel: `path` itself, or its subfolder with the highest number as its name.

    Raises:
      ServedCodecError: neither holds a saved_model.pb.
    """
    path = pathlib.Path(path)
    if (path / "saved_model.pb").is_file():
        return path
    if not (found := pushed.versions(path)):
        raise ServedCodecError(f"{path}: no model here; give a pushed model's folder, or a folder of its versions")
    return found[max(found)]


def describe(directory: str | os.PathLike) -> dict:
    """What the exporter wrote beside the model (`models.publishing.pushed`); empty if there is nothing readable."""
    try:
        text = (pathlib.Path(directory) / "assets.extra" / "kompakt.json").read_text(encoding="utf-8")
        return json.loads(text)
    except (OSError, ValueError):
        return {}


def is_variable(about: dict) -> bool:
    """Whether a model that `describe` describes has rate points to choose from."""
    return about.get("config", {}).get("rates", 1) > 1


def png(picture: np.ndarray) -> bytes:
    """Codes uint8 [H, W, 3] as a PNG file, quickly rather than small."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG", compress_level=1)
    return file.getvalue()


def record_of(picture: np.ndarray) -> bytes:
    """The record of uint8 [H, W, 3], as `serving_default` takes it."""
    from models.records import pictures as picture_records

    (height, width, channels), encoded = picture.shape, png(picture)
    return picture_records.image_example(
        encoded, key="picture", format_name="png", height=height, width=width, channels=channels,
        size_bytes=len(encoded),
    ).SerializeToString()  # fmt: skip


class ServedCodec:
    """Calls `compress`, its variants, `decompress` and `serving_default` of a SavedModel.

    Raises:
      ServedCodecError: the folder holds no codec.
    """

    def __init__(self, path: str | os.PathLike):
        self.directory = newest_version(path)
        self.description = describe(self.directory)
        try:
            self._model = LoadedModel(self.directory)
        except NativeError as error:
            raise ServedCodecError(f"{self.directory}: cannot be loaded: {one_line(error)}") from error
        if not {"compress", "decompress"} & set(self._model.signatures):
            raise ServedCodecError(f"{self.directory}: not a codec: {self._has('compress')}")
        if any("frames" in (*found.inputs, *found.outputs) for found in self._model.signatures.values()):
            raise ServedCodecError(f"{self.directory}: codes clips; give clips or folders of frames")

    def _has(self, wanted: str) -> str:
        return f"no signature '{wanted}' (it has {', '.join(self._model.signatures) or 'none'})"

    def _call(self, signature: str, **values: bytes | int) -> dict:
        """What a signature gives for one element: name -> that of the only row."""
        if signature not in self._model.signatures:
            raise ServedCodecError(f"{self.directory}: {self._has(signature)}")
        try:
            answers = self._model(signature, **{name: [value] for name, value in values.items()})
        except NativeError as error:
            raise ServedCodecError(one_line(error)) from error
        return {name: values[0] for name, values in answers.items()}

    def compress(self, image_bytes: bytes, quality: int | None = None, refine: int = 0) -> bytes:
        """Codes a PNG, JPEG or BMP file's bytes to a stream.

        Args:
          image_bytes: the file.
          quality: 0 (small files) to 100 (good pictures), of a variable-rate model only; None: its default.
          refine: passes that search for better latents (`models.codecs.serving.refinement`), 0 for none.

        Raises:
          ServedCodecError: the model refused it, has one rate only, or cannot search.
        """
        variable = "compress_at" in self._model.signatures
        if quality is not None and not variable:
            raise ServedCodecError(f"{self.directory}: a model of one rate, which takes no quality")
        if refine and "compress_refined" not in self._model.signatures:
            raise ServedCodecError(f"{self.directory}: refines no latents (no signature 'compress_refined')")
        if refine and variable and quality is None:
            quality = 50
        wanted = {"quality": quality} if quality is not None else {}
        wanted |= {"passes": refine} if refine else {}
        name = "compress_refined" if refine else "compress_at" if wanted else "compress"
        return self._call(name, image_bytes=image_bytes, **wanted)["bitstream_bytes"]

    def decompress(self, bitstream_bytes: bytes, seed: int | None = None) -> bytes:
        """Decodes a stream to the bytes of a PNG file.

        Args:
          bitstream_bytes: the stream.
          seed: of what a generative model draws besides, below 2^63; None: the stream's own.

        Raises:
          ServedCodecError: the model refused it, or draws nothing.
        """
        if seed is None:
            return self._call("decompress", bitstream_bytes=bitstream_bytes)["image_bytes"]
        if "decompress_seeded" not in self._model.signatures:
            raise ServedCodecError(f"{self.directory}: takes no seed: all its pictures follow from their streams")
        return self._call("decompress_seeded", bitstream_bytes=bitstream_bytes, seed=seed)["image_bytes"]

    def numbers(self, picture: np.ndarray) -> dict[str, float]:
        """What the model measures of uint8 [H, W, 3], by the names of its metrics; no vectors that it gives beside."""
        outputs = self._call("serving_default", examples=record_of(picture))
        return {name: float(value.item()) for name, value in outputs.items() if np.size(value) == 1}

    def estimated_bpp(self, picture: np.ndarray) -> float:
        """What the model's own probabilities promise for uint8 [H, W, 3], in bits per pixel."""
        return self.numbers(picture)["estimated_bpp"]

    def measure(
        self, picture: np.ndarray, quality: int | None = None, refine: int = 0
    ) -> tuple[rate_distortion.Point, np.ndarray]:
        """Codes and decodes uint8 [H, W, 3] as `compress`; returns the point it reached and the decoded picture."""
        stream = self.compress(png(picture), quality, refine)
        decoded = classic.decode(self.decompress(stream))
        return rate_distortion.compare(picture, decoded, len(stream)), decoded


def one_line(error: BaseException | str) -> str:
    """The sentence of an error, or of its text, that a person needs: TensorFlow wraps it in the graph's own story."""
    text = getattr(error, "message", None) or str(error)
    if "assertion failed: " in text:
        # What `tf.debugging.Assert` was given, each in brackets; TensorFlow's own checks add the condition behind it.
        parts = re.findall(r"\[([^\[\]]*)\]", text.split("assertion failed: ", 1)[1].split("[[", 1)[0])
        told = list(itertools.takewhile(lambda part: not part.startswith("Condition "), parts))
        if told:
            return " ".join(" ".join(told).replace("\\'", "'").split())
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    story = ("Graph execution error", "Detected at node", "<stack traces", "File ", "[[", "defined at")
    told = [line for line in lines if not line.startswith(story)]
    return re.sub(r"^\{\{.*?\}\}\s*", "", (told or lines or [type(error).__name__])[0])
