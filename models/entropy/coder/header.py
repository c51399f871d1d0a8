"""The layout of a stream, and what its header says, without TensorFlow: importing that takes seconds.

A stream of version `STORED` holds one section, a PNG, and zero for both fingerprints.

Layout, little-endian: "KMP", version (1 byte), checksum of all other bytes (8), fingerprint of the model (4), of the
latents (4), height (2), width (2), flags (1), the length of every section but the last (varints), the sections. That
is 25 bytes and one to three for each section but the last: 26 to 28 bytes with two sections, 27 to 31 with three.
"""

MAGIC = b"KMP"
VERSION = 2  # what is written
READ = (1, 2)  # and read: of 1 the latents' fingerprint is another, `models.codecs.serving.server`
STORED = 3  # a picture file as it is, which needs no model
READ_TEXT = " or ".join(map(str, READ))
MAX_SIDE = 65535  # pixels
MAX_PIXELS = 2**27  # of a picture; its latents and the bytes of its pixels are counted in 32 bits
TOO_LARGE = f"a picture may have {MAX_PIXELS} pixels (2^27) at most; its sides are"
CHECKED = 12  # bytes before what comes after the checksum
FIXED = 25  # bytes before the section lengths
WIDTHS = (4, 4, 2, 2, 1)  # bytes of model, latents, height, width, flags


def is_stored(stream: bytes) -> bool:
    """Whether a stream says that it holds a PNG, which any model gives back."""
    return stream.startswith(MAGIC + bytes([STORED]))


def describe(stream: bytes) -> dict[str, int | str]:
    """What the header of a stream says, read without TensorFlow's help; the checksum is not verified.

    Returns:
        version, height and width (pixels), flags, bytes (of the whole stream), and model_fingerprint and
        latents_fingerprint (8 hexadecimal digits).

    Raises:
        ValueError: if the bytes do not begin with the header of a Kompakt stream of a version that is read, or the
            picture is larger than any that is coded.
    """
    if not stream:
        raise ValueError("the stream is empty")
    if stream[: len(MAGIC)] != MAGIC:
        raise ValueError("this is not a Kompakt stream: it does not begin with KMP")
    if len(stream) < FIXED:
        raise ValueError(f"the stream is truncated: it has not even {FIXED} bytes")
    if (version := stream[len(MAGIC)]) not in (*READ, STORED):
        raise ValueError(f"unsupported version of the Kompakt stream: {version}, not {READ_TEXT} or {STORED}")
    numbers, place = [], CHECKED
    for width in WIDTHS:
        numbers.append(int.from_bytes(stream[place : place + width], "little"))
        place += width
    model, latents, height, width, flags = numbers
    if height * width > MAX_PIXELS:
        raise ValueError(f"{TOO_LARGE} {height} {width}")
    described = {"version": version, "height": height, "width": width, "flags": flags, "bytes": len(stream)}
    return described | {"model_fingerprint": f"{model:08x}", "latents_fingerprint": f"{latents:08x}"}
