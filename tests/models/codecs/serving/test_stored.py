"""Pictures that are kept as a PNG: which ones, that they come back as they were, and what is refused."""

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.native_model import AS_IT_IS, NativeError, NativeModel
from models.codecs.serving import stored
from models.contract import registry
from models.entropy.coder import header
from models.publishing.export import export
from tests.claims.damage import sealed
from tests.components.kinds.pictures import picture_suite as suite
from tests.models.kinds import Codec, photograph, png

HEAD = header.FIXED


def graphic(*channels: int) -> np.ndarray:
    """A drawing, uint8 [70, 90, *channels]: few colours, sharp edges."""
    rows, columns = np.mgrid[:70, :90]
    areas = (rows // 9 + columns // 30) % 3
    shades = np.random.default_rng(1).integers(0, 256, (3, *channels))
    return shades[areas].astype("uint8")


def written(pixels: np.ndarray, format_name: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format_name, **options)
    return buffer.getvalue()


def seen(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    recipe = registry.get("factorized")
    config = recipe.make_config("small", Codec.tiny | {"store": True})
    folder = tmp_path_factory.mktemp("stored") / "model"
    export(recipe, config, recipe.build(config), str(folder))
    return folder


@pytest.fixture(scope="module")
def call(folder):
    """(signature, bytes) -> bytes, by TensorFlow's C library."""
    with NativeModel(folder, config=AS_IT_IS) as model:
        taken = {"compress": "image_bytes", "decompress": "bitstream_bytes"}
        given = {"compress": "bitstream_bytes", "decompress": "image_bytes"}
        yield lambda name, content: model(name, **{taken[name]: np.array([content], object)})[given[name]][0]


@pytest.mark.parametrize(
    "content, picture",
    [
        (written(graphic(3), "PNG"), graphic(3)),
        (written(graphic(3), "BMP"), graphic(3)),
        (written(graphic(), "GIF"), np.repeat(graphic()[..., None], 3, 2)),
        (written(graphic(), "PNG"), graphic()),
        (written(graphic(4), "PNG"), graphic(4)),
    ],
    ids=["PNG", "BMP", "GIF", "grey", "alpha"],
)
def test_graphics_come_back_as_they_were(call, content, picture):
    stream = call("compress", content)
    assert header.is_stored(stream) and len(stream) <= len(written(picture, "PNG", optimize=True)) + HEAD + 40
    described = header.describe(stream)
    assert (described["height"], described["width"]) == picture.shape[:2]
    np.testing.assert_array_equal(seen(call("decompress", stream)), picture)


def test_a_png_that_cannot_be_smaller_is_kept_as_it_came(call):
    """Palettes and 16 bits too, which the codec itself would cut."""
    shades = np.array([[0, 65535, 300]], ">u2").repeat(20, 0).repeat(10, 1)
    deep = suite.png(shades[..., None], 0, 16)
    for content in (deep, written(graphic() // 86, "PNG", optimize=True, bits=2)):
        stream = call("compress", content)
        assert stream.endswith(content) and len(stream) == len(content) + HEAD
        assert call("decompress", stream) == content


def test_photographs_are_coded(call):
    for size in ((70, 90), (300, 250)):
        for content in (png(photograph(*size)), written(photograph(*size), "JPEG", quality=90)):
            assert not header.is_stored(call("compress", content))


@pytest.mark.parametrize("quality, times", [(0.0, 1.5), (0.5, 2.75), (1.0, 4.0)])
def test_the_quality_says_how_much_larger_it_may_be(quality, times):
    content = written(graphic(3), "PNG", optimize=True)
    size = len(content) + HEAD
    for length, kept in ((size / times * 1.01, True), (size / times * 0.99, False)):
        stream = tf.constant(b"x" * round(length))
        found = stored.instead(tf.constant(content), stream, tf.constant(quality)).numpy()
        assert header.is_stored(found) == kept


def test_a_large_png_is_not_written_anew(monkeypatch):
    monkeypatch.setattr(stored, "_LARGE_PNG", 1000)
    content = written(graphic(3), "PNG", compress_level=0)
    found = stored.instead(tf.constant(content), tf.constant(b"x" * len(content)), tf.constant(1.0)).numpy()
    assert found.endswith(content)
    monkeypatch.setattr(stored, "_LARGE_PNG", 10_000)
    found = stored.instead(tf.constant(content), tf.constant(b"x" * len(content)), tf.constant(1.0)).numpy()
    assert header.is_stored(found) and len(found) < len(content) / 10


def test_rows_tell_how_large_a_png_will_be():
    drawn = written(np.tile(graphic(3), (6, 2, 1)), "BMP")
    real = len(tf.io.encode_png(tf.io.decode_bmp(drawn)).numpy())
    assert 0.5 * real < stored._guess(tf.constant(drawn)).numpy() < 2 * real
    assert stored._guess(tf.constant(written(np.zeros((1100, 1100), "uint8"), "JPEG"))).numpy() == np.inf


def test_every_flipped_bit_and_every_cut_is_refused(call):
    good = call("compress", written(graphic(3), "PNG"))
    damaged = [good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :] for place in range(len(good))]
    for stream in [*damaged, *(good[:end] for end in range(0, len(good), 7)), good + b"\0"]:
        with pytest.raises(NativeError, match="stream|version"):
            call("decompress", stream)


def test_forged_streams_are_refused(call):
    good = call("compress", written(graphic(3), "PNG"))
    taller = good[:20] + (71).to_bytes(2, "little") + good[22:]
    forged = [(taller, "it holds no PNG of its size"), (good[:HEAD], "it holds no PNG of its size"),
              (good[:HEAD] + written(graphic(3), "BMP"), "it holds no PNG of its size"),
              (good[:-30], "PNG|decode"), (good[:12] + b"\1" + good[13:], "another model")]  # fmt: skip
    for stream, message in forged:
        with pytest.raises(NativeError, match=message):
            call("decompress", sealed(stream))


def test_a_codec_that_stores_nothing_reads_what_others_stored(call):
    recipe = registry.get("factorized")
    config = recipe.make_config("small", Codec.tiny)
    model, storing = recipe.build(config), dataclasses.replace(config, store=True)
    module = recipe.signatures(model, config)
    functions = module.functions
    assert recipe.signatures(model, storing).fingerprint == module.fingerprint
    content = written(graphic(3), "PNG")
    assert not header.is_stored(functions["compress"](tf.constant([content]))["bitstream_bytes"][0].numpy())
    image = functions["decompress"](tf.constant([call("compress", content)]))["image_bytes"][0].numpy()
    np.testing.assert_array_equal(seen(image), graphic(3))


def test_what_is_measured_is_the_codec(folder):
    from tests.models.kinds import picture_record

    numbers = tf.saved_model.load(str(folder)).signatures["serving_default"](
        examples=tf.constant([picture_record(graphic(3))])
    )
    assert 0 < float(numbers["psnr_db"][0, 0]) < 60
