"""Rates of a served codec of variable rate: as many ways to ask as of a model of this machine, the same files."""

import re

import pytest
from PIL import Image

from components.serving.served_codec import ServedCodec
from models.contract import registry
from models.publishing import export
from pipeline import cli
from tests.components import tiny_codec
from tests.components.server.process import serving
from tests.models.kinds import KINDS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """An untrained codec of variable rate and one of a single rate behind a server, and the folder of the former."""
    root = tmp_path_factory.mktemp("rates")
    recipe = registry.get("factorized")
    config = recipe.make_config("small", KINDS["codec"].tiny | {"rates": 3})
    export.export(recipe, config, recipe.build(config), str(root / "variable" / "1"))
    tiny_codec.save(root / "tiny" / "1")
    with serving(root / "variable", root / "tiny") as server:
        yield server, root / "variable"


@pytest.fixture
def picture(tmp_path):
    Image.fromarray(tiny_codec.photographs(48)["cat"]).save(tmp_path / "cat.png")
    return tmp_path / "cat.png"


def compress(picture, *arguments):
    return cli.main(["compress", str(picture), "--out", str(picture.parent), "--overwrite", *map(str, arguments)])


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_quality_and_targets_give_the_files_of_the_model(served, picture, capsys, scheme):
    server, folder = served
    for options in (("--quality", 0), ("--quality", 73), ("--target-bpp", 1.0)):
        files = []
        for place in (("--model", folder), ("--url", server.url("variable", scheme))):
            assert compress(picture, *place, *options) == 0, capsys.readouterr()
            files.append(picture.with_suffix(".kmp").read_bytes())
        assert files[0] == files[1]
    said = capsys.readouterr().out
    assert "lambda" in said and re.search(r"bpp  quality \d+", said)


def test_what_a_model_of_one_rate_cannot_do_is_told(served, picture, capsys):
    server, _ = served
    for options, said in (
        (("--quality", 50), "a model of one rate; --quality and the targets are for one of variable rate"),
        (("--refine", 2), "refines no latents (no signature 'compress_refined')"),
    ):
        assert compress(picture, "--url", server.url("tiny"), *options) == 2
        assert said in capsys.readouterr().err
    assert ServedCodec(served[1]).description["config"]["rates"] == 3
