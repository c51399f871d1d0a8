"""What the report shows of a lossless codec: rates beside the classic ones', by scale, and where bits go."""

import numpy as np
import pytest

from components.report.sections import lossless
from models.contract import registry
from models.publishing import pushed
from tests.models.kinds import photograph, tiny


@pytest.mark.slow
@pytest.mark.parametrize("name", ["causal_mixture", "l3c"])
def test_what_a_pixel_takes_is_drawn_and_sums_to_what_the_model_expects(name, tmp_path):
    recipe = registry.get(name)
    config = recipe.make_config("small", tiny(recipe))
    model = recipe.build(config)
    pushed.save(tmp_path / "1", recipe, config, model)
    picture = photograph(48, 64)
    (shown,) = lossless.maps(str(tmp_path / "1"), ["a"], [picture])
    expected = model(picture[None] / np.float32(255.0))
    bits = expected["scales"][0, 0] if "scales" in expected else expected["bits"][0]
    assert np.isclose(shown["mean"], float(bits) / (48 * 64), rtol=1e-2)  # served weights are rounded
    assert shown["picture"].startswith("data:image") and shown["bits"].startswith("data:image")


@pytest.mark.parametrize("scales", [[], [2.0, 1.0]])
def test_the_page_has_the_codecs_the_scales_and_the_maps(scales):
    measured = {
        "count": 2, "rate": 3.0, "kept": 1, "coded": 3.03, "estimated": 3.0, "scales": scales,
        "classic": {"PNG": 4.0, "WebP": 2.9}, "maps": [{"key": "a", "picture": "P", "bits": "B", "mean": 9.0}],
    }  # fmt: skip
    text = lossless.SECTION.render(measured, {})
    assert "−25.0 %" in text and "+3.4 %" in text and "Where bits go" in text and "9.00" in text
    assert ("66.7 %" in text) == ("scale 1" in text) == bool(scales)
    assert "No picture was coded" in lossless.SECTION.render(None, {})
    assert lossless.SECTION.cards(measured, {"bpsp": 3.0}, 2).cards[1]["value"] == "+3.4"
