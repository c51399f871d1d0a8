"""The commands `predict` and `segment` on streams of the codec whose codes a model reads, and on those of others."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.contract import registry
from models.records import scenes as scene_records
from models.understanding.reader import Reader
from pipeline import cli
from tests.models.code_kind import CODEC
from tests.models.kinds import KINDS, photograph, png
from tests.models.trained import Recipes
from tests.pipeline.runners.rest_server import serving


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """As that of tests/models, with which it shares what is exported."""
    return Recipes(lambda shape: KINDS[shape].write(tmp_path_factory.mktemp(shape)), tmp_path_factory)


@pytest.fixture(scope="module")
def other():
    """A stream of another codec."""
    recipe = registry.get("factorized")
    config = recipe.make_config("small", CODEC)
    keras.utils.set_random_seed(9)
    return Reader(recipe, recipe.build(config), config).write(tf.constant(photograph(20, 20)))[0].numpy()


def stream_of(pixels: np.ndarray) -> bytes:
    """The stream of the codec whose codes the models of the contract tests read."""
    return KINDS["codes"].reader.write(tf.constant(pixels))[0].numpy()


class TestPredict:
    """`predict` with a classifier of codes."""

    @pytest.fixture(scope="class")
    def streams(self, trained, tmp_path_factory):
        """A folder of streams and a picture, and the model that reads them."""
        folder, done = tmp_path_factory.mktemp("streams"), trained("code_classifier")
        for name, size in (("a", (40, 30)), ("b", (7, 90))):
            (folder / f"{name}.kmp").write_bytes(stream_of(photograph(*size)))
        (folder / "c.png").write_bytes(png(photograph(20, 20)))
        return folder, str(done.directory)

    def test_folders_of_streams_and_pictures(self, streams, capsys):
        folder, model = streams
        assert cli.main(["predict", str(folder), "--model", model, "--top", "2"]) == 0
        lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        assert [line[0] for line in lines] == [f"{folder}/{name}" for name in ("c.png", "a.kmp", "b.kmp")]
        assert all(len(line) == 5 and set(line[1::2]) <= {"0", "1", "2"} for line in lines)

    def test_another_codecs_stream_is_named_and_the_others_answered(self, streams, other, tmp_path, capsys):
        folder, model = streams
        (tmp_path / "other.kmp").write_bytes(other)
        assert cli.main(["predict", str(tmp_path / "other.kmp"), str(folder / "a.kmp"), "--model", model]) == 1
        told = capsys.readouterr()
        assert "other.kmp: the stream was written by another model" in told.err and told.out.count("\n") == 1

    @pytest.mark.slow
    def test_a_server_gives_the_same_lines(self, streams, capsys):
        folder, model = streams
        assert cli.main(["predict", str(folder), "--model", model]) == 0
        expected = capsys.readouterr().out
        with serving(model) as url:
            assert cli.main(["predict", str(folder), "--url", url]) == 0
        assert capsys.readouterr().out == expected and expected.count("\n") == 3


@pytest.mark.slow
def test_segment_writes_maps_of_pictures_and_streams(trained, other, tmp_path, capsys):
    done, given = trained("code_segmenter"), tmp_path / "in"
    given.mkdir()
    (given / "a.png").write_bytes(png(photograph(30, 50)))
    (given / "b.kmp").write_bytes(stream_of(photograph(30, 50)))
    command = ["segment", str(given), "--model", str(done.directory), "--out", str(tmp_path / "out")]
    assert cli.main(command) == 0
    maps = [scene_records.decode_map(tf.io.read_file(f"{tmp_path}/out/{n}.png")).numpy() for n in "ab"]
    assert maps[0].shape == (30, 50) and np.array_equal(*maps) and capsys.readouterr().out.count("%") >= 2
    (given / "c.kmp").write_bytes(other)
    assert cli.main([*command, "--overwrite"]) == 2
    assert "c.kmp: the stream was written by another model" in capsys.readouterr().err
    assert cli.main(["segment", str(given / "a.png"), "--model", str(tmp_path), "--out", str(tmp_path / "o")]) == 2
    assert "no model here" in capsys.readouterr().err
