"""`verify` and `identify` on files, good and bad, with an exported network and behind a server."""

import io

import numpy as np
import pytest
from PIL import Image

from components.serving.served_faces import ServedFaces, verified
from components.serving.served_model import ServedModelError
from models.contract import registry
from models.publishing import export
from pipeline import cli
from pipeline.commands.faces import verify
from tests.components import untrained_faces
from tests.models.examples import png
from tests.pipeline.runners.rest_server import serving


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder of versions with one untrained network."""
    folder = tmp_path_factory.mktemp("serving")
    untrained_faces.save(folder / "1")
    return folder


@pytest.fixture
def gallery(tmp_path):
    """Three persons: two with a folder, one picture named as a person."""
    root = tmp_path / "gallery"
    for person in ("ann", "bob"):
        (root / person).mkdir(parents=True)
    for n, path in enumerate(("ann/0.png", "ann/1.png", "bob/0.png", "cleo.png")):
        (root / path).write_bytes(png(untrained_faces.face([0, 0, 2, 4][n], n % 2)))
    return root


def test_two_pictures_are_compared(model, gallery, capsys):
    first, second = gallery / "ann" / "0.png", gallery / "bob" / "0.png"
    served = ServedFaces(model)
    for pair in ((first, first), (first, second)):
        assert cli.main(["verify", *map(str, pair), "--model", str(model)]) == 0
        said = capsys.readouterr().out.strip().split("\t")
        found = served.verify(*(path.read_bytes() for path in pair))
        vectors = served.embed([path.read_bytes() for path in pair])
        assert found.cosine == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-5)
        assert said[0] == ("one person" if found.cosine >= untrained_faces.THRESHOLD else "two persons")
        assert said[1] == f"cosine {found.cosine:.4f}"
        assert said[2] == "threshold 0.6000, which accepts 1.00% of 1,234 validation pairs of two persons"
    assert found.cosine < 0.999


def test_an_aligned_score_is_told_beside_the_cosine():
    found = verified({"cosine": [0.5], "same": [False], "threshold": [0.4], "false_accept_rate": [0.01],
                      "impostor_pairs": [1234], "aligned": [0.25], "aligned_threshold": [0.3],
                      "aligned_false_accept_rate": [0.02]})  # fmt: skip
    answer, cosine, threshold, aligned, own = verify.line(found).split("\t")
    assert (answer, cosine, aligned) == ("two persons", "cosine 0.5000", "aligned 0.2500")
    assert threshold == "threshold 0.4000, which accepts 1.00% of 1,234 validation pairs of two persons"
    assert own == "its threshold 0.3000, which accepts 2.00% of 1,234 validation pairs of two persons"
    assert "aligned" not in verify.line(found._replace(aligned=None))


def test_persons_are_found_in_a_gallery(model, gallery, tmp_path, capsys):
    probes = tmp_path / "probes"
    probes.mkdir()
    for name, source in (("x.png", "bob/0.png"), ("y.png", "cleo.png")):
        (probes / name).write_bytes((gallery / source).read_bytes())
    arguments = ["identify", str(probes), "--gallery", str(gallery), "--model", str(model), "--top", "3"]
    assert cli.main(arguments) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [[str(probes / "x.png"), "bob"], [str(probes / "y.png"), "cleo"]]
    served = ServedFaces(model)
    own = [served.embed([path.read_bytes()])[0] for path in sorted((gallery / "ann").iterdir())]
    for line in lines:
        assert sorted(line[1::2]) == ["ann", "bob", "cleo"]
        cosines = np.array(line[2::2], float)
        assert abs(cosines[0] - 1) < 1e-3 and (np.diff(cosines) <= 0).all()
        vector = served.embed([open(line[0], "rb").read()])[0]
        assert float(line[2::2][line[1::2].index("ann")]) == pytest.approx(max(v @ vector for v in own), abs=1e-3)


@pytest.mark.slow
def test_persons_are_ranked_by_the_score_that_verify_decides_by(model, gallery, tmp_path, capsys):
    aligned = tmp_path / "aligned"
    untrained_faces.save_aligned(tmp_path, aligned, mode="one_sided", strength=1.0)  # one that knows who is searched
    probe = gallery / "bob" / "0.png"
    search = ["identify", str(probe), "--gallery", str(gallery), "--top", "3", "--model", str(aligned)]
    served, found = ServedFaces(aligned), {}
    for path in gallery.rglob("*.png"):
        said = served.verify(probe.read_bytes(), path.read_bytes())
        person = path.stem if path.parent == gallery else path.parent.name
        found.setdefault(person, []).append({"aligned": said.aligned, "cosine": said.cosine})
    told = {}
    for score, threshold in (("aligned", said.aligned_threshold), ("cosine", said.threshold)):
        best = sorted(((max(s[score] for s in each), person) for person, each in found.items()), reverse=True)
        assert cli.main(search + (["--score", score] if score == "cosine" else [])) == 0
        answer = capsys.readouterr()
        assert answer.err == f"score: {score}, threshold {threshold:.4f}\n"
        fields = answer.out.strip().split("\t")
        assert (fields[1] == "nobody") == (best[0][0] < threshold)
        told[score] = fields[-6:]
        assert told[score][::2] == [person for _, person in best]
        np.testing.assert_allclose([float(s) for s in told[score][1::2]], [s for s, _ in best], atol=2e-4)
    assert told["aligned"] != told["cosine"]
    with serving(aligned) as url:
        assert cli.main([*search[:-2], "--url", url]) == 0
    assert capsys.readouterr().out.strip().split("\t")[-6:] == told["aligned"]
    assert cli.main([*search[:-1], str(model)]) == 0
    assert capsys.readouterr().err == f"score: cosine, threshold {untrained_faces.THRESHOLD:.4f}\n"
    assert cli.main([*search[:-1], str(model), "--score", "aligned"]) == 2
    assert "nothing to align scores by" in capsys.readouterr().err


def test_who_is_nobody_of_the_gallery_is_said_to_be(model, gallery, tmp_path, capsys):
    pixels = np.random.default_rng(1).integers(0, 255, (40, 40, 3), np.uint8)
    (tmp_path / "noise.png").write_bytes(png(pixels))
    nearest = max(ServedFaces(model).verify(png(pixels), path.read_bytes()).cosine for path in gallery.rglob("*.png"))
    assert cli.main(["identify", str(tmp_path / "noise.png"), "--gallery", str(gallery), "--model", str(model)]) == 0
    said = capsys.readouterr().out.strip().split("\t")
    assert ("nobody" in said) == (nearest < untrained_faces.THRESHOLD)
    assert float(said[-1]) == pytest.approx(nearest, abs=1e-3)


def test_a_server_says_the_same(model, gallery, capsys):
    pair = [str(gallery / "ann" / "0.png"), str(gallery / "bob" / "0.png")]
    search = ["identify", *pair, "--gallery", str(gallery), "--top", "2"]
    said = []
    with serving(model / "1") as url:
        for where in (["--model", str(model)], ["--url", url]):
            assert cli.main(["verify", *pair, *where]) == 0 and cli.main([*search, *where]) == 0
            said.append(capsys.readouterr().out)
    assert said[0] == said[1] and said[0].count("\n") == 3


def test_odd_pictures_are_answered(model, gallery, tmp_path, capsys):
    pixels = Image.open(gallery / "cleo.png")
    for name, mode in (("grey.png", "L"), ("alpha.png", "RGBA"), ("palette.png", "P"), ("photo.webp", "RGB")):
        pixels.convert(mode).save(tmp_path / name)
        assert cli.main(["verify", str(tmp_path / name), str(gallery / "cleo.png"), "--model", str(model)]) == 0
        assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.slow
def test_mistakes_are_one_line(model, gallery, tmp_path, capsys):
    good, bad = str(gallery / "cleo.png"), tmp_path / "bad.png"
    bad.write_bytes(png(untrained_faces.face(1, 1))[:200])
    (tmp_path / "empty").mkdir()
    classifier = tmp_path / "classifier"
    recipe = registry.get("small_cnn")
    config = recipe.make_config("small", {"classes": 3, "image_size": 16, "width": 4})
    export.export(recipe, config, recipe.build(config), str(classifier))
    told = ["--model", str(model)]
    for arguments, said in (
        (["verify", good, str(bad), *told], "bad.png: damaged picture"),
        (["verify", good, str(tmp_path / "none.png"), *told], "none.png: No such file"),
        (["verify", good, str(tmp_path), *told], "Is a directory"),
        (["verify", good, good], "give --model DIR or --url"),
        (["verify", good, good, "--model", str(classifier)], "no network for faces: no signature 'embed'"),
        (["identify", good, "--gallery", str(tmp_path / "none"), *told], "none: no such folder"),
        (["identify", good, "--gallery", str(tmp_path / "empty"), *told], "no file here ends in"),
    ):
        assert cli.main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    (gallery / "dora.png").write_bytes(bad.read_bytes())
    assert cli.main(["identify", good, str(bad), "--gallery", str(gallery), *told]) == 1
    found = capsys.readouterr()
    assert found.out.count("\n") == 1 and "dora.png: damaged" in found.err and "bad.png: damaged" in found.err
    with pytest.raises(ServedModelError):
        ServedFaces(model).embed([b"no picture"])
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "GIF")
    assert ServedFaces(model).embed([buffer.getvalue()]).shape == (1, 8)
