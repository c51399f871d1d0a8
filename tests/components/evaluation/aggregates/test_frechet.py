"""The Frechet distance against a closed form, against NumPy on all vectors at once, and in parts."""

import itertools

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
import tensorflow_model_analysis as tfma

from components.evaluation import aggregate, evaluator
from components.evaluation.aggregates import frechet
from models.contract.recipe import Evaluation, Metric
from models.records import pictures as picture_records
from tests.components import toy_model


def vectors(count, dimensions, seed=0):
    """Correlated vectors [N, D] with a mean, float32 as models give them."""
    draw = np.random.default_rng(seed)
    mixed = draw.normal(size=(count, dimensions)) @ draw.normal(size=(dimensions, dimensions))
    return (mixed + draw.normal(size=dimensions)).astype(np.float32)


def direct(one, other):
    """The formula with NumPy's covariance and SciPy's general matrix root."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    root = scipy.linalg.sqrtm(np.cov(one.T) @ np.cov(other.T)).real
    return np.square(one.mean(0) - other.mean(0)).sum() + np.trace(np.cov(one.T) + np.cov(other.T) - 2 * root)


def test_gaussians_with_a_common_basis_have_the_closed_form():
    """Commuting covariances: |m - n|^2 + sum of (sqrt a_i - sqrt b_i)^2."""
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    a, b = np.array([4, 1, 9, 0, 2, 0.5]), np.array([1, 1, 4, 3, 0, 8])
    mean, other = np.arange(6.0), np.array([0, 1, 2, 3, 4, 7.0])
    found = frechet.distance((mean, (basis * a) @ basis.T), (other, (basis * b) @ basis.T))
    assert found == pytest.approx(4 + np.square(np.sqrt(a) - np.sqrt(b)).sum(), rel=1e-7)
    assert frechet.distance((mean, (basis * a) @ basis.T), (mean, (basis * a) @ basis.T)) < 1e-6


def test_parts_in_any_order_give_what_numpy_gives_of_all():
    real, drawn = vectors(60 * 7, 5), vectors(60 * 7, 5, seed=1)
    outputs = {"features": drawn.reshape(60, 7, 5), "features_of_original": real.reshape(60, 7, 5)}
    made = aggregate.make("frechet", "fd", {})
    expected = direct(drawn, real)
    assert expected > 1 and made.of(outputs) == pytest.approx(expected, rel=1e-9)
    parts = [
        made.add(made.empty(), {k: v[part] for k, v in outputs.items()})
        for part in (slice(0, 1), slice(1, 31), slice(31, 60))
    ]
    for order in itertools.permutations([made.empty(), *parts]):
        assert made.result(made.of_parts(order)) == pytest.approx(expected, rel=1e-9)
    nested = made.merge(parts[2], made.merge(parts[0], parts[1]))
    assert made.result(nested) == pytest.approx(expected, rel=1e-9)


def test_too_few_vectors_have_no_distance():
    made = frechet.FrechetDistance("fd")
    assert np.isnan(made.result(made.empty())) and made.may_be_undefined
    few, enough = ({"features": vectors(n, 8), "features_of_original": vectors(n, 8, 1)} for n in (15, 16))
    assert np.isnan(made.of(few)) and np.isfinite(made.of(enough))
    assert np.isfinite(aggregate.make("frechet", "fd", {"least": 1.5}).of(few))
    assert np.isnan(frechet.between(vectors(1, 8), vectors(100, 8), least=0.0))


def test_singular_covariances_have_a_finite_distance():
    """Dead features, and as many dimensions as vectors: a general root of the product is then often complex."""
    real, drawn = vectors(40, 20), vectors(40, 20, seed=3)
    real[:, 3], drawn[:, 7] = 0, 1
    assert np.isfinite(frechet.between(drawn, real)) and frechet.between(real, real) < 1e-6
    assert frechet.between(real, drawn) == pytest.approx(frechet.between(drawn, real), rel=1e-6)


class Features(tf.Module):
    """A model whose outputs are vectors of the pictures' sizes, four positions a picture."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serve(self, examples):
        found = picture_records.parse(examples)
        height, width = (tf.cast(found[n], tf.float32) for n in (picture_records.HEIGHT, picture_records.WIDTH))
        spread = tf.range(4, dtype=tf.float32)
        real = tf.stack([height[:, None] + spread, width[:, None] * spread], -1)
        return {"features_of_original": real, "features": real * [1.0, 0.5] + [2.0, 0.0]}


def test_it_comes_through_tfma(tmp_path):
    sizes = [(8, 16), (8, 32), (12, 16), (10, 20), (9, 17)]
    records, model = toy_model.write_records(tmp_path / "records.gz", sizes), Features()
    tf.saved_model.save(model, str(tmp_path / "model"), signatures={"serving_default": model.serve})
    metrics = (
        Metric("fd", "", "lower", upper_bound=1.0, aggregate="frechet"),
        Metric("fd_of_many", "", "lower", aggregate="frechet", arguments={"least": 50.0}),
    )
    config = evaluator.eval_config(Evaluation(metrics))
    shared = tfma.default_eval_shared_model(str(tmp_path / "model"), eval_config=config)
    tfma.run_model_analysis(shared, config, records, output_path=str(tmp_path / "out"))
    found = evaluator.means(str(tmp_path / "out"))
    real = np.array([[h + n, w * n] for h, w in sizes for n in range(4)], np.float32)
    expected = direct(real * np.float32([1, 0.5]) + np.float32([2, 0]), real)
    assert expected > 1 and found["fd"] == pytest.approx(expected, rel=1e-5)
    assert np.isnan(found["fd_of_many"])
    (line,) = evaluator.failures(str(tmp_path / "out"))
    assert line.startswith("fd is") and "at most 1" in line
