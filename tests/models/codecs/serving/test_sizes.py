"""Side information follows the strides that were trained, whatever the picture's size."""

import itertools

import numpy as np
import pytest

from models.contract import registry
from tests.models.kinds import tiny


@pytest.mark.parametrize("name", ["hyperprior", "mean_scale_hyperprior", "autoregressive", "edic"])
def test_hyper_latents_are_those_of_latents_continued_to_whole_strides(name):
    """And so the side information costs and says what it does at the sizes of training, bit for bit."""
    recipe = registry.get(name)
    model = recipe.build(recipe.make_config("small", tiny(recipe)))
    y = np.random.default_rng(1).normal(0, 40, (1, 12, 16, model.config.latents)).astype("float32")
    for height, width in itertools.product(range(9, 13), range(13, 17)):
        piece = y[:, :height, :width]
        whole = np.pad(piece, [(0, 0), (0, 12 - height), (0, 16 - width), (0, 0)], mode="edge")
        seen = whole if name != "hyperprior" else abs(whole)
        expected = np.array(model.hyper_analysis(seen / 16))
        assert expected.shape[1:3] == (3, 4) and expected.std() > 0.1
        assert np.array_equal(model.hyper_latents(piece), expected), (height, width)
