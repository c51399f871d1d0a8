"""The search for algorithms and what is served of it."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from models.contract import registry
from models.contract.training import Files
from models.strassen import algorithm as algorithms
from models.strassen.bilinear_serving import BilinearServer
from models.training import loop

RECIPE = registry.get("bilinear")


@functools.cache
def server(sizes=(2, 2, 2), algorithm=None, **options):
    names = dict(zip(("rows", "inner", "columns"), sizes, strict=True))
    config = RECIPE.make_config("small", {"restarts": 1} | names | options)
    algorithm = algorithm or algorithms.of_order(sizes, *algorithms.PUBLISHED, order="columns")
    return BilinearServer(RECIPE.build(config), config, algorithm)


def whole(*shape):
    return np.random.default_rng(sum(shape)).integers(-9, 9, shape).astype("float32")


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 2, 2), (3, 5, 7), (17, 4, 9), (1, 40, 1)])
def test_multiply_takes_any_sizes(sizes):
    m, k, n = sizes
    a, b = whole(3, m, k), whole(3, k, n)
    for options in ({}, {"leaf": 4}, {"levels": 0}):
        answers = server(**options).functions["multiply"](a=tf.constant(a), b=tf.constant(b))
        assert np.array_equal(answers["product"], a @ b) and answers["multiplications"].shape == (3,)


def test_64_by_64_takes_117649_multiplications():
    a, b = whole(1, 64, 64), whole(1, 64, 64)
    answers = server().multiply(tf.constant(a), tf.constant(b))
    assert np.array_equal(answers["product"], a @ b) and int(answers["multiplications"][0]) == 7**6 == 117_649


def test_rectangular_algorithms_are_applied_by_recursion_too():
    identity = np.eye(2, dtype=int)
    one = algorithms.Algorithm((1, 2, 1), identity, identity, np.ones((1, 2), int))
    served = server((1, 2, 1), one, levels=3)
    a, b = whole(2, 3, 9), whole(2, 9, 4)
    answers = served.multiply(tf.constant(a), tf.constant(b))
    assert np.array_equal(answers["product"], a @ b)


def test_matrices_that_do_not_fit_are_refused():
    for a, b in ((whole(1, 2, 3), whole(1, 2, 3)), (whole(2, 2, 2), whole(1, 2, 2))):
        with pytest.raises(tf.errors.InvalidArgumentError, match="are wanted"):
            server().functions["multiply"](a=tf.constant(a), b=tf.constant(b))


@pytest.mark.slow
def test_a_short_search_finds_an_exact_algorithm(records, tmp_path):
    files = records("bilinear")
    config = RECIPE.make_config("small", {"steps": 900, "steps_per_epoch": 450, "restarts": 128, "batch_size": 1})
    model = loop.train(RECIPE, config, [files["train"]], [files["validation"]], work_dir=str(tmp_path / "work"),
                       log_dir=str(tmp_path / "logs"), progress=False)  # fmt: skip
    best = model.best()
    assert best.wrong == 0 and best.products == 7 and best.additions <= 30
    exact = [found.wrong == 0 for found in model.found()]
    x, y = next(iter(RECIPE.inputs([files["validation"]], config, False)))
    model.reset_metrics()
    model.compute_loss(x, y, model(x), training=False)
    assert np.isclose(float(model.compute_metrics(x, y, None)["exact"]), np.mean(exact))
    RECIPE.beside(model, config, [], tmp_path)
    assert algorithms.loads((tmp_path / "algorithm.json").read_text()).wrong == 0


def test_the_expected_error_is_that_of_many_pairs():
    config = RECIPE.make_config("small", {"restarts": 2, "decay": 0.0, "rank": 3})
    model = RECIPE.build(config)
    random = np.random.default_rng(1)
    x = {name: random.standard_normal((100_000, 2, 2), np.float32) for name in "ab"}
    y = x["a"] @ x["b"]
    expected = float(model.compute_loss(x, y, None))
    model.config = RECIPE.make_config("small", {"restarts": 2, "decay": 0.0, "rank": 3, "error": "pairs"})
    assert np.isclose(float(model.compute_loss(x, y, model(x))), expected, rtol=0.02)


@pytest.mark.parametrize(("method", "names"), [
    ("pull", ["full", "pull"]), ("ste", ["full", "ste"]), ("pull_ste", ["full", "pull", "ste"]),
])  # fmt: skip
def test_methods_are_phases(method, names):
    config = RECIPE.make_config("small", {"method": method})
    phases = list(RECIPE.phases(config, Files([], [], "", "")))
    assert [phase.name for phase in phases] == names and sum(phase.steps for phase in phases) == config.steps


def test_straight_through_weights_are_ternary_and_learn():
    model = RECIPE.build(RECIPE.make_config("small", {"restarts": 2, "stage": "ste"}))
    with tf.GradientTape() as tape:
        loss = model.compute_loss({}, np.zeros((1, 2, 2)), None)
    assert all(np.abs(g).max() > 0 for g in tape.gradient(loss, [v.value for v in model.trainable_variables]))
    assert all(set(np.unique(w)) <= {-1, 0, 1} for w in model.weights_of())
