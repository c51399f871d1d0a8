"""What picture files claim is known before a decoder reserves memory; what decoders pass over in silence is refused."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.entropy.coder.container import MAX_PIXELS
from models.records import picture_header
from models.records import pictures as picture_records
from tests.claims.damage import Memory
from tests.components.kinds.pictures import picture_suite as suite
from tests.components.pictures_on_disk import bomb, chunk, encoded, noise


def patched(file: bytes, place: int, layout: str, *sides: int) -> bytes:
    """A file that claims other sides."""
    claimed = struct.pack(layout, *sides)
    return file[:place] + claimed + file[place + len(claimed) :]


def claiming(format_name: str, height: int, width: int) -> bytes:
    """A small file of a format that claims to be of a size."""
    if format_name == "PNG":
        return patched(bomb(1), 16, ">II", width, height)
    file = encoded(noise(8, 8).quantize(4) if format_name == "GIF" else noise(8, 8), format_name)
    if format_name == "JPEG":
        return patched(file, file.index(b"\xff\xc0") + 5, ">HH", height, width)
    if format_name == "GIF":
        return patched(file, file.index(b",\0\0\0\0") + 5, "<HH", width, height)
    return patched(file, 18, "<ii", width, height)


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "BMP", "GIF"])
def test_claims_of_too_many_pixels_are_refused_before_memory_is_reserved(format_name):
    picture_header.checked(tf.constant(claiming(format_name, 8, 8)))
    picture_header.checked(tf.constant(claiming(format_name, 1 << 14, MAX_PIXELS >> 14)))
    sizes = [(MAX_PIXELS >> 14, (1 << 14) + 1), (60_000, 60_000), (65_500, 65_500)]
    sizes += [(-60_000, 60_000), (2**31 - 1, 2**31 - 1)] if format_name == "BMP" else []
    for height, width in sizes:
        memory = Memory()
        memory.restart()
        before = memory.now()
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"too many pixels.*{width} {abs(height)}"):
            picture_records.decode(tf.constant(claiming(format_name, height, width)), channels=0)
        assert memory.peak() - before < 30 << 20


def test_of_an_animation_only_the_first_frame_is_decoded():
    first = encoded(Image.new("P", (2000, 1500), 1), "GIF", comment=b"c" * 700)
    file = first[:-1] + 39 * first[first.index(b",\0\0\0\0") : -1] + b";"
    assert picture_header.checked(tf.constant(file)) == first and Image.open(io.BytesIO(file)).n_frames == 40
    memory = Memory()
    memory.restart()
    before = memory.now()
    assert picture_records.decode(tf.constant(file)).shape == (1500, 2000, 3)
    assert memory.peak() - before < 40 << 20  # a frame is 3 MB, the picture 9 MB, all frames 120 MB
    still = encoded(noise(9, 7).quantize(16), "GIF")
    assert np.array_equal(picture_records.decode(tf.constant(still)), Image.open(io.BytesIO(still)).convert("RGB"))


@pytest.mark.parametrize(
    "file",
    [b"", b"G", b"GIF8", b"GIF89a" + bytes(7), b"GIF89a" + bytes(7) + b"," + b"\xff" * 40,
     b"GIF89a" + bytes(7) + b"!" * 9, b"\x89PNG", suite.SIGNATURE, b"BM", b"\xff\xd8\xff", b"\xff\xd8\xff" + bytes(90)],
)  # fmt: skip
def test_stumps_are_refused(file):
    with pytest.raises(tf.errors.InvalidArgumentError):
        picture_records.decode(tf.constant(file), channels=0)


def test_loops_over_hostile_files_end():
    head = bomb(4)
    many = head[:33] + 2000 * chunk(b"prVt", b"") + head[33:]
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 1000 chunks"):
        picture_records.decode(tf.constant(many), channels=0)
    few = suite.png(suite.samples(3, 4, 0, 8), 0, 8, before=[(b"prVt", b"")] * 900 + [(b"tRNS", b"\0\7")])
    assert picture_records.decode(tf.constant(few), channels=0).shape == (3, 4, 2)


def test_a_checksum_is_that_of_png():
    for content in (b"123456789", b"", bytes(300)):
        numbers = tf.constant(list(content), tf.int64)
        assert struct.pack(">I", picture_header._crc32(numbers).numpy()) == chunk(content[:4], content[4:])[-4:]
