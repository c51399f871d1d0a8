"""Damages streams at random and has a pushed model read them.

    python -m tests.claims.damage --model DIR --picture FILE [--other DIR] [--count 10000] [--seed 1]

Every damaged stream must be refused with a clear tf.errors.InvalidArgumentError or be decoded exactly; none may crash,
hang or take more than four times the memory of a good one. Forgeries carry a checksum that fits their damage, so they
reach the code behind it. Prints a table by kind; ends with status 1 if a promise was broken.
"""

import collections
import dataclasses
import faulthandler
import io
import os
import pathlib
import re
import sys
import time
from collections.abc import Callable

import click
import numpy as np
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf  # noqa: E402

from components.serving.served_codec import newest_version  # noqa: E402

LONGEST = 120  # seconds one stream may take before the run counts as hung and ends
MEMORY = 4  # times what a good stream takes
SLACK = 32 << 20  # bytes that memory allocators keep or give back as they like
CLEAR = re.compile(
    "the stream is empty|not a Kompakt stream|truncated|damaged|another model|unsupported version|"
    "sizes are impossible|pixels .2.27. at most|decoded latents differ|Invalid PNG"
)
_CHECKSUM, _REST = slice(4, 12), 12
_FIELDS = {"model": (12, 4), "latents": (16, 4), "height": (20, 2), "width": (22, 2), "flags": (24, 1)}
Damage = Callable[[np.random.Generator, bytes], bytes]


def flips(rng, stream: bytes) -> bytes:
    """One to eight bits turned over."""
    data = np.frombuffer(stream, np.uint8).copy()
    for place in rng.integers(8 * len(data), size=rng.integers(1, 9)):
        data[place // 8] ^= 1 << (place % 8)
    return data.tobytes()


def cut(rng, stream: bytes) -> bytes:
    """Its end, its start or a piece of its middle is missing."""
    first, last = sorted(rng.integers(0, len(stream) + 1, 2))
    return [stream[:first], stream[last:], stream[:first] + stream[last:]][rng.integers(3)]


def swap(rng, stream: bytes) -> bytes:
    """Two pieces change places."""
    a, b, c, d = sorted(rng.integers(0, len(stream) + 1, 4))
    return stream[:a] + stream[c:d] + stream[b:c] + stream[a:b] + stream[d:]


def insertion(rng, stream: bytes) -> bytes:
    """Random bytes, or a copy of a piece of it, somewhere."""
    place, length = rng.integers(0, len(stream) + 1), int(rng.integers(1, 200))
    new = rng.bytes(length) if rng.random() < 0.5 else stream[place : place + length]
    return stream[:place] + new + stream[place:]


def zeros(rng, stream: bytes) -> bytes:
    """A piece is zero, or all of it behind the start."""
    first, last = sorted(rng.integers(0, len(stream) + 1, 2))
    return stream[:first] + bytes(int(last - first)) + stream[last:]


def noise(rng, stream: bytes) -> bytes:
    """Random bytes of a random length, half of them behind the right start; sometimes nothing at all."""
    return (stream[: rng.integers(0, 30)] if rng.random() < 0.5 else b"") + rng.bytes(int(rng.integers(0, 2000)))


def other_format(rng, stream: bytes) -> bytes:
    """A file of some other kind."""
    pixels = Image.fromarray(rng.integers(0, 256, (9, 11, 3), np.uint8))
    name = ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"][rng.integers(7)]
    buffer = io.BytesIO()
    pixels.save(buffer, name)
    return buffer.getvalue()


def wrong_model(rng, stream: bytes) -> bytes:
    """A stream that is whole, but of another model."""
    return sealed(_with_field(stream, "model", int(rng.integers(1 << 32))))


def sealed(stream: bytes) -> bytes:
    """The stream with the checksum that fits it."""
    checked = stream[:4] + stream[_REST:]
    return stream[:4] + tf.fingerprint(tf.constant([checked]))[0].numpy().tobytes() + stream[_REST:]


def _with_field(stream: bytes, name: str, value: int) -> bytes:
    begin, size = _FIELDS[name]
    return stream[:begin] + value.to_bytes(size, "little") + stream[begin + size :]


def lying_header(rng, stream: bytes) -> bytes:
    """Other sides, flags or latents' fingerprint; some sides are as large as a header can say. Sealed."""
    for name in rng.choice(["height", "width", "flags", "latents"], rng.integers(1, 3), replace=False):
        largest = 256 ** _FIELDS[name][1] - 1
        value = largest if rng.random() < 0.3 else int(largest ** rng.random())
        stream = _with_field(stream, name, value)
    return sealed(stream)


def _sealed(damage: Damage) -> Damage:
    """A damage behind the header, sealed."""

    def forge(rng, stream: bytes) -> bytes:
        return sealed(stream[:25] + damage(rng, stream[25:]))

    return forge


PLAIN: dict[str, Damage] = {
    "flipped bits": flips, "cut": cut, "swapped pieces": swap, "insertion": insertion, "zero bytes": zeros,
    "random bytes": noise, "other format": other_format, "wrong model": wrong_model,
}  # fmt: skip
FORGED: dict[str, Damage] = {
    "forged: lying header": lying_header, "forged: flipped bits": _sealed(flips), "forged: cut": _sealed(cut),
    "forged: swapped": _sealed(swap), "forged: insertion": _sealed(insertion), "forged: zero bytes": _sealed(zeros),
}  # fmt: skip


@dataclasses.dataclass
class Row:
    """What became of the streams of one kind."""

    outcomes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    slowest: float = 0.0  # seconds
    memory: int = 0  # bytes above what the process held before it read its first stream
    example: str = ""  # what broke a promise


class Memory:
    """Resident bytes of this process."""

    @staticmethod
    def _read(key: str) -> int:
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key))

    def now(self) -> int:
        return self._read("VmRSS")

    def peak(self) -> int:
        """Since `restart`."""
        return self._read("VmHWM")

    def restart(self) -> None:
        pathlib.Path("/proc/self/clear_refs").write_text("5")


class Reader:
    """Decodes with a served model and judges what it says."""

    def __init__(self, model: pathlib.Path):
        self.signatures = tf.saved_model.load(str(model)).signatures
        self.memory = Memory()

    def write(self, picture: bytes) -> bytes:
        """The stream of a picture's bytes."""
        return self.signatures["compress"](image_bytes=tf.constant([picture]))["bitstream_bytes"][0].numpy()

    def read(self, stream: bytes) -> bytes:
        """The picture of a stream; ends the process if that takes too long."""
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        try:
            return self.signatures["decompress"](bitstream_bytes=tf.constant([stream]))["image_bytes"][0].numpy()
        finally:
            faulthandler.cancel_dump_traceback_later()

    def judge(self, stream: bytes, good: bytes) -> tuple[str, str]:
        """(refused, exact, other picture, unclear or wrong error; what was said)."""
        try:
            return ("exact" if self.read(stream) == good else "other picture"), ""
        except tf.errors.InvalidArgumentError as error:
            return ("refused" if CLEAR.search(error.message) else "unclear"), error.message
        except Exception as error:  # noqa: BLE001 whatever else it raises is a finding
            return "wrong error", f"{type(error).__name__}: {error}"


def run(model: pathlib.Path, picture: bytes, others: list[bytes], count: int, seed: int) -> tuple[dict[str, Row], int]:
    """Reads `count` damaged streams, as many of each kind.

    Args:
      others: streams of other models; each is read once, as "wrong model".

    Returns:
      (kind -> Row, bytes that good streams take).
    """
    reader, rng = Reader(model), np.random.default_rng(seed)
    stream = reader.write(picture)
    before = reader.memory.now()
    reader.memory.restart()
    good = reader.read(stream)
    if any(reader.read(stream) != good for _ in range(3)):
        raise ValueError("the same stream gave two pictures")
    room = reader.memory.peak() - before
    rows = {}
    for number, (kind, damage) in enumerate((PLAIN | FORGED).items()):
        row, kinds = Row(), len(PLAIN | FORGED)
        reader.memory.restart()
        damaged = [damage(rng, stream) for _ in range(count // kinds + (number < count % kinds))]
        for bad in damaged + (others if kind == "wrong model" else []):
            start = time.perf_counter()
            outcome, said = reader.judge(bad, good)
            row.slowest = max(row.slowest, time.perf_counter() - start)
            row.outcomes[outcome] += 1
            broken = outcome not in ("refused", "exact")
            row.example = row.example or (f"{outcome}: {said}" if broken else "")
        row.memory = reader.memory.peak() - before
        if row.memory > MEMORY * room + SLACK:
            row.example = row.example or f"took {row.memory >> 20} MiB, a good stream {room >> 20} MiB"
        rows[kind] = row
    return rows, room


def table(rows: dict[str, Row], room: int) -> str:
    """The rows as text."""
    kinds = ("refused", "exact", "other picture", "unclear", "wrong error")
    lines = [f"{'':22}" + "".join(f"{k:>15}" for k in (*kinds, "slowest, ms", "memory, MiB"))]
    for name, row in rows.items():
        numbers = [*(row.outcomes[k] for k in kinds), round(1e3 * row.slowest), row.memory >> 20]
        lines.append(f"{name:22}" + "".join(f"{n:15}" for n in numbers))
    total = sum(row.outcomes.total() for row in rows.values())
    lines.append(f"{total} damaged streams; a good one takes {room >> 20} MiB")
    return "\n".join([*lines, *(f"BROKEN, {name}: {row.example}" for name, row in rows.items() if row.example)])


@click.command()
@click.option("--model", required=True, type=click.Path(path_type=pathlib.Path, exists=True), help="A pushed model.")
@click.option("--picture", required=True, type=click.Path(path_type=pathlib.Path, exists=True), help="PNG, JPEG, BMP.")
@click.option("--other", "others", multiple=True, type=click.Path(path_type=pathlib.Path, exists=True), help="Models.")
@click.option("--count", default=10_000, show_default=True, help="Damaged streams, of all kinds together.")
@click.option("--seed", default=1, show_default=True)
def main(model, picture, others, count, seed):
    """Read damaged streams of PICTURE with MODEL and print what became of them."""
    faulthandler.enable()
    encoded = picture.read_bytes()
    foreign = [Reader(newest_version(other)).write(encoded) for other in others]
    rows, room = run(newest_version(model), encoded, foreign, count, seed)
    click.echo(table(rows, room))
    sys.exit(any(row.example for row in rows.values()))


if __name__ == "__main__":
    main()
