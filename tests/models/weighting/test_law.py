"""Trainings with weighed examples: rules, what the records give, the policy as an artifact."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.contract import registry
from models.contract.recipe import ConfigError
from models.contract.training import Files
from models.publishing import export, pushed
from models.weighting import inputs as weighting_inputs
from models.weighting import law, rules
from models.weighting.record import Record, auc
from models.weighting.weighted import StopEarly
from tests.models.kinds import KINDS, tinted, write_records

RECIPE = registry.get("law")
TINY = KINDS["weighted"].tiny


def config_of(**options):
    return RECIPE.make_config("small", TINY | options)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A file of 300 small records of three classes."""
    return write_records(tmp_path_factory.mktemp("many") / "r.gz", [tinted(n % 9, f"many {n}") for n in range(300)])


def drawn(files, config, batches):
    """Labels and masks of training batches."""
    found = [y for _, y in RECIPE.inputs(files, config, True).take(batches)]
    return np.concatenate([y["labels"].numpy().argmax(1) for y in found]), np.concatenate([y["wrong"] for y in found])


@pytest.mark.slow
def test_wrong_labels_are_marked_and_clean_examples_have_none(many):
    config = config_of(label_noise=0.5, clean_share=0.3, batch_size=50, crop=0)
    clean = weighting_inputs.clean_examples([many], config)
    assert 60 < len(clean[0]) < 120
    assert (clean[0].mean((1, 2)).argmax(1) == clean[1].argmax(1)).mean() > 0.9  # the tint is the class
    shares = {}
    for part in ("all", "rest", "clean"):
        shares[part] = drawn([many], dataclasses.replace(config, part=part), 6)[1].mean()
    assert shares["clean"] == 0.0 and 0.4 < shares["rest"] < 0.6 and 0.2 < shares["all"] < shares["rest"]


def test_a_long_tail_leaves_less_of_later_classes_but_all_clean_examples(many):
    config = config_of(label_noise=0.0, long_tail=10.0, clean_share=0.0, batch_size=20, crop=0)
    count = np.bincount(drawn([many], config, 30)[0], minlength=3) / 600
    np.testing.assert_allclose(count, np.array([1, 10**-0.5, 0.1]) / (1.1 + 10**-0.5), atol=0.06)
    tailed = dataclasses.replace(config, clean_share=0.3)
    assert len(weighting_inputs.clean_examples([many], tailed)[0]) > 60
    adapted = RECIPE.adapt(dataclasses.replace(config, class_frequency=True), [many])
    first, second, third = json.loads(adapted.frequencies)
    assert first == 1.0 and 0.2 < second < 0.45 and third < 0.2
    assert RECIPE.build(adapted).policy.feature_names[-1] == "frequency"


def test_no_clean_example_is_said_in_one_line(many):
    with pytest.raises(ConfigError, match="clean_share=0.0: no training example falls into it"):
        weighting_inputs.clean_examples([many], config_of(clean_share=0.0))


LOGITS = np.log(np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.3, 0.4, 0.3]], "float32"))
LABELS = np.eye(3, dtype="float32")[[0, 0, 2, 1]]
WRONG = np.array([0, 1, 0, 0], "float32")


@pytest.mark.parametrize(
    "rule, expected",
    [("uniform", [1, 1, 1, 1]), ("focal", [0.01, 0.81, 0.16, 0.36]), ("self_paced", [4 / 3, 0, 4 / 3, 4 / 3]),
     ("oracle", [4 / 3, 0, 4 / 3, 4 / 3]), ("early_stopping", [1, 1, 1, 1])],
)  # fmt: skip
def test_rules_weigh_as_they_are_defined(rule, expected):
    np.testing.assert_allclose(rules.RULES[rule](LOGITS, LABELS, WRONG), expected, atol=2e-3, rtol=1e-3)


def test_weights_by_gradients_are_products_of_the_gradients():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    rng = np.random.default_rng(2)
    x, clean_x = (rng.normal(size=(n, 4)).astype("float32") for n in (6, 5))
    y, clean_y = (np.eye(3, dtype="float32")[rng.integers(3, size=n)] for n in (6, 5))
    residuals = [tf.nn.softmax(model(a)).numpy() - b for a, b in ((x, y), (clean_x, clean_y))]
    clean = np.einsum("ni,nk->ik", clean_x, residuals[1]) / 5, residuals[1].mean(0)
    products = np.einsum("ni,nk,ik->n", x, residuals[0], clean[0]) + residuals[0] @ clean[1]
    expected = np.maximum(np.maximum(products, 0), 1e-3)
    assert (products < 0).any() and (products > 0.01).any()
    found = rules.by_gradients(model, tf.constant(x), y, tf.constant(clean_x), clean_y)
    np.testing.assert_allclose(found, expected * 6 / expected.sum(), rtol=1e-3, atol=1e-4)


def test_auc_and_record():
    assert auc(np.array([0, 1, 1]), np.array([2, 0, 0])) == 1.0 and auc(np.array([1, 1]), np.array([3, 3])) == 0.5
    assert auc(np.array([1, 1]), np.array([0, 0])) is None
    record = Record(2)
    record.add(1, np.array([2.0, 0.0, 1.0, 1.0], "float32"), WRONG, LOGITS, LABELS)
    found = record.summary()
    assert found["right"] == [None, pytest.approx(4 / 3, abs=1e-4)] and found["wrong"] == [None, 0.0]
    assert found["auc"] == [None, 1.0] and found["effective"][1] == pytest.approx(16 / 24, abs=1e-4)
    assert found["by_loss"][1][0] == 2.0 and found["by_loss"][1][7] == 0.0  # the largest loss of four


@pytest.mark.parametrize("name", law.WEIGHTINGS)
def test_every_weighting_takes_a_step(name, records):
    config = config_of(weighting=name)
    (*_, phase) = law.phases(config, Files([], [], "", ""))
    config = dataclasses.replace(phase.config(config), part="rest" if name in ("meta", "early_stopping") else "all")
    model = RECIPE.build(config)
    x, y = next(iter(RECIPE.inputs([records("weighted")["train"]], config, True)))
    before = [np.array(v) for v in model.non_trainable_variables if "moving" in v.path]
    logits = model(x, training=True)
    moved = [np.array(v) for v in model.non_trainable_variables if "moving" in v.path]
    assert np.isfinite(float(model.compute_loss(x, y, logits, training=True)))
    weights = np.array(model.weights_of(x, y, logits))
    assert weights.shape == (6,) and (weights >= 0).all() and int(model.steps_done) == 1
    if name != "focal":
        assert weights.mean() == pytest.approx(1.0, rel=1e-4)
    assert any((a != b).any() for a, b in zip(before, moved, strict=True))
    after = [np.array(v) for v in model.non_trainable_variables if "moving" in v.path]
    assert all(np.array_equal(a, b) for a, b in zip(moved, after, strict=True))  # weighing moves no average


@pytest.mark.parametrize("name", sorted(n for n, r in registry.recipes().items() if r.shape == "classifier"))
def test_every_classifier_can_be_weighed(name):
    smallest = {"small_cnn": "width=4", "wide_resnet": "width=4", "resnet": "width=4", "densenet": "growth=4"}
    try:
        config = config_of(classifier=name, classifier_settings=smallest.get(name, ""))
        model = RECIPE.build(config)
    except ConfigError as error:
        assert name == "ensemble", error  # that needs its members
        return
    recipe, part, own = RECIPE.served(model, config)
    assert recipe.name == name and part is model.classifier and own.classes == 3


@pytest.mark.slow
def test_the_policy_lies_beside_the_classifier_and_is_used_again(trained, records, tmp_path):
    done = trained("law")
    files = [records("weighted")["train"]]
    model = RECIPE.build(done.config)
    model.policy.actor.layers[-1].bias.assign([0.7])
    model.search_log = done.model.search_log
    export.export(RECIPE, done.config, model, str(tmp_path / "m" / "1"), examples=files)
    assert pushed.describe(tmp_path / "m" / "1")["recipe"] == "small_cnn"  # the classifier alone
    kept = json.loads((tmp_path / "m" / "1" / pushed.EXTRA / "weighting.json").read_text())
    assert np.shape(kept["search"]["rewards"]) == (1, 2) and len(kept["search"]["change"]) == 1
    reused = config_of(policy=str(tmp_path / "m"), classifier="resnet", classifier_settings="width=4", classes=5)
    assert [p.name for p in law.phases(reused, Files([], [], "", ""))] == [""]  # nothing is searched
    again = RECIPE.build(reused)
    assert all(np.array_equal(a, b) for a, b in zip(again.policy.arrays(), model.policy.arrays(), strict=True))
    with pytest.raises(ConfigError, match="its state is loss, .*; here it is .*frequency: set class_frequency=false"):
        RECIPE.build(dataclasses.replace(reused, class_frequency=True))
    with pytest.raises(ConfigError, match="no weighting policy there"):
        RECIPE.build(dataclasses.replace(reused, policy=str(tmp_path)))


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="steps=50: 10 episodes of 10 stages need at least"):
        config_of(steps=50, episodes=10, stages=10)
    with pytest.raises(ConfigError, match="mixup=0.2: a mixed example would need two weights"):
        config_of(mixup=0.2)
    with pytest.raises(ConfigError, match="classifier=law: not one of the classifiers"):
        config_of(classifier="law")


def test_early_stopping_keeps_the_epoch_that_did_best_on_clean_examples(tmp_path, records):
    config = config_of(weighting="early_stopping")
    model = RECIPE.build(config)
    model.compile()
    clean = weighting_inputs.clean_examples([records("weighted")["train"]], config)
    callback = StopEarly(str(tmp_path), clean)
    callback.set_model(model)
    head = model.classifier.network.layers[-1]
    kept = head.bias.value.numpy()
    callback.on_epoch_end(0, {"loss": 1.0})
    head.bias.assign([50.0, -50.0, 0.0])  # sure and mostly wrong
    callback.on_epoch_end(1, {"loss": 0.1})
    callback.on_train_end()
    assert np.array_equal(head.bias, kept)
