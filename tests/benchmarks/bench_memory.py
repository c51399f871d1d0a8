"""Peak memory of coding large pictures: the whole process, TensorFlow included, one call in a fresh one each time.

    python -m tests.benchmarks.bench_memory --model DIR [--pictures FOLDER] [--size HEIGHTxWIDTH ...] [--constant] \
      [--python]

Pictures are a photograph, the largest of FOLDER or else scikit-image's, mirrored to the size. The model is called as
the command line does, through TensorFlow's C library, or with --python through its Python. "Before" is the process that
has read its input; with --python it has loaded the model as well.
"""

import argparse
import functools
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

from components import process_memory
from components.native_model import NativeError
from components.serving.loaded_model import LoadedModel
from components.serving.served_codec import one_line

SIZES = ("1000x1000", "3000x4000", "4320x7680", "10000x10000")


def mebibytes(field: str) -> int:
    """A line of the kernel's account of this process: VmHWM (peak) or VmRSS."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split(f"{field}:")[1].split()[0]) >> 10


def picture(folder: pathlib.Path | None, height: int, width: int, constant: bool) -> bytes:
    """A PNG of that size."""
    import skimage.data  # not in the processes that are measured

    photo = skimage.data.astronaut()
    if folder:
        photo = max((np.asarray(Image.open(p).convert("RGB")) for p in folder.glob("*.png")), key=np.size)
    for axis, size in enumerate((height, width)):
        places = np.arange(size) % (2 * photo.shape[axis])
        photo = photo.take(np.minimum(places, 2 * photo.shape[axis] - 1 - places), axis)
    buffer = io.BytesIO()
    Image.fromarray(np.full_like(photo, 128) if constant else photo).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def one(model: str, python: bool, signature: str, source: str, target: str) -> None:
    """Calls a signature once and prints what it took, as JSON."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not python:
        process_memory.be_frugal()
    call = by_python(model, signature) if python else functools.partial(LoadedModel(model), signature)
    argument, answer = {
        "compress": ("image_bytes", "bitstream_bytes"),
        "decompress": ("bitstream_bytes", "image_bytes"),
    }[signature]
    value, before, start = [pathlib.Path(source).read_bytes()], mebibytes("VmRSS"), time.perf_counter()
    found: dict[str, object] = {"before": before}
    try:
        pathlib.Path(target).write_bytes(call(**{argument: value})[answer][0])
    except NativeError as error:
        found["refused"] = one_line(error)
    print(json.dumps(found | {"peak": mebibytes("VmHWM"), "seconds": time.perf_counter() - start}))


def by_python(model: str, signature: str):
    """The signature of a model that Python's loader loads."""
    import tensorflow as tf

    loaded = tf.saved_model.load(model).signatures[signature]

    def call(**inputs):
        try:
            return {n: v.numpy() for n, v in loaded(**{n: tf.constant(v) for n, v in inputs.items()}).items()}
        except tf.errors.InvalidArgumentError as error:
            raise NativeError(error.message) from error

    return call


def measured(model: str, python: bool, signature: str, source: pathlib.Path, target: pathlib.Path) -> dict:
    """`one` in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_memory", "--model", model, *["--python"][: int(python)]]
    command += ["--here", signature, str(source), str(target)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder of a SavedModel")
    parser.add_argument("--pictures", type=pathlib.Path)
    parser.add_argument("--size", action="append", metavar="HEIGHTxWIDTH")
    parser.add_argument("--constant", action="store_true", help="a picture of one colour: the smallest honest stream")
    parser.add_argument("--python", action="store_true", help="load with tf.saved_model.load")
    parser.add_argument("--here", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        one(options.model, options.python, *options.here)
        return
    print(f"{'':14}{'':12}{'seconds':>8}{'before, MiB':>13}{'peak, MiB':>11}{'bytes':>12}")
    with tempfile.TemporaryDirectory() as folder:
        files = [pathlib.Path(folder) / name for name in ("p.png", "p.kmp", "q.png")]
        for size in options.size or SIZES:
            height, width = map(int, size.split("x"))
            files[0].write_bytes(picture(options.pictures, height, width, options.constant))
            for signature, source, target in zip(("compress", "decompress"), files, files[1:], strict=False):
                found = measured(options.model, options.python, signature, source, target)
                if "refused" in found:
                    print(f"{size:14}{signature:12} refused: {found['refused']}; peak {found['peak']} MiB", flush=True)
                    break
                print(
                    f"{size:14}{signature:12}{found['seconds']:8.1f}{found['before']:13}{found['peak']:11}"
                    f"{target.stat().st_size:12,}", flush=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
