"""Where a codec's bits go, on its page: maps of pictures, and channels."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from components.report import page
from components.report.section import Notes, Run
from components.report.sections import spending
from models.contract import registry
from models.publishing import pushed
from tests.models.kinds import KINDS, photograph, picture_record, write_records

RECIPE = registry.get("conditional_probability")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Of an untrained codec beside which no graph lies, and four pictures."""
    folder = tmp_path_factory.mktemp("spending")
    config = RECIPE.make_config("small", KINDS["codec"].tiny)
    pushed.save(folder / "model", RECIPE, config, RECIPE.build(config))
    sizes = [(40, 56), (33, 90), (64, 64), (8, 8)]
    records = write_records(folder / "r.gz", [picture_record(photograph(*s), f"<p{n}>") for n, s in enumerate(sizes)])
    return spending.SECTION.measure(
        Run(RECIPE.name, {}, str(folder / "model"), "", [records], 4, "", Notes())
    )  # fmt: skip


def pixels_of(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_maps_have_a_square_for_each_latent(measured):
    assert measured["count"] == 4 and len(measured["pictures"]) == 3
    first = pixels_of(measured["pictures"][0]["bits"])
    assert first.shape == (round(320 * 5 / 7), 320, 3)
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 10 and first.max() > 200


def test_channels_sum_to_the_pictures(measured):
    bpp, kept = np.array(measured["channel_bpp"]), np.array(measured["channel_kept"])
    assert bpp.shape == kept.shape == (12,) and (np.diff(kept) <= 0).all() and 0 < kept[0] <= 1
    config = RECIPE.make_config("small", KINDS["codec"].tiny)
    model = RECIPE.build(config)
    bits, mask = spending.spending(model, photograph(33, 90))
    assert bits.shape == mask.shape == (5, 12, 12) and (bits > 0).all()


def test_the_page_shows_them(measured):
    html = page.render({
        "recipe": RECIPE.name, "noun": "pictures", "metrics": [], "slices": [], "sections": {"spending": measured}
    })  # fmt: skip
    assert "Where the bits go" in html and "&lt;p0&gt;" in html and "<p0>" not in html
    assert html.count("channels kept") >= 3 and "share of places kept" in html and "4 pictures" in html
    assert "No picture was measured" in spending.SECTION.render(None, {})
