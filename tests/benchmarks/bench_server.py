"""The development server over its sockets: latencies, versions pushed under load, overload, memory.

    python -m tests.benchmarks.bench_server [--model FOLDER_OF_VERSIONS] [--side 256] [--requests 200] [--mixed 2000]
      [--memory 10000]

Without `--model` a codec that is no network answers (`tests.components.tiny_codec`), so that the server itself is
measured. Clients are threads of this process, on the same machine. `--mixed` requests of several sizes and signatures
go over both interfaces, 16 at a time, while two versions are pushed; each answer must be that of one of the versions.
"""

import argparse
import concurrent.futures
import functools
import pathlib
import shutil
import tempfile
import threading
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from components.native_model import NativeModel
from pipeline.client.remote import RemoteCodec, open_model
from tests.components import tiny_codec
from tests.components.server.process import serving
from tests.models.kinds import photograph, png

SCHEMES = ("http", "grpc")
CONCURRENCY = (1, 4, 16)


def timed(ask, count: int, workers: int) -> tuple[list[float], float]:
    """Latencies in milliseconds of `ask(n)` for n below `count`, so many at a time; and requests a second."""

    def one(n: int) -> float:
        begin = time.perf_counter()
        ask(n)
        return 1000 * (time.perf_counter() - begin)

    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        latencies = list(pool.map(one, range(count)))
    return latencies, count / (time.perf_counter() - begin)


def coded(codec: RemoteCodec, picture: bytes, _: int) -> bytes:
    """The stream of a picture."""
    return codec.compress(picture)


def latencies(server, name: str, picture: bytes, count: int, console: Console) -> None:
    """Prints percentiles of `compress` by interface and concurrency."""
    table = Table("interface", "at a time", "median ms", "95 %", "99 %", "requests a second")
    for scheme in SCHEMES:
        ask = functools.partial(coded, RemoteCodec(open_model(server.url(name, scheme))), picture)
        timed(ask, 5, 1)
        for workers in CONCURRENCY:
            found, rate = timed(ask, count, workers)
            percentiles = (f"{np.percentile(found, p):.1f}" for p in (50, 95, 99))
            table.add_row(scheme, str(workers), *percentiles, f"{rate:.0f}")
    console.print(table)


def mixed(server, folder: pathlib.Path, source: pathlib.Path, count: int, console: Console) -> None:
    """Prints what became of requests of several sizes and signatures while two versions were pushed."""
    pictures = [png(photograph(40 + 30 * n, 60 + 25 * n, n)) for n in range(6)]
    expected, answers, lock = {}, [], threading.Lock()
    for number in (1, 2, 3):
        model = NativeModel(source / str(number))
        for n, picture in enumerate(pictures):
            stream = model("compress", image_bytes=[picture])["bitstream_bytes"][0]
            expected["compress", n, stream] = number
            expected["decompress", n, model("decompress", bitstream_bytes=[stream])["image_bytes"][0]] = number
    codecs = [RemoteCodec(open_model(server.url("mixed", scheme))) for scheme in SCHEMES]

    def ask(k: int) -> None:
        n, codec = k % len(pictures), codecs[k // 3 % 2]
        stream = codec.compress(pictures[n])
        found = expected.get(("compress", n, stream), 0)
        if k % 3 == 0 and found == 1:  # decoded by the newest, which may be another by now: then it says so
            try:
                found = expected.get(("decompress", n, codec.decompress(stream)), 0)
            except ValueError as error:
                found = 1 if "not a stream of this codec" in str(error) else 0
        with lock:
            answers.append(found)

    def push() -> None:
        for number in (2, 3):
            while len(answers) < count * (number - 1) // 3:
                time.sleep(0.01)
            shutil.copytree(source / str(number), folder / ".part")
            (folder / ".part").rename(folder / str(number))

    pushing = threading.Thread(target=push)
    pushing.start()
    found, rate = timed(ask, count, 16)
    pushing.join()
    by_version = {number: answers.count(number) for number in (0, 1, 2, 3)}
    console.print(f"{count} requests, 16 at a time, two pushes: {rate:.0f} a second, lost {count - len(answers)}, "
                  f"answers of no version {by_version.pop(0)}, by version {by_version}; "
                  f"99 % within {np.percentile(found, 99):.0f} ms, the longest {max(found):.0f} ms")  # fmt: skip


def memory(server, name: str, picture: bytes, count: int, console: Console) -> None:
    """Prints what the server holds after a tenth of the requests and after all."""
    codecs = [RemoteCodec(open_model(server.url(name, scheme))) for scheme in SCHEMES]
    timed(lambda n: codecs[n % 2].compress(picture), count // 10, 4)
    first = server.memory()
    timed(lambda n: codecs[n % 2].compress(picture), count - count // 10, 4)
    last = server.memory()
    console.print(f"memory after {count // 10} requests {first / 2**20:.0f} MiB, after {count} {last / 2**20:.0f} MiB "
                  f"({100 * (last / first - 1):+.1f} %)")  # fmt: skip


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--side", type=int, default=256)
    for name, default in (("requests", 200), ("mixed", 2000), ("memory", 10000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given, console = parser.parse_args(), Console(width=120)
    with tempfile.TemporaryDirectory() as work:
        root = pathlib.Path(work)
        for number, bits in ((1, 2), (2, 4), (3, 6)):
            tiny_codec.save(root / "source" / str(number), bits)
        shutil.copytree(root / "source" / "1", root / "mixed" / "1")
        tiny_codec.save(root / "tiny" / "1")
        measured = given.model or root / "tiny"
        picture = png(photograph(given.side, given.side))
        arguments = (f"measured={measured}", root / "mixed", "--poll", 0.2, "--keep", 2)
        with serving(*arguments) as server:
            if given.requests:
                latencies(server, "measured", picture, given.requests, console)
            if given.mixed:
                mixed(server, root / "mixed", root / "source", given.mixed, console)
        with serving(*arguments) as server:
            if given.memory:
                memory(server, "measured", png(photograph(64, 64)), given.memory, console)


if __name__ == "__main__":
    main()
