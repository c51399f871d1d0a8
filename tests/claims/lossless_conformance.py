"""Whether a lossless codec gives every value of every picture back, in fresh processes of one and of two threads.

    python -m tests.claims.lossless_conformance --model DIR --out FILE.jsonl [--folder DIR ...] [--count 300]

The pictures: files of the folders (PNG, JPEG, BMP) and of the installed packages and the system, spread over all that
there are, then what breaks codecs: odd crops of scikit-image's photographs, noise, constants, 16 bits, 4096x4096
pixels. Each is written by a process of two threads and read by one of one thread, and the other way round; processes
import TensorFlow alone. A finished picture is a line of the file, and the same call goes on behind it. Ends with status
1 if a value differed or a picture was refused.
"""

import io
import json
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence

import click
import numpy as np
import skimage.data
from PIL import Image

from components.serving.served_codec import newest_version
from models.entropy.coder import header
from tests.claims import ledger

_WORKER = pathlib.Path(__file__).with_name("served_worker.py")
_SYSTEM = (pathlib.Path("/usr/share"), pathlib.Path(sysconfig.get_paths()["purelib"]))
_MOST = 2**24  # pixels of a file that is taken
_SIDES = ((1, 1), (1, 7), (7, 1), (2, 3), (7, 13), (8, 8), (9, 17), (63, 65), (111, 300), (375, 127))
_PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "camera", "moon", "page", "coins", "rocket", "retina", "text")


def saved(pixels: np.ndarray) -> bytes:
    """A PNG of pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def hard_pictures() -> Iterator[tuple[str, bytes]]:
    """Names and files of what breaks codecs."""
    rng = np.random.default_rng(1)
    for name in _PHOTOGRAPHS:
        try:
            photograph = getattr(skimage.data, name)()
        except Exception:  # noqa: BLE001 what is not installed with the package would be fetched
            continue
        photograph = photograph if photograph.dtype == np.uint8 else photograph.astype(np.uint8)
        for height, width in _SIDES:
            top, left = (int(rng.integers(0, max(side, 1))) for side in np.array(photograph.shape[:2]) // 2)
            if (crop := photograph[top : top + height, left : left + width]).size:
                yield f"{name} {crop.shape[1]}x{crop.shape[0]}", saved(crop)
    for channels in (None, 2, 3, 4):
        shape = (45, 62) if channels is None else (45, 62, channels)
        yield f"noise of {channels or 1}", saved(rng.integers(0, 256, shape, np.uint8))
        for level in (0, 1, 127, 255):
            yield f"constant {level} of {channels or 1}", saved(np.full(shape, level, np.uint8))
    for n in range(6):
        yield f"16 bits {n}", saved(rng.integers(0, 65536, (30 + n, 41)).astype(np.uint16))
    large = np.tile(skimage.data.astronaut(), (8, 8, 1))
    yield "4096x4096", saved(large ^ rng.integers(0, 4, large.shape, np.uint8))


def files(folders: Sequence[pathlib.Path], count: int) -> list[pathlib.Path]:
    """All pictures of the folders, and of the system as many as there must be more, spread over all."""
    kinds = {".png", ".jpg", ".jpeg", ".bmp"}
    given = sorted(p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in kinds)
    others = sorted(p for folder in _SYSTEM for p in folder.rglob("*.png") if p.is_file())
    wanted = max(count - len(given), 0)
    return given + others[:: max(len(others) // max(wanted, 1), 1)][:wanted]


def values(content: bytes) -> np.ndarray:
    """Of a picture file: grey, grey and alpha, RGB or RGBA, 8 or 16 bits; palettes looked up."""
    with Image.open(io.BytesIO(content)) as image:
        if image.mode in ("I;16", "I;16B", "I"):
            return np.array(image).astype(np.int64)
        grey = image.mode in ("1", "L", "LA")
        alpha = image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info
        return np.array(image.convert(("L" if grey else "RGB") + ("A" if alpha else "")))


class Process:
    """A fresh process of TensorFlow alone that writes and reads."""

    def __init__(self, model: pathlib.Path, threads: int, folder: pathlib.Path):
        self.model, self.folder = str(model), folder / str(threads)
        self.folder.mkdir()
        command = [sys.executable, str(_WORKER), str(threads)]
        self.worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what: str, content: bytes) -> bytes | str:
        """What a picture is written to, or a stream read to; or why it was refused."""
        given, found = self.folder / "given", self.folder / "found"
        given.write_bytes(content)
        request = {"model": self.model, what: str(given), "to": str(found)}
        self.worker.stdin.write(json.dumps(request) + "\n")
        self.worker.stdin.flush()
        answer = self.worker.stdout.readline().strip()
        return found.read_bytes() if answer == "done" else answer or "the process died"


def check(writer: Process, reader: Process, content: bytes) -> dict:
    """What became of a picture: "outcome" exact, refused or different, "bytes", "stored", "said"."""
    stream = writer.ask("write", content)
    if isinstance(stream, str):
        return {"outcome": "refused", "said": stream[:300]}
    answer = reader.ask("read", stream)
    if isinstance(answer, str):
        return {"outcome": "refused", "said": answer[:300]}
    same = np.array_equal(values(content), values(answer))
    return {"outcome": "exact" if same else "different", "bytes": len(stream), "stored": header.is_stored(stream)}


@click.command()
@click.option("--model", required=True, type=click.Path(path_type=pathlib.Path, exists=True), help="A pushed model.")
@click.option("--folder", "folders", multiple=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--out", required=True, type=click.Path(path_type=pathlib.Path), help="Lines of JSON.")
@click.option("--count", default=300, show_default=True, help="Files at least, beside the hard pictures.")
def main(model, folders, out, count):
    """Write and read pictures with MODEL and print what became of them."""
    lines = ledger.Ledger(out, ("picture", "threads"), sys.modules[__name__])
    model = newest_version(model)
    named = [(str(path), path.read_bytes) for path in files(folders, count)]
    named += [(name, lambda content=content: content) for name, content in hard_pictures()]
    with tempfile.TemporaryDirectory() as folder:
        one, two = (Process(model, threads, pathlib.Path(folder)) for threads in (1, 2))
        for name, read in named:
            content = read()
            try:
                with Image.open(io.BytesIO(content)) as image:
                    if image.width * image.height > _MOST:
                        continue
            except OSError:
                continue  # no picture, whatever its name says
            for threads, pair in (("2 write, 1 reads", (two, one)), ("1 writes, 2 read", (one, two))):
                if (name, threads) not in lines.done:
                    start = time.perf_counter()
                    found = check(*pair, content)
                    lines.add(
                        {"model": model.name}, time.perf_counter() - start, picture=name, threads=threads, **found
                    )
    rows = list(lines.done.values())
    counts = {name: sum(row["outcome"] == name for row in rows) for name in ("exact", "different", "refused")}
    click.echo(f"{len({row['picture'] for row in rows})} pictures, {len(rows)} ways there and back: {counts}; "
               f"{sum(row.get('stored', False) for row in rows)} kept as a PNG")  # fmt: skip
    for row in rows:
        if row["outcome"] != "exact":
            click.echo(f"{row['outcome']}: {row['picture']}, {row['threads']}: {row.get('said', '')}")
    sys.exit(counts["exact"] < len(rows))


if __name__ == "__main__":
    main()
