"""The Evaluator as the pipeline runs it: means of the signature's outputs, bounds, comparison with a pushed model."""

import pytest
from tfx.components.evaluator import executor as stock
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from components.artifacts import LOCAL_BEAM
from components.evaluation import evaluator
from models.contract.recipe import Evaluation, Metric
from models.records import pictures as picture_records
from tests.components import toy_model

SIZES = [(8, 16), (8, 32), (400, 400)]


def recipe_evaluation(lower_bound=None, tolerance=None, upper_bound=None):
    psnr = Metric("psnr_db", "dB", "higher", lower_bound=lower_bound, tolerance=tolerance)
    width = Metric("width", "px", "lower", upper_bound=upper_bound)
    return Evaluation((psnr, width), (picture_records.SIZE_CLASS,))


def model_artifact(folder, **options):
    artifact = standard_artifacts.Model()
    artifact.uri = str(folder)
    if options:
        toy_model.save(folder / "Format-Serving", **options)
    else:
        folder.mkdir()
    return artifact


def evaluate(tmp_path, wanted, model, baseline=None):
    """Runs the component's executor; returns (blessed, evaluation uri)."""
    toy_model.write_records(tmp_path / "examples" / "Split-test" / "part.gz", SIZES)
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = str(tmp_path / "examples"), '["test"]'
    examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    outputs = {"evaluation": [standard_artifacts.ModelEvaluation()], "blessing": [standard_artifacts.ModelBlessing()]}
    for key, artifacts in outputs.items():
        artifacts[0].uri = str(tmp_path / key)
        (tmp_path / key).mkdir(exist_ok=True)
    inputs = {"examples": [examples], "model": [model]} | ({"baseline_model": [baseline]} if baseline else {})
    properties = {
        "eval_config": proto_utils.proto_to_json(evaluator.eval_config(wanted)),
        "example_splits": '["test"]',
    }
    context = base_beam_executor.BaseBeamExecutor.Context(beam_pipeline_args=list(LOCAL_BEAM), tmp_dir=str(tmp_path))
    executor = evaluator.Evaluator.EXECUTOR_SPEC.executor_class
    assert issubclass(executor, stock.Executor)
    executor(context).Do(inputs, outputs, properties)
    return outputs["blessing"][0].get_int_custom_property("blessed") == 1, outputs["evaluation"][0].uri


def test_without_a_baseline_the_means_are_right_and_the_bounds_decide(tmp_path):
    model = model_artifact(tmp_path / "model", psnr_db=31.5)
    empty = model_artifact(tmp_path / "baseline")
    blessed, uri = evaluate(tmp_path, recipe_evaluation(lower_bound=30, tolerance=0.5, upper_bound=200), model, empty)
    assert blessed  # Although the slice of the widest picture alone lies above the bound.
    assert evaluator.failures(uri) == []
    means = evaluator.means(uri)
    assert means["psnr_db"] == pytest.approx(31.5)
    assert means["width"] == pytest.approx((16 + 32 + 400) / 3)
    assert means["example_count"] == 3


def test_missed_bound_is_named(tmp_path):
    model = model_artifact(tmp_path / "model", psnr_db=29.0)
    blessed, uri = evaluate(tmp_path, recipe_evaluation(lower_bound=30, upper_bound=100), model)
    assert not blessed
    lines = evaluator.failures(uri)
    assert any("psnr_db is 29; wanted is at least 30" in line for line in lines), lines
    assert any("width" in line and "at most 100" in line for line in lines), lines


def test_a_value_that_is_not_finite_is_refused_without_any_bound(tmp_path):
    model = model_artifact(tmp_path / "model", broken="infinite")
    blessed, uri = evaluate(tmp_path, recipe_evaluation(), model)
    assert not blessed
    assert any("finite" in line for line in evaluator.failures(uri))


@pytest.mark.parametrize(("tolerance", "expected"), [(0.5, False), (2.0, True)])
def test_worse_than_the_pushed_model(tmp_path, tolerance, expected):
    model = model_artifact(tmp_path / "model", psnr_db=31.0)
    baseline = model_artifact(tmp_path / "baseline", psnr_db=32.0)
    blessed, uri = evaluate(tmp_path, recipe_evaluation(tolerance=tolerance), model, baseline)
    assert blessed is expected
    assert evaluator.means(uri)["psnr_db"] == pytest.approx(31.0)
    if not expected:
        assert evaluator.failures(uri) == ["psnr_db changed by -1 against the last pushed model; allowed is -0.5"]
