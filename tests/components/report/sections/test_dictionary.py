"""The page of a dictionary: atoms, pictures that come back, convergence; and the commands that use the pushed model."""

import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from components.report import page
from components.report.section import Notes, Run
from components.report.sections import atoms, convergence
from models.contract import registry
from models.contract.recipe import ConfigError
from models.publishing import export
from models.pursuit import given, matching_pursuit
from models.training import loop
from pipeline.commands.dictionaries import decode, encode
from tests.models.kinds import photograph, tinted, tiny, write_records


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained dictionary at `model`, records at `test.gz`, a picture at `p.png`."""
    folder = tmp_path_factory.mktemp("dictionary")
    recipe = registry.get("matching_pursuit")
    config = recipe.make_config("small", tiny(recipe))
    keras.utils.set_random_seed(1)
    export.export(recipe, config, recipe.build(config), str(folder / "model"))
    write_records(folder / "test.gz", [tinted(n, f"<{n}>") for n in range(3)])
    Image.fromarray(photograph(16, 16)).save(folder / "p.png")
    return folder


def test_the_page_has_atoms_pictures_and_convergence(folder):
    run = Run("matching_pursuit", {}, str(folder / "model"), "", [str(folder / "test.gz")], 2, "", Notes())
    measured = {"atoms": atoms.SECTION.measure(run), "convergence": convergence.SECTION.measure(run)}
    assert len(measured["atoms"]["rows"]) == 2 and len(measured["atoms"]["used"]) == 6
    curves = measured["convergence"]["curves"]
    assert {len(c) for c in curves.values()} == {convergence.STEPS + 1} and measured["convergence"]["patches"] == 12
    assert all(c[0] == pytest.approx(curves["fcmp"][0]) for c in curves.values())
    assert curves["fcmp"][6] < 1e-9 and curves["nnmp"][6] > curves["fcmp"][6]
    assert measured["convergence"]["left"][0] == pytest.approx(1)
    html = page.render({"recipe": "matching_pursuit", "noun": "pictures", "sections": json.loads(json.dumps(measured))})
    assert "<h2>Atoms" in html and "&lt;0&gt;" in html and html.count("data:image/png") == 5
    assert "<h2>Convergence" in html and "FCMP" in html and "<svg" in html
    assert "could not be drawn" in atoms.SECTION.render(None, {})
    assert "No patch was coded" in convergence.SECTION.render(None, {})


def test_a_sheet_of_atoms():
    drawn = atoms.sheet(np.stack([np.full((2, 2, 1), 0.5), -np.ones((2, 2, 1)), np.ones((2, 2, 1))]), columns=2)
    assert drawn.shape == (5, 5, 1) and (drawn[:2, :2] == 255).all() and (drawn[:2, 3:] == 0).all()
    assert (drawn[2] == 128).all() and (drawn[3:, :2] == 255).all() and (drawn[3:, 3:] == 128).all()


def called(command, *arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_pictures_and_vectors_there_and_back(folder, tmp_path):
    np.save(tmp_path / "v.npy", np.abs(np.random.default_rng(0).normal(size=(5, 192))))
    where = ("--model", folder / "model", "--out")
    done = called(encode.command, folder / "p.png", tmp_path / "v.npy", *where, tmp_path / "coded")
    assert done.exit_code == 0 and " dB" in done.output and "5 x " in done.output, done.output
    with np.load(tmp_path / "coded" / "p.npz") as coded, np.load(tmp_path / "coded" / "v.npz") as vectors:
        assert coded["weights"].shape == (4, 6) and vectors["weights"].shape == (5, 6)
        assert ((coded["weights"] > 0).sum(1) <= 3).all() and 0 < coded["error"] < 1
        psnr = float(coded["psnr_db"])
    done = called(decode.command, tmp_path / "coded" / "p.npz", *where, tmp_path / "back")
    assert done.exit_code == 0, done.output
    decoded = np.array(Image.open(tmp_path / "back" / "p.png")) / 255
    assert -10 * np.log10(np.square(decoded - photograph(16, 16) / 255).mean()) == pytest.approx(psnr, abs=1e-3)
    done = called(decode.command, tmp_path / "coded" / "v.npz", "--vectors", *where, tmp_path / "back")
    assert done.exit_code == 0 and np.load(tmp_path / "back" / "v.npy").shape == (5, 192)
    done = called(decode.command, tmp_path / "coded" / "v.npz", *where, tmp_path / "other")
    assert done.exit_code and "a picture has 4 patches, not 5" in done.output
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY")
    done = called(encode.command, tmp_path / "bad.npy", *where, tmp_path / "other")
    assert done.exit_code and "not a file of NumPy" in done.output


def test_a_given_dictionary_is_taken_as_it_is(folder, tmp_path):
    given_atoms = np.random.default_rng(1).normal(size=(4, 192))
    np.save(tmp_path / "d.npy", given_atoms)
    recipe = matching_pursuit.RECIPE
    options = {"dictionary": str(tmp_path / "d.npy"), "image_size": 16, "channels": 3, "patch": 8}
    config = recipe.adapt(recipe.make_config("small", options), [str(folder / "test.gz")])
    files = [str(folder / "test.gz")]
    model = loop.train(recipe, config, files, files, work_dir=str(tmp_path / "work"), log_dir=str(tmp_path / "logs"),
                       progress=False)  # fmt: skip
    assert config.atoms == 4 and config.steps == 1 and not model.trainable_variables
    (entry,) = json.loads((tmp_path / "logs" / "history.json").read_text())
    assert 0 < entry["val_error"] < 1
    np.testing.assert_allclose(model.atoms, given_atoms / np.linalg.norm(given_atoms, axis=1)[:, None], atol=1e-6)
    with pytest.raises(ConfigError, match="atoms of 192 numbers; patches of 16 by 16 with 3 channels have 768"):
        recipe.adapt(recipe.make_config("small", options | {"patch": 16}), [str(folder / "test.gz")])
    with pytest.raises(ConfigError, match="no such file"):
        given.read(str(tmp_path / "absent.npy"))
    (tmp_path / "t.npy").write_text("no")
    with pytest.raises(ConfigError, match="not a .npy file with an atom a row"):
        given.read(str(tmp_path / "t.npy"))


def test_sizes_follow_the_data(folder):
    recipe = matching_pursuit.RECIPE
    config = recipe.adapt(recipe.make_config("small"), [str(folder / "test.gz")])
    assert (config.image_size, config.patch, config.channels, config.length) == (16, 16, 3, 768)
    config = recipe.adapt(recipe.make_config("small", {"patch": 5}), [str(folder / "test.gz")])
    assert (config.image_size, config.patch) == (15, 5)
    with pytest.raises(ConfigError, match="patch=5: must divide image_size=16"):
        recipe.make_config("small", {"patch": 5, "image_size": 16})
