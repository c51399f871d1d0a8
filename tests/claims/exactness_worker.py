"""A process that writes or reads streams in one of the ways of `exactness`, named by JSON on its standard input.

{"model": DIR, "way": {"threads", "batch", "mode", "noise", "refine", "weights"}, "write": [PICTURE, ...] or "read":
[STREAM, ...], "to": [FILE, ...]}. Prints a JSON list: for each file, null or why it was refused. Asked to "probe": for
each library, a digest of what it computes.
"""

import hashlib
import json
import math
import pathlib
import sys
import tempfile

import numpy as np
import tensorflow as tf

from components.native_model import NativeError
from components.serving.loaded_model import LoadedModel


def probe() -> list[str]:
    """Digests, each behind a library's name: matrix products, exponentials, convolutions and error functions."""
    rng = np.random.default_rng(0)
    matrix, line = rng.normal(size=(300, 300)), np.linspace(-5, 5, 10_001)
    picture, kernel = (rng.normal(size=shape).astype("float32") for shape in ((1, 40, 40, 64), (5, 5, 64, 64)))
    found = {
        "OpenBLAS": matrix @ matrix, "NumPy": np.exp(line), "oneDNN": tf.nn.conv2d(picture, kernel, 2, "SAME").numpy(),
        "the C library": np.array([math.erfc(x) for x in line]),
    }  # fmt: skip
    return [f"{name} {hashlib.sha256(values.tobytes()).hexdigest()}" for name, values in found.items()]


def noisy(function, noise: float):
    """The function with relative Gaussian noise on what it gives."""

    def call(*args, **kwargs):
        value = function(*args, **kwargs)
        return value * (1 + noise * tf.random.normal(tf.shape(value), dtype=value.dtype))

    return call


def served(directory: str, batch: int, refine: int):
    """`compress` and `decompress` of the SavedModel, lists of bytes to lists of bytes, so many at a time.

    Latents are refined in so many passes where the model can.
    """
    signatures = tf.saved_model.load(directory).signatures
    refine = refine if "compress_refined" in signatures else 0
    wanted = {"passes": refine, "quality": 50}
    known = signatures["compress_refined"].structured_input_signature[1] if refine else {}
    wanted = {name: tf.fill([batch], value) for name, value in wanted.items() if name in known}

    def caller(name: str, argument: str, answer: str, beside: dict[str, tf.Tensor]):
        def call(values: list[bytes]) -> list[bytes]:
            parts = [values[i : i + batch] for i in range(0, len(values), batch)]
            # A batch is always full: what is missing repeats the first element.
            whole = [part + part[:1] * (batch - len(part)) for part in parts]
            found = [signatures[name](**{argument: tf.constant(part)}, **beside)[answer] for part in whole]
            answers = [values.numpy().tolist() for values in found]
            return [a for part, got in zip(parts, answers, strict=True) for a in got[: len(part)]]

        return call

    compress = "compress_refined" if refine else "compress"
    return (
        caller(compress, "image_bytes", "bitstream_bytes", wanted),
        caller("decompress", "bitstream_bytes", "image_bytes", {}),
    )


def native(directory: str):
    """The same through TensorFlow's C library, as the command line does."""
    model = LoadedModel(directory)

    def caller(name: str, argument: str, answer: str):
        return lambda values: [model(name, **{argument: [value]})[answer][0] for value in values]

    return caller("compress", "image_bytes", "bitstream_bytes"), caller("decompress", "bitstream_bytes", "image_bytes")


def prepared(directory: str, way: dict):
    """The same of a SavedModel that this process makes: from released weights, or from those of the pushed model."""
    from models.publishing import pushed, released
    from models.publishing.export import export

    with tempfile.TemporaryDirectory() as folder:
        export(*(released.unpack(way["weights"]) if way["weights"] else pushed.load(directory)), f"{folder}/model")
        return served(f"{folder}/model", way["batch"], way["refine"])


def rebuilt(directory: str, mode: str, noise: float):
    """The same of a module built anew from the pushed weights: eager, in parts compiled by XLA, or with noise.

    Mode "control" puts the noise where it must not be, into what steers the coder.
    """
    from models.codecs.serving import latents
    from models.layers import fixed_point
    from models.publishing import pushed

    recipe, config, model = pushed.load(directory)
    module = recipe.signatures(model, config)
    if mode == "eager":
        tf.config.run_functions_eagerly(True)
    if mode == "xla":
        compiled = {}

        def apply(network, values, *part):
            key = id(network), *part
            if key not in compiled:
                compiled[key] = tf.function(lambda v: fixed_apply(network, v, *part), autograph=False, jit_compile=True)
            return compiled[key](values)

        fixed_apply, latents.fixed_point.apply = fixed_point.apply, apply
        for name in ("analyse_tile", "synthesise_tile"):
            compiled_tile = tf.function(getattr(module.payload, name), autograph=False, jit_compile=True)
            setattr(module.payload, f"_{name}", compiled_tile)
        if hasattr(model, "hyper_latents"):
            model.hyper_latents = tf.function(model.hyper_latents, autograph=False, jit_compile=True)
    if mode == "control":
        bands = module.payload.latents.bands
        bands._pointwise = noisy(bands._pointwise, noise)
    elif noise:
        inexact = [model.analysis, model.synthesis, getattr(model, "hyper_analysis", None)]
        for layer in [layer for network in inexact if network is not None for layer in network.layers]:
            layer.call = noisy(layer.call, noise)

    def compress(values: list[bytes]) -> list[bytes]:
        return module.compress(tf.constant(values))["bitstream_bytes"].numpy().tolist()

    def decompress(values: list[bytes]) -> list[bytes]:
        return module.decompress(tf.constant(values))["image_bytes"].numpy().tolist()

    if mode == "eager":
        return compress, decompress
    graph = [tf.function(f, autograph=False) for f in (module.compress, module.decompress)]
    return (
        lambda values: graph[0](tf.constant(values))["bitstream_bytes"].numpy().tolist(),
        lambda values: graph[1](tf.constant(values))["image_bytes"].numpy().tolist(),
    )


def main() -> None:
    """Does what standard input asks for."""
    task = json.loads(sys.stdin.read())
    way = task["way"]
    tf.config.threading.set_intra_op_parallelism_threads(way["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(way["threads"])
    if "probe" in task:
        print(json.dumps(probe()))
        return
    if way["mode"] == "served":
        compress, decompress = served(task["model"], way["batch"], way["refine"])
    elif way["mode"] == "native":
        compress, decompress = native(task["model"])
    elif way["mode"] == "prepared":
        compress, decompress = prepared(task["model"], way)
    else:
        compress, decompress = rebuilt(task["model"], way["mode"], way["noise"])
    work, sources = (compress, task["write"]) if "write" in task else (decompress, task["read"])
    values = [pathlib.Path(p).read_bytes() for p in sources]
    refusals: list[str | None] = [None] * len(values)
    for begin in range(0, len(values), way["batch"]):
        part = slice(begin, begin + way["batch"])
        try:
            for path, answer in zip(task["to"][part], work(values[part]), strict=True):
                pathlib.Path(path).write_bytes(answer)
        except (tf.errors.InvalidArgumentError, NativeError) as error:
            refusals[part] = [error.message] * len(values[part])
    print(json.dumps(refusals))


if __name__ == "__main__":
    tf.random.set_seed(1)
    main()
