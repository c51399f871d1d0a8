"""Several classifiers as one: the mean of their probabilities, whoever the members are."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.classifiers import ensemble
from models.contract import registry
from models.contract.recipe import ConfigError

DATA = {"classes": 3, "image_size": 16}


def member(name="small_cnn", **options):
    recipe = registry.get(name)
    config = recipe.make_config("small", DATA | {"width": 4} | options)
    keras.utils.set_random_seed(config.seed)
    model = recipe.build(config)
    kernel, bias = model.network.get_layer("logits").get_weights()
    bias[len(name) % 3] += 1.5  # each leans to a class of its own
    model.network.get_layer("logits").set_weights([kernel, bias])
    return recipe, config, model


def test_the_answer_is_the_mean_of_the_members(tmp_path):
    members = [member(seed=1), member("resnet", depth=8, seed=2)]
    config, model = ensemble.combine(members)
    x = np.random.default_rng(0).uniform(size=(5, 16, 16, 3)).astype("float32")
    each = [tf.nn.softmax(m(x, training=False)).numpy() for _, _, m in members]
    assert np.abs(each[0] - each[1]).max() > 0.1
    found = tf.nn.softmax(model(x, training=False)).numpy()
    np.testing.assert_allclose(found, np.mean(each, 0), atol=1e-5)
    assert config.classes == 3 and [m[0].name for m in ensemble.member_configs(config)] == ["small_cnn", "resnet"]


def test_members_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="small_cnn: another classes than the ensemble's first member has"):
        ensemble.combine([member(), member(classes=4)])
    with pytest.raises(ConfigError, match="small_cnn: another image_size"):
        ensemble.combine([member(), member(image_size=24)])


@pytest.mark.parametrize(
    "members, message",
    [
        ('[["small_cnn", {}]]', "wanted are two or more"),
        ('[["small_cnn", {}], ["small_cnn"]]', "wanted are two or more"),
        ('[["small_cnn", {}], ["hyperprior", {}]]', "hyperprior is no single classifier's recipe"),
        ('[["small_cnn", {}], ["ensemble", {}]]', "ensemble is no single classifier's recipe"),
        ('[["small_cnn", {}], ["small_cnn", {"depth": 2}]]', "small_cnn has no option 'depth'"),
    ],
)
def test_lists_that_are_none_are_refused(members, message):
    with pytest.raises(ConfigError, match=message):
        registry.get("ensemble").make_config("small", DATA | {"members": members})
