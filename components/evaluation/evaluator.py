"""Evaluation by TFMA: means of what `serving_default` measures per example, and the thresholds that bless a model."""

import collections
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from google.protobuf.wrappers_pb2 import DoubleValue
from tfx.components.evaluator import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.types import standard_component_specs as keys

from components.artifacts import saved_model_dir
from components.evaluation import class_scores
from models.contract.recipe import Evaluation
from models.contract.recipe import Metric as RecipeMetric
from models.records import recordings as ecg_records

# A mean that is not a number lies within no bounds, so every metric gets some.
_UNBOUNDED = 1e30


class MeanOutput(tfma.metrics.Metric):
    """Mean over examples of one output of the evaluated signature (float [B, 1] or [B]).

    The mean of a set's PSNR is thus the mean of its pictures' PSNRs, not the PSNR of the mean error.
    """

    def __init__(self, output: str, name: str | None = None):
        """
        Args:
          output: key in the signature's outputs.
          name: what results call it (the key, if None).
        """
        compute = tfma.metrics.merge_per_key_computations(_mean_of_output)
        super().__init__(compute, name=name or output, output=output)


def _mean_of_output(name: str, output: str, model_name: str = "") -> list:
    key = tfma.metrics.MetricKey(name=name, model_name=model_name)
    return [tfma.metrics.MetricComputation(keys=[key], preprocessors=None, combiner=_Mean(key, output, model_name))]


def _judged(outputs: Mapping[str, Any]) -> slice | np.ndarray:
    """Which of a signature's numbers count: all but those of examples whose output `label`, if there is one, is -1."""
    return np.asarray(outputs["label"]).ravel() >= 0 if "label" in outputs else slice(None)


class _Mean(beam.CombineFn):
    """Sum and count of one output's values, float64."""

    def __init__(self, key, output: str, model_name: str):
        self._key, self._output, self._model_name = key, output, model_name

    def create_accumulator(self) -> tuple[float, int]:
        return 0.0, 0

    def add_input(self, accumulator: tuple[float, int], element: Any) -> tuple[float, int]:
        outputs = element.get_predictions(model_name=self._model_name or None)
        if self._output not in outputs:
            raise KeyError(f"serving_default gives no '{self._output}'; it gives {', '.join(sorted(outputs))}")
        values = np.asarray(outputs[self._output], np.float64).ravel()[_judged(outputs)]
        return accumulator[0] + float(values.sum()), accumulator[1] + values.size

    def merge_accumulators(self, accumulators: Iterable[tuple[float, int]]) -> tuple[float, int]:
        sums, counts = zip(*accumulators, strict=True)
        return sum(sums), sum(counts)

    def extract_output(self, accumulator: tuple[float, int]) -> dict:
        total, count = accumulator
        return {self._key: total / count if count else float("nan")}


class CalibrationError(tfma.metrics.Metric):
    """Expected calibration error: how far the confidence of the answers is from the share of right ones.

    Examples go into BINS bins of equal width by the output `confidence`; the error is the mean over examples of
    |mean accuracy - mean confidence| of their bin (Guo et al., arXiv:1706.04599, eq. 3).
    """

    def __init__(self, name: str = "calibration_error"):
        super().__init__(tfma.metrics.merge_per_key_computations(_calibration), name=name)


BINS = 15


def _calibration(name: str, model_name: str = "") -> list:
    key = tfma.metrics.MetricKey(name=name, model_name=model_name)
    return [tfma.metrics.MetricComputation(keys=[key], preprocessors=None, combiner=_Bins(key, model_name))]


class _Bins(beam.CombineFn):
    """Count, sum of confidences and sum of accuracies of each bin, float64 [BINS, 3]."""

    def __init__(self, key, model_name: str):
        self._key, self._model_name = key, model_name

    def create_accumulator(self) -> np.ndarray:
        return np.zeros((BINS, 3))

    def add_input(self, accumulator: np.ndarray, element: Any) -> np.ndarray:
        outputs = element.get_predictions(model_name=self._model_name or None)
        judged = _judged(outputs)
        confidence, accuracy = (np.asarray(outputs[k], np.float64).ravel()[judged] for k in ("confidence", "accuracy"))
        places = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
        np.add.at(accumulator, places, np.stack([np.ones_like(confidence), confidence, accuracy], 1))
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[np.ndarray]) -> np.ndarray:
        return sum(accumulators, np.zeros((BINS, 3)))

    def extract_output(self, accumulator: np.ndarray) -> dict:
        count = accumulator[:, 0].sum()
        difference = np.abs(accumulator[:, 1] - accumulator[:, 2]).sum()
        return {self._key: float(difference / count) if count else float("nan")}


class ClassScore(tfma.metrics.Metric):
    """A score of an evaluation, by its name: `challenge_f1`, or "f1", "precision" or "recall" with the class behind.

    All scores of a model come from one count of confusions.
    """

    def __init__(self, name: str):
        """
        Args:
          name: "challenge_f1", "f1_normal", "recall_noise" and so on.

        Raises:
          ValueError: no such score.
        """
        if name not in class_scores.NAMES:
            raise ValueError(f"no score {name!r}; there are {', '.join(class_scores.NAMES)}")
        super().__init__(tfma.metrics.merge_per_key_computations(_score), name=name)


def _score(name: str, model_name: str = "") -> list:
    counts = tfma.metrics.MetricKey(name="_confusions", model_name=model_name)  # a leading _ keeps it out of results
    key = tfma.metrics.MetricKey(name=name, model_name=model_name)

    def result(metrics: Mapping) -> dict:
        return {key: class_scores.score_of(metrics[counts], name)}

    return [
        tfma.metrics.MetricComputation(keys=[counts], preprocessors=None, combiner=_Confusions(counts, model_name)),
        tfma.metrics.DerivedMetricComputation(keys=[key], result=result),
    ]


class _Confusions(beam.CombineFn):
    """Counts of (label, predicted)."""

    def __init__(self, key, model_name: str):
        self._key, self._model_name = key, model_name

    def create_accumulator(self) -> collections.Counter:
        return collections.Counter()

    def add_input(self, accumulator: collections.Counter, element: Any) -> collections.Counter:
        outputs = element.get_predictions(model_name=self._model_name or None)
        labels, predicted = (np.rint(np.asarray(outputs[k])).astype(int).ravel() for k in ("label", "predicted"))
        pairs = zip(labels.tolist(), predicted.tolist(), strict=True)
        accumulator.update(pair for pair in pairs if pair[0] != ecg_records.NO_LABEL)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[collections.Counter]) -> collections.Counter:
        return sum(accumulators, collections.Counter())

    def extract_output(self, accumulator: collections.Counter) -> dict:
        return {self._key: accumulator}


# Class of an aggregate and what its argument is called; the metric's name goes there.
_AGGREGATES = {
    "mean": (MeanOutput, "output"),
    "calibration_error": (CalibrationError, "name"),
    **{kind: (ClassScore, "name") for kind in class_scores.KINDS},
}


def eval_config(evaluation: Evaluation) -> tfma.EvalConfig:
    """What TFMA computes for a recipe: overall and per slice, with bounds and the comparison with the pushed model."""
    metrics = [_metric_config(m) for m in evaluation.metrics]
    # At least one example: an empty split must not bless a model.
    one = tfma.GenericValueThreshold(lower_bound=DoubleValue(value=1))
    some = _overall(tfma.MetricThreshold(value_threshold=one))
    metrics.append(tfma.MetricConfig(class_name="ExampleCount", per_slice_thresholds=some))
    return tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(model_type="tf_generic", signature_name="serving_default")],
        slicing_specs=[tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=[key]) for key in evaluation.slices)],
        metrics_specs=[tfma.MetricsSpec(metrics=metrics)],
        options=tfma.Options(include_default_metrics={"value": False}),
    )


def _metric_config(metric: RecipeMetric) -> tfma.MetricConfig:
    kind, argument = _AGGREGATES[metric.aggregate]
    low = -_UNBOUNDED if metric.lower_bound is None else metric.lower_bound
    high = _UNBOUNDED if metric.upper_bound is None else metric.upper_bound
    bounds = {"lower_bound": DoubleValue(value=low), "upper_bound": DoubleValue(value=high)}
    threshold = tfma.MetricThreshold(value_threshold=tfma.GenericValueThreshold(**bounds))
    # A score of a class that the data lack is no number, which says nothing against the model.
    unbounded = metric.aggregate in class_scores.KINDS and metric.lower_bound is metric.upper_bound is None
    if unbounded:
        threshold.ClearField("value_threshold")
    if metric.tolerance is not None:
        higher = metric.better == "higher"
        direction = "HIGHER_IS_BETTER" if higher else "LOWER_IS_BETTER"
        change = tfma.GenericChangeThreshold(
            absolute=DoubleValue(value=-metric.tolerance if higher else metric.tolerance),
            direction=getattr(tfma.MetricDirection, direction),
        )
        threshold.change_threshold.CopyFrom(change)
    return tfma.MetricConfig(
        class_name=kind.__name__,
        module=kind.__module__,
        config=json.dumps({argument: metric.name}),
        per_slice_thresholds=_overall(threshold) if metric.tolerance is not None or not unbounded else [],
    )


def _overall(threshold: tfma.MetricThreshold) -> list:
    """The threshold for the whole set: a plain one would bind every slice too, and a slice may hold one odd picture."""
    return [tfma.PerSliceMetricThreshold(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)]


class _Executor(executor.Executor):
    """TFX's executor, which takes an empty baseline artifact for what it means: there is no model to compare with."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:  # noqa: N802 (TFX's name)
        baseline = input_dict.get(keys.BASELINE_MODEL_KEY)
        if baseline and not fileio.exists(os.path.join(saved_model_dir(baseline[0]), "saved_model.pb")):
            input_dict = {k: v for k, v in input_dict.items() if k != keys.BASELINE_MODEL_KEY}
        super().Do(input_dict, output_dict, exec_properties)


class Evaluator(component.Evaluator):
    """TFX's Evaluator with a baseline that may be empty."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(_Executor)


def failures(evaluation_uri: str) -> list[str]:
    """Lines that say which metric missed which threshold by how much, from a finished evaluation; none when blessed."""
    result = tfma.load_validation_result(evaluation_uri)
    lines = []
    for slice_ in result.metric_validations_per_slice:
        for failure in slice_.failures:
            lines.append(_failure_line(failure))
    if not result.validation_ok and not lines:
        lines.append("nothing was evaluated")
    return lines


def _failure_line(failure) -> str:
    value, limits = failure.metric_value.double_value.value, failure.metric_threshold
    if failure.metric_key.is_diff:
        allowed = limits.change_threshold.absolute.value
        name = failure.metric_key.name
        return f"{name} changed by {value:+.4g} against the last pushed model; allowed is {allowed:+.4g}"
    low, high = limits.value_threshold.lower_bound.value, limits.value_threshold.upper_bound.value
    said = [f"at least {low:.4g}"] if low > -_UNBOUNDED and limits.value_threshold.HasField("lower_bound") else []
    if limits.value_threshold.HasField("upper_bound") and high < _UNBOUNDED:
        said.append(f"at most {high:.4g}")
    return f"{failure.metric_key.name} is {value:.4g}; wanted is {' and '.join(said) or 'a finite number'}"


def means(evaluation_uri: str) -> dict[str, float]:
    """Means over all examples by metric name, from a finished evaluation; of the candidate if there was a baseline."""
    found = {}
    for slice_ in tfma.load_metrics(evaluation_uri):
        if slice_.slice_key.single_slice_keys:
            continue
        for item in slice_.metric_keys_and_values:
            if not item.key.is_diff and item.key.model_name in ("", tfma.CANDIDATE_KEY):
                found[item.key.name] = item.value.double_value.value
    return found
