"""Speed and memory of whole codecs at the papers' sizes: coding of one 768x512 picture, and training.

    python -m tests.benchmarks.bench_codec [--runs 5] [--recipe NAME ...] [--large SIDE|HEIGHTxWIDTH [--preset paper]]

Weights are untrained: the wavelet start gives latents of a picture's kind at some 2 bits a pixel, more than a trained
model's, so the coder's share here is an upper bound. Processor seconds are those of all threads together; on a busy
machine only they and the shares mean something. With --large, each recipe instead codes a picture of that size in a
process of its own, whose peak memory is printed.
"""

import argparse
import io
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import skimage.data
import tensorflow as tf
from PIL import Image

from models.contract import registry
from models.training.loop import compiled_model

EIGHT = {"batch_size": "8", "crop_size": "256"}
RECIPES = ("factorized", "hyperprior", "mean_scale_hyperprior", "autoregressive", "edic")


def picture(height: int, width: int) -> np.ndarray:
    """A photograph brought to a size by mirroring, uint8 [height, width, 3]."""
    photo = skimage.data.coffee()
    for axis, size in enumerate((height, width)):
        places = np.arange(size) % (2 * photo.shape[axis])
        photo = photo.take(np.minimum(places, 2 * photo.shape[axis] - 1 - places), axis)
    return photo


def median_seconds(call: Callable, runs: int) -> np.ndarray:
    """Medians of wall clock and processor, after one call to warm up: float [2]."""
    call()
    taken = []
    for _ in range(runs):
        start = np.array([time.perf_counter(), time.process_time()])
        call()
        taken.append(np.array([time.perf_counter(), time.process_time()]) - start)
    return np.median(taken, axis=0)


def graph(function: Callable) -> Callable:
    return tf.function(function, autograph=False)


def served_codec(name: str, preset: str, overrides: dict[str, str] | None = None):
    """An untrained codec's (module, config)."""
    recipe = registry.get(name)
    config = recipe.make_config(preset, {"precision": "float32"} | (overrides or {}))
    return recipe.signatures(recipe.build(config), config), config


def coder_seconds(latents, y: tf.Tensor, runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds that the coder takes to encode and to decode latents; all sections, no network: float [2] each."""
    jobs: list[tuple] = []
    coders = {latents.coder: latents.coder.encode}
    if hasattr(latents, "hyper_coder"):
        coders[latents.hyper_coder] = latents.hyper_coder.encode
    for coder, encode in coders.items():  # listens to what the codec gives its coders
        coder.encode = lambda *given, coder=coder, encode=encode: (jobs.append((coder, given)), encode(*given))[1]
    latents.encode(y)
    for coder, encode in coders.items():
        coder.encode = encode
    total = np.zeros((2, 2))
    for coder, (symbols, *given) in jobs:
        encode, decode = graph(coder.encode), graph(coder.decode)
        stream = encode(symbols, *given)
        total[0] += median_seconds(lambda e=encode, s=symbols, g=given: e(s, *g).numpy(), runs)
        total[1] += median_seconds(lambda d=decode, s=stream, g=given: d(s, *g).numpy(), runs)
    return total[0], total[1]


def served_seconds(
    name: str, runs: int, overrides: dict[str, str] | None = None
) -> tuple[np.ndarray, np.ndarray, dict]:
    """Seconds (wall, processor) of compress and decompress at the paper's size, PNG to stream to PNG.

    The third part has what else was at hand: "server", "pixels" uint8 [512, 768, 3], "bytes" of the stream.
    """
    server, _ = served_codec(name, "paper", overrides)
    pixels = picture(512, 768)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    source = tf.constant([buffer.getvalue()])
    compress, decompress = server.functions["compress"], server.functions["decompress"]
    stream = compress(source)["bitstream_bytes"]
    return (
        median_seconds(lambda: compress(source)["bitstream_bytes"].numpy(), runs),
        median_seconds(lambda: decompress(stream)["image_bytes"].numpy(), runs),
        {"server": server, "pixels": pixels, "bytes": len(stream[0].numpy())},
    )


def bench(name: str, runs: int, overrides: dict[str, str] | None = None) -> None:
    """Prints the row of one recipe at the paper's size."""
    *whole, parts = served_seconds(name, runs, overrides)
    server, whole = parts["server"], np.stack(whole)
    label = name + "".join(f" {v}" for v in (overrides or {}).values())
    line = f"{label:24}{8 * parts['bytes'] / (512 * 768):6.2f} " + "".join(
        f"{1e3 * wall:10.0f}{1e3 * cpu:8.0f}" for wall, cpu in whole
    )
    y = server.payload.analyse(tf.constant(parts["pixels"]))
    if name != "autoregressive":  # there the coder's steps are part of the serial loop
        for part, total in zip(coder_seconds(server.payload.latents, y, runs), whole, strict=True):
            line += f"{100 * part[1] / total[1]:9.1f}"
    if name in ("hyperprior", "mean_scale_hyperprior", "edic"):
        z_hat = tf.round(server.payload.model.hyper_latents(y))
        exact = graph(lambda z: server.payload.latents.parameters(z, 32, 48))
        line += f"{100 * median_seconds(lambda: exact(z_hat).numpy(), runs)[1] / whole[1, 1]:11.1f}"
    print(line, flush=True)


def training_seconds(name: str, steps: int, overrides: dict[str, str] | None = None, preset: str = "paper"):
    """Seconds (wall, processor), float [2], of a training step; and the batch, float32 [B, S, S, 3], it is made on."""
    recipe = registry.get(name)
    config = recipe.make_config(preset, {"precision": "float32"} | (overrides or {}))
    model, side = compiled_model(recipe, config), config.crop_size
    places = np.linspace(0, 256, config.batch_size).astype(int)
    batch = np.stack([picture(512, 768)[o : o + side, 2 * o : 2 * o + side] for o in places]) / 255.0
    batch = tf.constant(batch, tf.float32)
    return median_seconds(lambda: model.train_on_batch(batch), steps), batch


def training(name: str, steps: int, overrides: dict[str, str] | None = None, preset: str = "paper") -> None:
    """Prints the speed of training."""
    (wall, cpu), batch = training_seconds(name, steps, overrides, preset)
    count, side = batch.shape[:2]
    print(
        f"training {name} {preset}, {count} of {side}x{side}: {wall:.3f} s a step, {count / wall:.2f} images/s, "
        f"{cpu / count:.2f} processor seconds an image", flush=True,
    )  # fmt: skip


def large(name: str, preset: str, size: str) -> None:
    """Codes a picture of a size both ways and prints time and peak memory of this process."""
    server, _ = served_codec(name, preset)
    height, _, width = size.partition("x")
    source = tf.io.encode_png(picture(int(height), int(width or height)), compression=1)[None]
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, time.perf_counter()
    stream = server.functions["compress"](source)["bitstream_bytes"]
    middle, compressing = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    server.functions["decompress"](stream)["image_bytes"].numpy()
    end, both = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{name} {preset} {height}x{width or height}: compress {middle - start:.1f} s, "
        f"decompress {end - middle:.1f} s; peak memory {before} MiB before, {compressing} MiB after compress, "
        f"{both} MiB after decompress", flush=True,
    )  # fmt: skip


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="medians are over so many")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--recipe", action="append", choices=RECIPES)
    parser.add_argument("--preset", default="paper", help="of --large")
    parser.add_argument("--large", default="", metavar="SIZE")
    parser.add_argument("--no-training", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    names = options.recipe or RECIPES
    if options.large and options.here:
        large(names[0], options.preset, options.large)
        return
    if options.large:
        for name in names:
            call = [sys.executable, "-m", "tests.benchmarks.bench_codec", "--here", "--recipe", name]
            subprocess.run([*call, "--large", options.large, "--preset", options.preset], check=True)
        return
    print(f"768x512, {options.threads} threads, medians of {options.runs} runs; ms; shares of processor time")
    print(f"{'':31}{'compress':>13}{'':5}{'decompress':>13}{'coder, % of':>18}{'exact hyper-':>15}")
    heads = (("wall", 10), ("CPU", 8), ("wall", 10), ("CPU", 8), ("comp.", 9), ("decomp.", 9), ("synthesis, %", 14))
    print(f"{'':24}{'bpp':>6} " + "".join(f"{text:>{width}}" for text, width in heads))
    for name in names:
        bench(name, options.runs)
        if name == "autoregressive":
            bench(name, 1, {"order": "raster"})
    if not options.no_training:
        training("hyperprior", options.runs, EIGHT)
        training("mean_scale_hyperprior", options.runs, preset="small")


if __name__ == "__main__":
    main()
