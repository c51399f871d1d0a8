"""The container: what it holds comes back, and whatever else arrives is named for what it is."""

import numpy as np
import pytest
import tensorflow as tf

from models.entropy.coder import container
from models.entropy.coder.header import describe
from tests.claims.damage import sealed

MODEL, LATENTS = 0x01234567, 0xFEDCBA98
SECTIONS = [b"side", b"", b"latents" * 40]
STREAM = tf.TensorSpec([], tf.string)


@tf.function
def pack(height, width, flags, sections):
    return container.pack(height, width, flags, LATENTS, MODEL, tf.unstack(sections, num=3))


@tf.function(input_signature=[STREAM])
def unpack(stream):
    header, sections = container.unpack(stream, [MODEL], 3)
    return tuple(header), tf.stack(sections)


@tf.function(input_signature=[STREAM])
def unpack_with_another_model(stream):
    return container.unpack(stream, [0x89ABCDEF, 7], 3)


@pytest.fixture(scope="module")
def good() -> bytes:
    return pack(768, 512, 3, tf.constant(SECTIONS)).numpy()


@pytest.mark.parametrize(("height", "width", "flags"), [(1, 1, 0), (65535, 1, 255), (768, 512, 3)])
def test_what_was_packed_comes_back(height, width, flags):
    stream = pack(height, width, flags, tf.constant(SECTIONS))
    header, sections = unpack(stream)
    assert [int(number) for number in header] == [height, width, flags, LATENTS, 2]
    assert sections.numpy().tolist() == SECTIONS
    assert [int(side) for side in container.sides_of(stream)] == [height, width]
    assert describe(stream.numpy()) == {
        "version": 2,
        "height": height,
        "width": width,
        "flags": flags,
        "bytes": len(stream.numpy()),
        "model_fingerprint": "01234567",
        "latents_fingerprint": "fedcba98",
    }


@pytest.mark.parametrize(("lengths", "header"), [([9], 25), ([127, 9], 26), ([128, 9], 27), ([16383, 16384, 1], 30)])
def test_header_bytes(lengths, header):
    sections = [tf.constant(b"x" * length) for length in lengths]
    stream = container.pack(768, 512, 0, LATENTS, MODEL, sections)
    assert len(stream.numpy()) == header + sum(lengths)
    assert container.unpack(stream, [0x89ABCDEF, MODEL], len(lengths))[1] == sections


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"", "stream is empty"),
        (b"K", "not a Kompakt stream"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "not a Kompakt stream"),
        (b"\xff\xd8\xff\xe0" + b"JFIF" * 20, "not a Kompakt stream"),
        (bytes(500), "not a Kompakt stream"),
        (b"KMP", "truncated or damaged"),
        (b"KMP\1" + bytes(20), "truncated or damaged"),
        (b"KMP\3" + bytes(99), "unsupported version"),
        (b"KMP\1" + bytes(99), "checksum does not fit"),
    ],
)
def test_other_things_are_named(stream, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        unpack(stream)


def test_another_model_is_named_with_both_fingerprints(good):
    with pytest.raises(tf.errors.InvalidArgumentError, match="another model.*01234567.*89abcdef"):
        unpack_with_another_model(good)
    with pytest.raises(tf.errors.InvalidArgumentError, match="checksum does not fit"):
        unpack_with_another_model(good[:-1])


def test_every_flipped_bit_and_every_cut_is_refused(good):
    head = 35  # bytes; behind it every ninth place stands for all
    places = [*range(head), *range(head, len(good), 9)]
    damaged = [good[:end] for end in places] + [good + b"\0"]
    for place in places:
        damaged.append(good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :])
    for stream in damaged:
        with pytest.raises(tf.errors.InvalidArgumentError, match="stream"):
            unpack(stream)


def forge(**changed) -> bytes:
    """A stream whose checksum is right but whose contents are not."""
    fields = {"height": 5, "width": 5, "lengths": b"\1\1"} | changed
    sides = fields["height"].to_bytes(2, "little") + fields["width"].to_bytes(2, "little")
    rest = MODEL.to_bytes(4, "little") + LATENTS.to_bytes(4, "little") + sides + b"\0" + fields["lengths"] + b"abc"
    checksum = tf.fingerprint(tf.constant([b"KMP\1" + rest]))[0].numpy().tobytes()
    return b"KMP\1" + checksum + rest


def test_impossible_sizes_are_refused():
    assert unpack(forge())[1].numpy().tolist() == [b"a", b"b", b"c"]
    for changed in ({"height": 0}, {"width": 0}, {"lengths": b"\1\3"}, {"lengths": b"\xff\xff\xff\xff\xff\1\1"}):
        with pytest.raises(tf.errors.InvalidArgumentError, match="sizes are impossible"):
            unpack(forge(**changed))


@pytest.mark.parametrize(
    ("height", "width", "flags", "message"),
    [(0, 5, 0, "without pixels"), (5, 65536, 0, "65535 pixels"), (5, 5, 256, "do not fit"), (5, 5, -1, "do not fit")],
)
def test_what_does_not_fit_is_not_packed(height, width, flags, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        pack(height, width, flags, tf.constant(SECTIONS))


@pytest.mark.parametrize(
    ("stream", "message"),
    [(b"", "empty"), (b"\x89PNG" * 9, "not a Kompakt"), (b"KMP\1", "truncated"), (b"KMP\7" + bytes(40), "version")],
)
def test_describe_names_other_things(stream, message):
    with pytest.raises(ValueError, match=message):
        describe(stream)


def test_fingerprints_differ_and_fit():
    prints = {int(container.fingerprint(tf.constant(text))) for text in (b"", b"a", b"b", np.ones(9).tobytes())}
    assert len(prints) == 4 and all(0 <= number < 1 << 32 for number in prints)


def test_pictures_beyond_the_limit_have_no_stream():
    stream = pack(2048, 65535, 0, tf.constant(SECTIONS)).numpy()  # 2^27 less one row's 2048
    assert unpack(stream)[0][1] == 65535 and describe(stream)["width"] == 65535
    forged = sealed(stream[:20] + (2049).to_bytes(2, "little") + stream[22:])
    message = r"134217728 pixels \(2\^27\) at most; its sides are"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        pack(2049, 65535, 0, tf.constant(SECTIONS))
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        unpack(forged)
    with pytest.raises(ValueError, match=message + " 2049 65535"):
        describe(forged)
