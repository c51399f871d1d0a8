"""How long the first picture takes, by part, and the memory that a process needs: the ways of loading side by side.

    python -m tests.benchmarks.bench_first_picture [--model DIR] [--picture FILE] [--runs 5]

Each run is a process of its own, the ways in turn: `part`, what the command line does (the signature's part of the
model through TensorFlow's C library), `whole` (all signatures, the same library), `python` (`tf.saved_model.load`), and
`import`, which imports TensorFlow and does nothing. Medians over the runs; the ratio is paired, run by run, to
`python`.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

PARTS = ("import", "load", "first", "second", "total", "peak_mib")
WAYS = ("part", "whole", "python", "import")


def picture_of_the_house() -> pathlib.Path:
    """A photograph that ships with a dependency; nothing is imported."""
    import importlib.util

    folder = importlib.util.find_spec("skimage").submodule_search_locations[0]
    return pathlib.Path(folder) / "data" / "coffee.png"


def opened(way: str, directory: str, signature: str):
    """A function that calls a signature, loaded in that way."""
    if way == "python":
        import tensorflow as tf

        loaded = tf.saved_model.load(directory).signatures[signature]

        def call(**inputs):
            return {n: v.numpy() for n, v in loaded(**{n: tf.constant(v) for n, v in inputs.items()}).items()}

        return call
    from components import native_model

    model = native_model.load_part(directory, signature) if way == "part" else native_model.NativeModel(directory)
    return lambda **inputs: model(signature, **inputs)


def worker(way: str, directory: str, signature: str, inputs: dict) -> dict[str, float]:
    """Seconds of each part from here on, and the process's largest memory in MiB."""
    times = [time.perf_counter()]
    if way in ("python", "import"):
        import tensorflow  # noqa: F401
    else:
        from components import native_model

        native_model.library()
    times.append(time.perf_counter())
    if way != "import":
        call = opened(way, directory, signature)
        times.append(time.perf_counter())
        for _ in range(2):
            call(**inputs)
            times.append(time.perf_counter())
    seconds = [b - a for a, b in zip(times, times[1:], strict=False)] + [0.0] * (5 - len(times))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return dict(zip(PARTS, (*seconds, sum(seconds[:3]), peak), strict=True))


def measured(way: str, directory: str, signature: str, files: dict[str, str]) -> dict[str, float]:
    """`worker` in a process of its own; `files` holds the file of each input."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_first_picture", "--worker", way, "--model", directory]
    given = json.dumps({"signature": signature, "files": files})
    done = subprocess.run([*command, "--given", given], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(title: str, runs: dict[str, list[dict[str, float]]]) -> None:
    """Prints a row for each way."""
    print(f"\n{title}\n{'':8}" + "".join(f"{part:>10}" for part in PARTS) + "  total over python's")
    for way, rows in runs.items():
        medians = {part: statistics.median(row[part] for row in rows) for part in PARTS}
        ratios = [a["total"] / b["total"] for a, b in zip(rows, runs["python"], strict=True)]
        told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{way:8}" + "".join(f"{medians[part]:10.2f}" for part in PARTS) + f"  {told}", flush=True)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a pushed codec's version folder [default: the released codec]")
    parser.add_argument("--picture", type=pathlib.Path, default=picture_of_the_house())
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--worker", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--given", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.worker:
        inputs = {name: [pathlib.Path(file).read_bytes()] for name, file in options.given["files"].items()}
        print(json.dumps(worker(options.worker, options.model, options.given["signature"], inputs)))
        return
    from components.native_model import load_part
    from components.serving import released_model

    directory = options.model or str(released_model.directory_of("edic", print))
    stream = pathlib.Path(directory, "bench.kmp")
    stream.write_bytes(load_part(directory, "compress")("compress", image_bytes=[options.picture.read_bytes()])
                       ["bitstream_bytes"][0])  # fmt: skip
    try:
        for signature, files in (("compress", {"image_bytes": str(options.picture)}),
                                 ("decompress", {"bitstream_bytes": str(stream)})):  # fmt: skip
            runs = {way: [] for way in WAYS}
            for _ in range(options.runs):
                for way in WAYS:
                    runs[way].append(measured(way, directory, signature, files))
            table(f"{signature}: seconds and MiB, medians of {options.runs} runs", runs)
    finally:
        stream.unlink()


if __name__ == "__main__":
    main()
