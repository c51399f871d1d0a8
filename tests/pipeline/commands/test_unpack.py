"""The command `unpack` on archives, good and bad."""

import numpy as np
import pytest

from models.compressed import archive
from models.compressed.coded import fill
from models.publishing import export, pushed
from pipeline import cli
from tests.models.compressed.made import built, coded_of


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A folder with an archive, and with the model that it was made of."""
    folder = tmp_path_factory.mktemp("packed")
    recipe, config, model = built("small_cnn", width=4)
    coded = coded_of(model, 6)
    fill(model.network, coded)
    export.export(recipe, config, model, str(folder / "model"))
    fingerprint = pushed.describe(str(folder / "model"))["fingerprint"]
    archive.write(folder, archive.pack(coded, recipe, config, fingerprint)[0])
    return folder


def test_it_writes_the_very_model(packed, tmp_path, capsys):
    assert cli.main(["unpack", str(packed / archive.FILE), "--out", str(tmp_path / "new" / "model")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "new" / "model")
    weights = [pushed.load(str(place))[2].get_weights() for place in (packed / "model", tmp_path / "new" / "model")]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


def test_what_is_no_archive_is_told_in_one_line(packed, tmp_path, capsys):
    whole = (packed / archive.FILE).read_bytes()
    for name, content, said in (
        ("cut", whole[:-9], "truncated or damaged"), ("empty", b"", "does not begin with KMW"),
        ("changed", whole[:99] + bytes([whole[99] ^ 1]) + whole[100:], "checksum"),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        assert cli.main(["unpack", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1 and not (tmp_path / "out").exists()
    assert cli.main(["unpack", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert cli.main(["unpack", str(packed / archive.FILE), "--out", str(packed)]) == 2
    assert "not an empty folder" in capsys.readouterr().err
