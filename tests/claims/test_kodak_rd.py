"""The script behind the rate-distortion tables, on a small codec and small pictures."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from components.evaluation import rate_distortion
from tests.claims import kodak_rd
from tests.components import tiny_codec


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The folder that the script wrote to, for two rate points of one codec and a single one of another."""
    folder = tmp_path_factory.mktemp("claims")
    (folder / "pictures").mkdir()
    for name, picture in list(tiny_codec.photographs().items())[:2]:
        Image.fromarray(picture).save(folder / "pictures" / f"{name}.png")
    arguments = ["--pictures", str(folder / "pictures"), "--out", str(folder / "docs" / "table")]
    for bits, recipe in ((3, "tiny"), (5, "tiny"), (2, "other")):
        arguments += ["--model", str(tiny_codec.save(folder / f"{recipe}{bits}", bits, recipe))]
    result = CliRunner().invoke(kodak_rd.main, arguments)
    assert result.exit_code == 0, result.output
    return folder / "docs"


@pytest.mark.slow
def test_the_numbers_are_those_of_the_streams(outputs):
    result = json.loads((outputs / "table.json").read_text())
    assert result["pictures"] == ["astronaut", "coffee"]
    model = result["models"][1]
    assert model["recipe"] == "tiny" and model["config"] == {"lmbda": 1 / 32}
    picture = tiny_codec.photographs()["coffee"]
    row = model["pictures"][1]
    error = np.mean((picture.astype(float) - (picture // 32 * 32 + 16)) ** 2)
    assert row["psnr_db"] == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)
    assert row["bpp"] == 8 * row["bytes"] / 96**2
    # This codec's estimate is its PNG without the four bytes in front; of the forty allowed, 36 are not used.
    estimate = row["estimated_bpp"] * 96**2 / 8
    assert estimate == pytest.approx(row["bytes"] - 4, rel=1e-3)
    assert row["excess_without_header_percent"] == pytest.approx(100 * -36 / estimate, rel=0.01)
    assert model["mean"]["bpp"] == pytest.approx(np.mean([r["bpp"] for r in model["pictures"]]))


@pytest.mark.slow
def test_bd_rates_are_of_the_mean_curves(outputs):
    result = json.loads((outputs / "table.json").read_text())
    rows = {(r["recipe"], r["anchor"], r["measure"]): r for r in result["bd_rate"]}
    assert len(rows) == 2 * 3 * 2
    jpeg = [(p["bpp"], p["psnr_db"]) for p in result["classic"]["JPEG"]]
    tiny = [(m["mean"]["bpp"], m["mean"]["psnr_db"]) for m in result["models"][:2]]
    percent, low, high = rate_distortion.bd_rate(jpeg, tiny)
    row = rows["tiny", "JPEG", "PSNR"]
    assert (row["percent"], row["low_db"], row["high_db"]) == pytest.approx((percent, low, high))
    assert row["percent"] > 50  # low bits dropped, then PNG: no match for JPEG
    assert "at least two points" in rows["other", "JPEG", "PSNR"]["reason"]


def test_a_refined_curve_is_compared_with_the_plain_one():
    plain = [rate_distortion.Point(0.1 * n, 25.0 + n, 0.9 + 0.02 * n) for n in (1, 2, 3)]
    better = [rate_distortion.Point(0.9 * p.bpp, p.psnr_db, p.ms_ssim) for p in plain]
    rows = kodak_rd.against_plain({"tiny": plain, "tiny, refined": better, "other": plain})
    assert [(r["recipe"], r["anchor"], r["measure"]) for r in rows] == [
        ("tiny, refined", "tiny", "PSNR"), ("tiny, refined", "tiny", "MS-SSIM")
    ]  # fmt: skip
    assert all(r["percent"] == pytest.approx(-10) for r in rows)


@pytest.mark.slow
def test_the_page_has_the_tables_and_the_plot(outputs):
    text = (outputs / "table.md").read_text()
    result = json.loads((outputs / "table.json").read_text())
    percent = next(r["percent"] for r in result["bd_rate"] if r["recipe"] == "tiny")
    assert f"| tiny | JPEG | PSNR | {percent:+.1f} % |" in text
    assert text.index("| tiny | 0.03125 |") < text.index("| tiny | 0.125 |")
    assert "![rate-distortion curves](table.png)" in text and str(outputs.parent) not in text
    plot = np.asarray(Image.open(outputs / "table.png").convert("RGB")).reshape(-1, 3)
    assert {(255, 255, 255), (0xD9, 0x48, 0x0F), (0x1C, 0x6F, 0xD4)} <= set(map(tuple, plot[::7]))  # paper, codec, JPEG


def test_mistakes_get_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    arguments = ["--pictures", str(tmp_path / "empty"), "--model", str(tmp_path), "--out", str(tmp_path / "t")]
    result = CliRunner().invoke(kodak_rd.main, arguments)
    assert result.exit_code == 2 and "no pictures here" in result.output
    Image.fromarray(tiny_codec.photographs()["cat"]).save(tmp_path / "empty" / "cat.png")
    result = CliRunner().invoke(kodak_rd.main, arguments)
    assert result.exit_code == 2 and "no model here" in result.output
    arguments[3] = str(tiny_codec.save(tmp_path / "model"))
    result = CliRunner().invoke(kodak_rd.main, [*arguments, "--refine", "8"])
    assert result.exit_code == 2 and "refines no latents" in result.output
    assert not list(tmp_path.glob("t.*"))
