"""An aggregate is one new file: found by its name, given outputs of any shape, and bounded, with no other change."""

import json

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
import tensorflow_model_analysis as tfma

from components.evaluation import aggregate, aggregates, evaluator
from models.contract import registry
from models.contract.recipe import Evaluation, Metric
from models.records import pictures as picture_records
from tests.components import toy_model

FRECHET = '''
import dataclasses

import numpy as np
import scipy.linalg

from components.evaluation.aggregate import Aggregate, output


@dataclasses.dataclass(frozen=True)
class FrechetDistance(Aggregate):
    """Between the Gaussians of two outputs [B, D] (arXiv:1706.08500); the state is of count, sums, sums of products."""

    name: str
    real: str = "real"
    drawn: str = "drawn"

    def empty(self):
        return (0, 0.0, 0.0), (0, 0.0, 0.0)

    def add(self, state, outputs):
        return self.merge(state, tuple(
            (len(x), x.sum(0), x.T @ x) for x in (output(outputs, n).astype(float) for n in (self.real, self.drawn))
        ))

    def merge(self, one, other):
        return tuple(tuple(a + b for a, b in zip(*both)) for both in zip(one, other))

    def result(self, state):
        (m, c), (m2, c2) = (
            (s / n, (p - np.outer(s, s) / n) / (n - 1)) for n, s, p in state
        )
        return float(np.square(m - m2).sum() + np.trace(c + c2 - 2 * scipy.linalg.sqrtm(c @ c2).real))


AGGREGATE = FrechetDistance
'''
MEAN_IOU = '''
import dataclasses

import numpy as np

from components.evaluation.aggregate import Aggregate, output


@dataclasses.dataclass(frozen=True)
class MeanIou(Aggregate):
    """The mean over classes of intersection over union of label maps [B, H, W] of any size."""

    name: str
    classes: int

    def empty(self):
        return np.zeros((self.classes, self.classes), int)

    def add(self, state, outputs):
        np.add.at(state, tuple(output(outputs, name).ravel() for name in ("true_map", "map")), 1)
        return state

    def merge(self, one, other):
        return one + other

    def result(self, state):
        hits = np.diag(state)
        return float((hits / (state.sum(0) + state.sum(1) - hits)).mean())


AGGREGATE = MeanIou
'''
SIZES = [(8, 16), (8, 32), (12, 16), (10, 20), (9, 17)]


class Shapes(tf.Module):
    """A model whose outputs are vectors of and maps over the pictures, whose heights say what they are."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serve(self, examples):
        features = picture_records.parse(examples)
        height, width = (tf.cast(features[n], tf.float32) for n in (picture_records.HEIGHT, picture_records.WIDTH))
        real = tf.stack([height, width, height * width / 100], 1)
        drawn = tf.stack([width, height, height - width / 2], 1)
        maps = tf.tile((features[picture_records.HEIGHT] % 3)[:, None, None], [1, 4, 6])
        guessed = tf.concat([maps[:, :3], 2 + 0 * maps[:, 3:]], 1)
        return {"real": real, "drawn": drawn, "true_map": maps, "map": guessed}


@pytest.fixture
def two_more(tmp_path, monkeypatch):
    """A folder of aggregates beside the own one, with two files."""
    (tmp_path / "more").mkdir()
    for name, text in (("toy_frechet_distance", FRECHET), ("toy_mean_iou", MEAN_IOU)):
        (tmp_path / "more" / f"{name}.py").write_text(text)
    monkeypatch.setattr(aggregates, "__path__", [*aggregates.__path__, str(tmp_path / "more")])


def test_vectors_and_maps_of_examples_reach_two_new_files_through_tfma(two_more, tmp_path):
    records = toy_model.write_records(tmp_path / "records.gz", SIZES)
    model = Shapes()
    tf.saved_model.save(model, str(tmp_path / "model"), signatures={"serving_default": model.serve})
    distance = Metric("frechet", "", "lower", upper_bound=1.0, aggregate="toy_frechet_distance")
    iou = Metric("mean_iou", "", "higher", aggregate="toy_mean_iou", arguments={"classes": 3})
    config = evaluator.eval_config(Evaluation((distance, iou)))
    shared = tfma.default_eval_shared_model(str(tmp_path / "model"), eval_config=config)
    tfma.run_model_analysis(shared, config, records, output_path=str(tmp_path / "out"))
    found = evaluator.means(str(tmp_path / "out"))
    (height, width) = np.array(SIZES, float).T
    real = np.stack([height, width, height * width / 100], 1)
    drawn = np.stack([width, height, height - width / 2], 1)
    (m, c), (m2, c2) = ((x.mean(0), np.cov(x.T)) for x in (real, drawn))
    expected = np.square(m - m2).sum() + np.trace(c + c2 - 2 * scipy.linalg.sqrtm(c @ c2).real)
    assert found["frechet"] == pytest.approx(expected, rel=1e-3) and expected > 1
    # Heights 8, 8, 12, 10, 9 are maps of class 2, 2, 0, 1, 0; a quarter of every map is taken for class 2.
    assert found["mean_iou"] == pytest.approx((3 / 4 + 3 / 4 + 2 / (2 + 3 / 4)) / 3)
    lines = evaluator.failures(str(tmp_path / "out"))
    assert any(line.startswith("frechet is") and "at most 1" in line for line in lines), lines
    assert found["example_count"] == len(SIZES)


def test_a_set_in_hand_needs_no_pipeline(two_more):
    made = aggregate.make("toy_mean_iou", "mean_iou", {"classes": 2})
    true = np.array([[[0, 0], [1, 1]], [[0, 1], [1, 1]]])
    assert made.of({"true_map": true, "map": np.zeros_like(true)}) == pytest.approx(3 / 8 / 2)
    parts = [made.add(made.empty(), {"true_map": t[None], "map": t[None]}) for t in true]
    assert made.result(made.of_parts(parts)) == 1.0


def test_what_is_not_there_is_named():
    with pytest.raises(LookupError, match="no aggregate 'maen'; there are calibration_error, .*nearest: mean"):
        evaluator.eval_config(Evaluation((Metric("x", "", "lower", aggregate="maen"),)))
    with pytest.raises(TypeError, match="x: the aggregate 'mean' takes no 'of'; it takes output"):
        evaluator.eval_config(Evaluation((Metric("x", "", "lower", arguments={"of": 1}),)))
    with pytest.raises(ValueError, match="f1_flutter: no score 'f2' of class 0"):
        aggregate.make("class_score", "f1_flutter", {"score": "f2"})


def test_examples_without_a_label_are_left_out_of_all_that_is_measured():
    outputs = {"label": np.array([[0.0], [-1.0], [2.0]]), "accuracy": np.array([[1.0], [0.0], [0.0]])}
    assert aggregate.make("mean", "accuracy", {}).of(outputs) == 0.5
    maps = {"label": np.full((2, 3, 3), -1), "accuracy": np.ones((2, 1))}  # of several numbers: not for all to judge
    assert aggregate.make("mean", "accuracy", {}).of(maps) == 1.0


@pytest.mark.parametrize("name", sorted(registry.recipes()))
def test_every_recipe_can_be_evaluated(name):
    config = evaluator.eval_config(registry.get(name).evaluation)
    named = [json.loads(m.config)["name"] for m in config.metrics_specs[0].metrics if m.config]
    assert named == [m.name for m in registry.get(name).evaluation.metrics]
