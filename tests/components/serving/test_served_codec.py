"""A pushed codec, called by its signatures."""

import numpy as np
import pytest
import tensorflow as tf

from components.evaluation import classic
from components.serving import served_codec
from components.serving.served_codec import ServedCodec, ServedCodecError
from tests.components import tiny_codec


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """A folder with the versions 9 and 10 of a codec, and what does not count: a half-copied and a named one."""
    folder = tmp_path_factory.mktemp("versions")
    tiny_codec.save(folder / "9", 5)
    tiny_codec.save(folder / "10", 4)
    (folder / "11").mkdir()
    (folder / "latest").mkdir()
    return folder


def test_the_newest_version_is_the_highest_number(versions):
    assert served_codec.newest_version(versions) == versions / "10"
    assert served_codec.newest_version(versions / "9") == versions / "9"
    with pytest.raises(ServedCodecError, match="no model here"):
        served_codec.newest_version(versions / "11")


def test_measures_what_it_codes(versions):
    picture = tiny_codec.photographs()["coffee"]
    codec = ServedCodec(versions)
    point, decoded = codec.measure(picture)
    stream = codec.compress(served_codec.png(picture))
    assert stream.startswith(tiny_codec.MAGIC)
    assert point.bpp == 8 * len(stream) / picture[..., 0].size
    assert np.array_equal(decoded, picture // 16 * 16 + 8)
    assert codec.estimated_bpp(picture) == pytest.approx(point.bpp - 32 / picture[..., 0].size, rel=0.02)
    assert codec.description["recipe"] == "tiny"


def test_what_a_model_cannot_do_is_told(versions):
    codec, picture = ServedCodec(versions), served_codec.png(tiny_codec.photographs()["cat"])
    with pytest.raises(ServedCodecError, match="a model of one rate"):
        codec.compress(picture, quality=50)
    with pytest.raises(ServedCodecError, match="refines no latents"):
        codec.compress(picture, refine=8)


def test_a_refused_stream_is_one_line(versions):
    with pytest.raises(ServedCodecError, match="not a stream of this codec") as caught:
        ServedCodec(versions).decompress(b"JUNKJUNK")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("assertion failed: [model] [ab] [but isn\\'t] [7]\n\t [[{{node a/Assert}}]]", "model ab but isn't 7"),
        ("assertion failed: [bad header] [Condition x == y did not hold.] [x] [1]\n\t [[{{node b}}]]", "bad header"),
        ("Graph execution error:\n\nDetected at node x defined at (most recent call last):\n"
         "<stack traces unavailable>\nInvalid PNG data, size 3\n\t [[{{node DecodePng}}]]", "Invalid PNG data, size 3"),
        ("", "str"),
    ],
)  # fmt: skip
def test_one_line_of_what_tensorflow_says(text, said):
    assert served_codec.one_line(text) == said


def test_other_models_and_damaged_ones_are_refused(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"classify": module.f})
    with pytest.raises(ServedCodecError, match="no signature 'compress' .it has classify"):
        ServedCodec(tmp_path)
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\x00damaged")
    with pytest.raises(ServedCodecError, match="cannot be loaded"):
        ServedCodec(tmp_path)


def test_png_is_lossless():
    picture = tiny_codec.photographs()["cat"]
    assert np.array_equal(classic.decode(served_codec.png(picture)), picture)
