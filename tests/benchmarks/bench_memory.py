"""Peak memory of coding large pictures: the whole process, TensorFlow included, one call in a fresh one each time.

    python -m tests.benchmarks.bench_memory --model DIR [--pictures FOLDER] [--size HEIGHTxWIDTH ...] [--constant]

Pictures are a photograph, the largest of FOLDER or else scikit-image's, mirrored to the size. "Before" is the process
after loading the model; what is over that is the coding's own.
"""

import argparse
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import skimage.data
from PIL import Image

SIZES = ("1000x1000", "3000x4000", "4320x7680", "10000x10000")


def mebibytes(field: str) -> int:
    """A line of the kernel's account of this process: VmHWM (peak) or VmRSS."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split(f"{field}:")[1].split()[0]) >> 10


def picture(folder: pathlib.Path | None, height: int, width: int, constant: bool) -> bytes:
    """A PNG of that size."""
    photo = skimage.data.astronaut()
    if folder:
        photo = max((np.asarray(Image.open(p).convert("RGB")) for p in folder.glob("*.png")), key=np.size)
    for axis, size in enumerate((height, width)):
        places = np.arange(size) % (2 * photo.shape[axis])
        photo = photo.take(np.minimum(places, 2 * photo.shape[axis] - 1 - places), axis)
    buffer = io.BytesIO()
    Image.fromarray(np.full_like(photo, 128) if constant else photo).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def one(model: str, signature: str, source: str, target: str) -> None:
    """Calls a signature once and prints what it took, as JSON."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    call = tf.saved_model.load(model).signatures[signature]
    argument, answer = {
        "compress": ("image_bytes", "bitstream_bytes"),
        "decompress": ("bitstream_bytes", "image_bytes"),
    }[signature]
    value, before, start = tf.constant([pathlib.Path(source).read_bytes()]), mebibytes("VmRSS"), time.perf_counter()
    found: dict[str, object] = {"before": before}
    try:
        pathlib.Path(target).write_bytes(call(**{argument: value})[answer].numpy()[0])
    except tf.errors.InvalidArgumentError as error:
        lines = [line for line in error.message.splitlines() if "assertion failed" in line]
        found["refused"] = lines[0].strip() if lines else error.message.splitlines()[0]
    print(json.dumps(found | {"peak": mebibytes("VmHWM"), "seconds": time.perf_counter() - start}))


def measured(model: str, signature: str, source: pathlib.Path, target: pathlib.Path) -> dict:
    """`one` in a process of its own."""
    call = [sys.executable, "-m", "tests.benchmarks.bench_memory", "--model", model, "--here", signature]
    done = subprocess.run([*call, str(source), str(target)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder of a SavedModel")
    parser.add_argument("--pictures", type=pathlib.Path)
    parser.add_argument("--size", action="append", metavar="HEIGHTxWIDTH")
    parser.add_argument("--constant", action="store_true", help="a picture of one colour: the smallest honest stream")
    parser.add_argument("--here", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        one(options.model, *options.here)
        return
    print(f"{'':14}{'':12}{'seconds':>8}{'before, MiB':>13}{'peak, MiB':>11}{'bytes':>12}")
    with tempfile.TemporaryDirectory() as folder:
        files = [pathlib.Path(folder) / name for name in ("p.png", "p.kmp", "q.png")]
        for size in options.size or SIZES:
            height, width = map(int, size.split("x"))
            files[0].write_bytes(picture(options.pictures, height, width, options.constant))
            for signature, source, target in zip(("compress", "decompress"), files, files[1:], strict=False):
                found = measured(options.model, signature, source, target)
                if "refused" in found:
                    print(f"{size:14}{signature:12} refused: {found['refused']}; peak {found['peak']} MiB", flush=True)
                    break
                print(
                    f"{size:14}{signature:12}{found['seconds']:8.1f}{found['before']:13}{found['peak']:11}"
                    f"{target.stat().st_size:12,}", flush=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
