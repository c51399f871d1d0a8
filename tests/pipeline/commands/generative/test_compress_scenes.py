"""`compress-scenes` and `scene-maps` with an exported model: where maps come from, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

from components.serving.served_codec import ServedCodec
from models.contract import registry
from models.publishing import export
from pipeline import cli
from tests.components.server.process import serving
from tests.models.code_kind import Scenes
from tests.models.examples import photograph
from tests.models.selective_kind import Selective

pytestmark = pytest.mark.slow

SIDES = 40, 56
NAMES = ["sky", "road", "car"]


def exported(recipe, tiny, folder):
    recipe = registry.get(recipe)
    config = recipe.make_config("small", tiny | {"class_names": json.dumps(NAMES)})
    export.export(recipe, config, recipe.build(config), str(folder / "1"))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder of versions of a codec that was never trained."""
    return exported("extreme_selective", Selective.tiny, tmp_path_factory.mktemp("serving"))


@pytest.fixture
def scene(tmp_path):
    """Folders pictures, labels with another order of classes, masks, of two pictures, one of them in a folder below."""
    for name, offset in (("a", 0), ("below/b", 9)):
        for kind in ("pictures", "labels", "masks"):
            (tmp_path / kind / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(*SIDES, offset)).save(tmp_path / "pictures" / f"{name}.png")
        levels = np.repeat(np.arange(4, dtype=np.uint8) % 4, 10)[:, None].repeat(SIDES[1], 1)
        Image.fromarray(levels).save(tmp_path / "labels" / f"{name}.png")
        mask = np.zeros(SIDES, np.uint8)
        mask[8:16, 16:32] = 1
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "labels" / "classes.txt").write_text("car\nvoid\nsky\ntree\n")
    return tmp_path


def pixels(path):
    return np.array(Image.open(path))


def coded(scene, out, given, keep, *more):
    return cli.main(["compress-scenes", str(scene / "pictures"), *given, "--labels", str(scene / "labels"),
                     "--keep", keep, "--out", str(scene / out), *more])  # fmt: skip


def test_what_is_kept_comes_from_masks_and_labels_from_names(model, scene, capsys):
    given = ["--model", str(model)]
    assert coded(scene, "streams", given, str(scene / "masks")) == 0
    assert capsys.readouterr().out.count("6% kept") == 2
    for option, out in (([], "maps"), (["--kept"], "kept")):
        assert cli.main(["scene-maps", str(scene / "streams"), *given, *option, "--out", str(scene / out)]) == 0
    labels = pixels(scene / "maps" / "below" / "b.png")
    assert [labels[row, 0] for row in (5, 15, 25, 35)] == [2, 255, 0, 255]  # car, void, sky; a tree is not the model's
    assert np.array_equal(pixels(scene / "kept" / "a.png") > 0, pixels(scene / "masks" / "a.png") > 0)
    assert cli.main(["decompress", str(scene / "streams"), *given, "--out", str(scene / "decoded")]) == 0
    drawn = ServedCodec(model).decompress((scene / "streams" / "a.kmp").read_bytes())
    assert (scene / "decoded" / "a.png").read_bytes() == drawn
    assert pixels(scene / "decoded" / "below" / "b.png").shape == (*SIDES, 3)


def test_classes_are_kept_by_name_and_number(model, scene):
    given = ["--model", str(model)]
    for keep, rows in (("car", slice(0, 16)), ("0, 2", slice(0, 32))):  # whole squares of 8 pixels
        assert coded(scene, f"s{keep}", given, keep) == 0
        command = ["scene-maps", str(scene / f"s{keep}"), *given, "--kept", "--out", str(scene / f"m{keep}")]
        assert cli.main(command) == 0
        expected = np.zeros(SIDES, bool)
        expected[rows] = True
        if keep == "0, 2":
            expected[16:24] = expected[24:32] = True
        assert np.array_equal(pixels(scene / f"m{keep}" / "a.png") > 0, expected)


def test_a_segmenter_says_the_labels(model, scene, tmp_path):
    segmenter = exported("code_segmenter", Scenes().tiny, tmp_path / "segmenter")
    given = ["--model", str(model)]
    command = ["compress-scenes", str(scene / "pictures" / "a.png"), *given, "--labels", str(segmenter), "--keep", "1",
               "--out", str(scene / "s")]  # fmt: skip
    assert cli.main(command) == 0
    assert cli.main(["scene-maps", str(scene / "s"), *given, "--out", str(scene / "m")]) == 0
    assert cli.main(["segment", str(scene / "pictures" / "a.png"), "--model", str(segmenter), "--out",
                     str(scene / "seen")]) == 0  # fmt: skip
    assert np.array_equal(pixels(scene / "m" / "a.png"), pixels(scene / "seen" / "a.png"))


def test_a_server_gives_the_same_streams(model, scene):
    assert coded(scene, "here", ["--model", str(model)], str(scene / "masks")) == 0
    (scene / "labels" / "classes.txt").write_text("sky\nvoid\nroad\ncar\n")
    assert coded(scene, "named", ["--model", str(model)], str(scene / "masks")) == 0
    with serving(f"tiny={model}") as server:
        given = ["--url", server.url("tiny")]
        assert coded(scene, "there", given, str(scene / "masks"), "--parallel", "2") == 0
        assert coded(scene, "x", given, "car") == 2
    named, there = ((scene / folder / "a.kmp").read_bytes() for folder in ("named", "there"))
    assert named == there != (scene / "here" / "a.kmp").read_bytes()


def test_what_does_not_fit_is_told_before_anything_is_written(model, scene, capsys):
    given = ["--model", str(model)]
    (scene / "masks" / "a.png").unlink()
    assert coded(scene, "out", given, str(scene / "masks")) == 2
    assert "a.png, 1 of 2 are missing" in " ".join(capsys.readouterr().err.split())
    assert coded(scene, "out", given, "car,tree") == 2
    assert "tree is no class: the model's are sky, road, car" in capsys.readouterr().err
    (scene / "labels" / "classes.txt").write_text("tree\nhouse\nvoid\n")
    assert coded(scene, "out", given, "car") == 2
    assert "are none of the model's" in capsys.readouterr().err
    assert not (scene / "out").exists()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(scene / "labels" / "a.png")
    (scene / "labels" / "classes.txt").write_text("sky\nvoid\nroad\ncar\n")
    assert coded(scene, "out", given, "car") == 2
    error = capsys.readouterr().err
    assert "label map must have the picture's sides" in error and "1 of 2 files failed" in error
    assert [path.name for path in (scene / "out").rglob("*.kmp")] == ["b.kmp"]
