"""The command `predict` on files, good and bad, with an exported classifier."""

import json

import keras
import numpy as np
import pytest

from models.contract import registry
from models.publishing import export
from pipeline import cli
from tests.components import toy_model
from tests.models.kinds import photograph, png
from tests.pipeline.runners.rest_server import serving


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder of versions with one untrained classifier of three named classes."""
    folder = tmp_path_factory.mktemp("serving")
    recipe = registry.get("small_cnn")
    names = json.dumps(["cat", "dog", "a, b"])
    config = recipe.make_config("small", {"classes": 3, "image_size": 16, "width": 4, "class_names": names})
    keras.utils.set_random_seed(1)
    export.export(recipe, config, recipe.build(config), str(folder / "1"))
    return folder


def test_each_picture_gets_a_line(model, tmp_path, capsys):
    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes(png(photograph(20, 30, 40 * n)))
    assert cli.main(["predict", str(tmp_path), "--model", str(model), "--top", "3"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == [str(tmp_path / f"{n}.png") for n in range(3)]
    for _, *said in lines:
        assert sorted(said[::2]) == ["a, b", "cat", "dog"]
        p = np.array(said[1::2], float)
        assert abs(p.sum() - 1) < 1e-3 and list(p) == sorted(p, reverse=True)


def test_what_is_no_picture_is_named_and_the_rest_classified(model, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "b.png").write_bytes(png(photograph(20, 30)))
    assert cli.main(["predict", str(tmp_path), "--model", str(model)]) == 1
    told = capsys.readouterr()
    assert "a.png: not a PNG" in told.err and told.out.count("\n") == 1


def test_a_server_gives_the_same_lines(model, tmp_path, capsys):
    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes(png(photograph(20, 30, 40 * n)))
    assert cli.main(["predict", str(tmp_path), "--model", str(model)]) == 0
    expected = capsys.readouterr().out
    with serving(model / "1") as url:
        assert cli.main(["predict", str(tmp_path), "--url", url]) == 0
    assert capsys.readouterr().out == expected and expected.count("\n") == 3


def test_mistakes_are_one_line(model, tmp_path, capsys):
    (tmp_path / "b.png").write_bytes(png(photograph(20, 30)))
    for arguments, said in (
        ([str(tmp_path / "none"), "--model", str(model)], "no such file or folder"),
        ([str(tmp_path), "--model", str(tmp_path)], "no model here"),
        ([str(tmp_path)], "give --model DIR or --url"),
        ([str(tmp_path), "--model", str(model), "--window", "30"], "are for models of electrocardiograms"),
        ([str(tmp_path), "--model", str(toy_model.save(tmp_path / "codec"))], "it has no signature 'predict'"),
    ):
        assert cli.main(["predict", *arguments]) == 2
        assert said in capsys.readouterr().err
