"""The families: published sizes, named features, options that do not fit."""

import keras
import numpy as np
import pytest

from models.contract import registry
from models.contract.recipe import ConfigError

# Parameters for 100 classes of 32x32 pictures, without the running means and variances of the normalisations: those of
# the distillation literature's own implementations, and of the papers where these give them.
PUBLISHED = [
    ("resnet", {"depth": 20}, 278_324),
    ("resnet", {"depth": 8, "widening": 4}, 1_233_540),
    ("wide_resnet", {"depth": 16, "widening": 2}, 703_284),
    ("mobilenet_v2", {}, 812_836),
]


@pytest.mark.parametrize("name, options, published", PUBLISHED)
def test_sizes_are_the_published_ones(name, options, published):
    recipe = registry.get(name)
    model = recipe.build(recipe.make_config("small", options | {"classes": 100, "image_size": 32}))
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == published


def test_features_are_asked_for_by_name():
    recipe = registry.get("small_cnn")
    model = recipe.build(recipe.make_config("small", {"classes": 4, "image_size": 16, "width": 4}))
    assert model.feature_names == ["stage1", "stage2", "stage3", "embedding"]
    x = np.random.default_rng(0).uniform(size=(2, 16, 16, 3)).astype("float32")
    found = model.features(["stage2", "embedding"])(x, training=False)
    assert found["stage2"].shape == (2, 8, 8, 8) and found["embedding"].shape == (2, 16)
    np.testing.assert_allclose(found["logits"], model(x, training=False), rtol=1e-5)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("resnet", {"depth": 21}, "depth=21: must be 6 n \\+ 2"),
        ("wide_resnet", {"depth": 20}, "depth=20: must be 6 n \\+ 4"),
        ("densenet", {"depth": 20}, "depth=20: must be 6 n \\+ 4"),
        ("small_cnn", {"width": 2}, "width=2: must be at least 4"),
    ],
)
def test_options_that_do_not_fit_are_refused(name, options, message):
    with pytest.raises(ConfigError, match=message):
        registry.get(name).make_config("small", options)


def test_a_model_of_unknown_data_is_not_built():
    recipe = registry.get("small_cnn")
    with pytest.raises(ConfigError, match="classes=0: it is taken from the training data"):
        recipe.build(recipe.make_config("small"))


def test_students_are_what_the_distiller_of_keras_takes():
    recipe = registry.get("small_cnn")
    models = [recipe.build(recipe.make_config("small", {"classes": 4, "image_size": 16, "width": w})) for w in (8, 4)]
    term = keras.distillation.FeatureDistillation("mse", "logits", "logits")
    distiller = keras.distillation.Distiller(*(m.network for m in models), distillation_losses=term)
    assert distiller(np.zeros((1, 16, 16, 3), "float32")).shape == (1, 4)
