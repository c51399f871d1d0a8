"""`compress --lossless`: what it takes and refuses, and that PNGs go to the codec as they came."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image

from models.publishing import released
from pipeline import cli
from pipeline.client import codecs
from tests.components import tiny_codec


def call(command, *arguments):
    """Runs a command; returns (exit code, standard output, standard error)."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = cli.main([command, *map(str, arguments)])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "astronaut.png"
    Image.fromarray(tiny_codec.photographs()["astronaut"]).save(path)
    return path


@pytest.fixture(scope="module")
def lossless(tmp_path_factory):
    """A codec that drops nothing and has no lambda."""
    return tiny_codec.save(tmp_path_factory.mktemp("lossless") / "1", 0, config={})


def test_there_and_back(picture, lossless, tmp_path):
    code, said, _ = call("compress", picture, "--lossless", "--model", lossless, "--out", tmp_path / "streams")
    assert code == 0 and "bpp" in said
    code, _, _ = call("decompress", tmp_path / "streams", "--model", lossless, "--out", tmp_path / "decoded")
    assert code == 0
    back = np.asarray(Image.open(tmp_path / "decoded" / "astronaut.png"))
    assert np.array_equal(back, tiny_codec.photographs()["astronaut"])


def test_a_codec_with_loss_is_refused(picture, tmp_path):
    model = tiny_codec.save(tmp_path / "1")
    code, _, said = call("compress", picture, "--lossless", "--model", model, "--out", tmp_path / "streams")
    assert code != 0 and "a codec with loss; --lossless takes one without" in said and said.count("\n") == 1


def test_there_is_one_rate(picture, lossless, tmp_path):
    for option in (("--quality", 5), ("--target-bpp", 1)):
        code, _, said = call("compress", picture, "--lossless", "--model", lossless, "--out", tmp_path, *option)
        assert code != 0 and "--lossless has one rate" in said


def test_without_released_weights_one_line_says_so(picture, tmp_path, monkeypatch):
    monkeypatch.setattr(released, "FOLDER", tmp_path / "none")
    code, _, said = call("compress", picture, "--lossless", "--out", tmp_path / "streams")
    assert code != 0 and "no released weights 'lossless'" in said and said.count("\n") == 1


def test_a_stream_of_nobody_is_refused_by_the_released_ones(tmp_path, monkeypatch):
    (tmp_path / "p.kmp").write_bytes(tiny_codec.header(77))
    folder = tiny_codec.save(tmp_path / "edic")
    monkeypatch.setattr("components.serving.released_model.directory_of", lambda name, announce: folder)
    code, _, said = call("decompress", tmp_path / "p.kmp", "--out", tmp_path / "out")
    assert code != 0 and "none of the released ones" in said


@pytest.mark.parametrize("prepared", ["edic", "lossless"])
def test_what_is_prepared_is_asked_first(monkeypatch, prepared):
    """A stream of the lossless codec does not wait until the other one is made."""
    monkeypatch.setattr("components.serving.released_model.is_prepared", lambda name: name == prepared)
    assert codecs.open_reader((), None).names[0] == prepared


def test_16_bits_reach_the_codec(tmp_path, lossless, monkeypatch):
    """What is read is the file's own bytes: the usual way would cut its values to 8 bits."""
    values = np.arange(80, dtype=np.uint16).reshape(8, 10) * 801
    Image.fromarray(values).save(tmp_path / "deep.png")
    seen = []
    compress = "components.serving.served_codec.ServedCodec.compress"
    monkeypatch.setattr(compress, lambda codec, content, **options: seen.append(content) or tiny_codec.header(0))
    assert call("compress", tmp_path / "deep.png", "--lossless", "--model", lossless, "--out", tmp_path / "s")[0] == 0
    assert seen == [(tmp_path / "deep.png").read_bytes()]
