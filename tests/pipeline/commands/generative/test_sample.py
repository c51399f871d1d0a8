"""`sample` and `decompress --seed` with an exported generative model, and what they refuse."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.serving.served_codec import ServedCodec, ServedCodecError
from models.generative.distribution_preserving import RECIPE, served
from models.generative.generator_game import build_game
from models.publishing import export
from pipeline import cli
from tests.components import tiny_codec
from tests.components.server.process import serving
from tests.models.examples import photograph, png
from tests.models.generative import small_dplc


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder of versions with one model that was never trained."""
    folder, config = tmp_path_factory.mktemp("serving"), small_dplc.config()
    export.export(RECIPE, config, small_dplc.settled(config), str(folder / "1"))
    return folder


def read(path):
    return np.array(Image.open(path))


@pytest.mark.slow
def test_pictures_are_drawn_by_their_seeds(model, tmp_path, capsys):
    ask = ["sample", "--model", str(model), "--count", "3", "--seed", "7", "--out"]
    assert cli.main([*ask, str(tmp_path / "a")]) == 0
    assert capsys.readouterr().out.count("16x16 pixels") == 3
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["sample-7.png", "sample-8.png", "sample-9.png"]
    assert cli.main(["sample", "--model", str(model), "--count", "1", "--seed", "8", "--out", str(tmp_path / "b")]) == 0
    first, second = read(tmp_path / "a" / "sample-7.png"), read(tmp_path / "a" / "sample-8.png")
    assert np.array_equal(second, read(tmp_path / "b" / "sample-8.png")) and not np.array_equal(first, second)
    capsys.readouterr()
    assert cli.main([*ask, str(tmp_path / "a")]) == 2
    assert "exists; give --overwrite" in capsys.readouterr().err


@pytest.mark.slow
def test_a_stream_is_decompressed_by_a_seed(model, tmp_path):
    (tmp_path / "p.png").write_bytes(png(photograph(20, 33)))
    given = ["--model", str(model), "--out"]
    assert cli.main(["compress", str(tmp_path / "p.png"), *given, str(tmp_path / "s")]) == 0
    found = {}
    for name, seed in (("own", []), ("five", ["--seed", "5"]), ("again", ["--seed", "5"]), ("six", ["--seed", "6"])):
        command = ["decompress", str(tmp_path / "s"), *given, str(tmp_path / name), *seed]
        assert cli.main(command) == 0
        found[name] = read(tmp_path / name / "p.png")
    assert found["own"].shape == (20, 33, 3) and np.array_equal(found["five"], found["again"])
    assert not np.array_equal(found["five"], found["six"]) and not np.array_equal(found["own"], found["five"])


@pytest.mark.slow
def test_a_server_draws_the_same(model, tmp_path):
    (tmp_path / "p.png").write_bytes(png(photograph(20, 33)))
    with serving(f"tiny={model}") as server:
        for scheme in ("http", "grpc"):
            given = ["--url", server.url("tiny", scheme), "--out"]
            assert cli.main(["sample", "--count", "2", "--seed", "7", *given, str(tmp_path / scheme)]) == 0
            assert cli.main(["compress", str(tmp_path / "p.png"), *given, str(tmp_path / scheme)]) == 0
            command = ["decompress", str(tmp_path / scheme / "p.kmp"), *given, str(tmp_path / scheme), "--seed", "5"]
            assert cli.main(command) == 0
    here = ["--model", str(model), "--out", str(tmp_path / "here")]
    assert cli.main(["sample", "--count", "2", "--seed", "7", *here]) == 0
    assert cli.main(["decompress", str(tmp_path / "http" / "p.kmp"), *here, "--seed", "5"]) == 0
    for name in ("sample-7.png", "sample-8.png", "p.png"):
        expected = read(tmp_path / "here" / name).astype(int)
        assert all(np.abs(read(tmp_path / s / name) - expected).max() <= 1 for s in ("http", "grpc"))


def test_models_that_draw_nothing_are_refused(tmp_path, capsys):
    tiny_codec.save(tmp_path / "1")
    codec = ServedCodec(tmp_path)
    stream = codec.compress(png(photograph(16, 16)))
    with pytest.raises(ServedCodecError, match="takes no seed"):
        codec.decompress(stream, 5)
    assert cli.main(["sample", "--model", str(tmp_path), "--out", str(tmp_path / "o")]) == 2
    assert "not a generative model: no signature 'sample'" in capsys.readouterr().err
    assert cli.main(["sample", "--out", str(tmp_path / "o")]) == 2
    assert "give --model DIR or --url" in capsys.readouterr().err and not (tmp_path / "o").exists()


def test_seeds_are_for_one_model(tmp_path, capsys):
    (tmp_path / "s.kmp").write_bytes(b"KMP")
    assert cli.main(["decompress", str(tmp_path / "s.kmp"), "--seed", "1", "--out", str(tmp_path / "o")]) == 2
    assert "--seed is for one generative model" in capsys.readouterr().err


def test_what_is_lossy_is_no_lossless_codec(model, tmp_path, capsys):
    (tmp_path / "p.png").write_bytes(png(photograph(20, 33)))
    command = ["compress", str(tmp_path / "p.png"), "--lossless", "--model", str(model), "--out", str(tmp_path / "o")]
    assert cli.main(command) == 2 and "a codec with loss" in capsys.readouterr().err


@pytest.mark.slow
def test_the_export_has_no_trace_of_the_critic(tmp_path):
    """Of step one the generator stays: neither critic, nor encoder, nor optimizers."""
    config = small_dplc.config(code_channels=0)
    game = build_game(config)
    assert served(game, config)[1].count_params() < game.count_params()
    export.export(RECIPE, config, game, str(tmp_path / "m"))
    kept = {
        name: np.prod(shape) for name, shape in tf.train.list_variables(str(tmp_path / "m" / "variables" / "variables"))
    }
    floats = sum(size for name, size in kept.items() if "seed" not in name)
    assert game.generator.count_params() <= floats < 2.1 * game.generator.count_params() < game.count_params()
    assert b"critic" not in (tmp_path / "m" / "saved_model.pb").read_bytes()
    about = json.loads((tmp_path / "m" / "assets.extra" / "kompakt.json").read_text())
    assert about["config"]["code_channels"] == 0 and about["lossless"] is False
    codec = ServedCodec(tmp_path / "m")
    stream = codec.compress(png(photograph(16, 16)))
    picture = Image.open(io.BytesIO(codec.decompress(stream, 3)))
    assert picture.size == (16, 16)
