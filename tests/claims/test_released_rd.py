"""The script behind the curve of the released codecs, on two small ones and small pictures."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from models.publishing import released
from tests.claims import released_rd
from tests.components import tiny_codec


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """What the script wrote, and its folder."""
    folder = tmp_path_factory.mktemp("released")
    (folder / "pictures").mkdir()
    for name, picture in list(tiny_codec.photographs().items())[:2]:
        Image.fromarray(picture).save(folder / "pictures" / f"{name}.png")
    configs = {"low": {"lmbda": 0.02, "rates": 5}, "high": {"lmbda": 0.64, "rates": 7}}
    made = {n: tiny_codec.save(folder / n, bits, config=configs[n]) for n, bits in (("low", 5), ("high", 3))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(released, "path_of", lambda name: name)
        patch.setattr(released, "describe", lambda name: {"config": configs[name]})
        patch.setattr(released_rd, "CODECS", {"low": 0, "high": 10})
        patch.setattr(released_rd, "released_folder", made.__getitem__)
        patch.setattr(released_rd, "CLASSICS", released_rd.CLASSICS[:2])
        out = CliRunner().invoke(
            released_rd.main, ["--pictures", str(folder / "pictures"), "--out", str(folder / "docs" / "curve")]
        )
    assert out.exit_code == 0, out.output
    return json.loads((folder / "docs" / "curve.json").read_text()), folder / "docs"


def test_every_quality_is_measured_with_the_model_that_it_takes(result):
    found, _ = result
    rows = found["rows"]["released"]
    assert len(rows) == 2 * len(released_rd.QUALITIES)
    assert {row["model"] for row in rows if row["quality"] <= 50} == {"low"}
    assert {row["model"] for row in rows if row["quality"] >= 60} == {"high"}
    picture = tiny_codec.photographs()["coffee"]
    (row,) = (row for row in rows if row["picture"] == "coffee" and row["quality"] == 100)
    error = np.mean((picture.astype(float) - (picture // 8 * 8 + 4)) ** 2)
    assert row["psnr_db"] == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)
    assert row["lmbda"] == 0.64 and row["bpp"] == 8 * row["bytes"] / 96**2 and not row["stored"]
    mean = found["means"]["released"][-1]
    assert mean["psnr_db"] == pytest.approx(np.mean([r["psnr_db"] for r in rows if r["quality"] == 100]))


def test_the_page_has_the_tables_and_says_where_the_curve_falls(result):
    found, folder = result
    page = (folder / "curve.md").read_text()
    assert "| 100 | high |" in page and "AVIF" not in page and (folder / "curve.png").stat().st_size > 10_000
    # The quality stands behind the stream as digits: bytes rise but from 100 to the next there is none.
    assert "bytes rise from each quality to the next on 2 of 2 pictures, PSNR on 2." in page
    rows = [
        {"picture": p, "bytes": b, "quality": q} for p, bs in (("a", (1, 2)), ("b", (2, 1))) for q, b in enumerate(bs)
    ]
    assert released_rd.rises(rows, "bytes") == 1
