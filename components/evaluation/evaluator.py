"""Evaluation by TFMA: aggregates of what `serving_default` gives per example, and the thresholds that bless a model."""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from google.protobuf.wrappers_pb2 import DoubleValue
from tensorflow_model_analysis.proto import config_pb2  # not by way of `tfma`: 0.52 does not pass them on
from tfx.components.evaluator import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.types import standard_component_specs as keys

from components.artifacts import saved_model_dir
from components.evaluation import aggregate as aggregates
from models.contract.recipe import Evaluation
from models.contract.recipe import Metric as RecipeMetric

# A mean that is not a number lies within no bounds, so every metric gets some.
_UNBOUNDED = 1e30


class AggregateMetric(tfma.metrics.Metric):
    """An aggregate (`components.evaluation.aggregate`) of the outputs of the evaluated signature, in TFMA."""

    def __init__(self, name: str, aggregate: str, arguments: Mapping[str, Any]):
        """
        Args:
          name: of the metric. aggregate, arguments: as of `aggregates.make`.

        Raises:
          LookupError, TypeError, ValueError: as `aggregates.make`.
        """
        aggregates.make(aggregate, name, arguments)
        compute = tfma.metrics.merge_per_key_computations(_computations)
        super().__init__(compute, name=name, aggregate=aggregate, arguments=arguments)


def _computations(name: str, aggregate: str, arguments: Mapping[str, Any], model_name: str = "") -> list:
    """What is gathered, under a private name, which TFMA does once for all that share it; and the number made of it."""
    made = aggregates.make(aggregate, name, arguments)
    gathered = tfma.metrics.MetricKey(name=f"_{made.gatherer()}", model_name=model_name)
    key = tfma.metrics.MetricKey(name=name, model_name=model_name)

    def result(metrics: Mapping) -> dict:
        return {key: made.result(metrics[gathered])}

    combiner = _Gather(gathered, made.gatherer(), model_name)
    return [
        tfma.metrics.MetricComputation(keys=[gathered], preprocessors=None, combiner=combiner),
        tfma.metrics.DerivedMetricComputation(keys=[key], result=result),
    ]


class _Gather(beam.CombineFn):
    """An aggregate as Beam takes it; what comes out is its state."""

    def __init__(self, key, aggregate: aggregates.Aggregate, model_name: str):
        self._key, self._aggregate, self._model_name = key, aggregate, model_name

    def create_accumulator(self) -> Any:
        return self._aggregate.empty()

    def add_input(self, accumulator: Any, element: Any) -> Any:
        outputs = element.get_predictions(model_name=self._model_name or None)
        if not isinstance(outputs, Mapping):
            raise ValueError("serving_default gives one output alone, whose name is lost in TFMA; let it give two")
        # An element is one example, whose outputs have lost their first dimension.
        batch = {name: np.asarray(value)[np.newaxis] for name, value in outputs.items()}
        return self._aggregate.add(accumulator, aggregates.labelled(batch))

    def merge_accumulators(self, accumulators: Iterable[Any]) -> Any:
        return self._aggregate.of_parts(accumulators)

    def extract_output(self, accumulator: Any) -> dict:
        return {self._key: accumulator}


def eval_config(evaluation: Evaluation) -> config_pb2.EvalConfig:
    """What TFMA computes for a recipe: overall and per slice, with bounds and the comparison with the pushed model.

    Raises:
      LookupError, TypeError, ValueError: a metric asks for an aggregate that there is not, or as it cannot be had.
    """
    metrics = [_metric_config(m) for m in evaluation.metrics]
    # At least one example: an empty split must not bless a model.
    one = config_pb2.GenericValueThreshold(lower_bound=DoubleValue(value=1))
    some = _overall(config_pb2.MetricThreshold(value_threshold=one))
    metrics.append(config_pb2.MetricConfig(class_name="ExampleCount", per_slice_thresholds=some))
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(model_type="tf_generic", signature_name="serving_default")],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(config_pb2.SlicingSpec(feature_keys=[key]) for key in evaluation.slices),
        ],
        metrics_specs=[config_pb2.MetricsSpec(metrics=metrics)],
        options=config_pb2.Options(include_default_metrics={"value": False}),
    )


def _metric_config(metric: RecipeMetric) -> config_pb2.MetricConfig:
    made = aggregates.make(metric.aggregate, metric.name, metric.arguments)
    low = -_UNBOUNDED if metric.lower_bound is None else metric.lower_bound
    high = _UNBOUNDED if metric.upper_bound is None else metric.upper_bound
    bounds = {"lower_bound": DoubleValue(value=low), "upper_bound": DoubleValue(value=high)}
    threshold = config_pb2.MetricThreshold(value_threshold=config_pb2.GenericValueThreshold(**bounds))
    unbounded = made.may_be_undefined and metric.lower_bound is metric.upper_bound is None
    if unbounded:
        threshold.ClearField("value_threshold")
    if metric.tolerance is not None:
        higher = metric.better == "higher"
        direction = "HIGHER_IS_BETTER" if higher else "LOWER_IS_BETTER"
        change = config_pb2.GenericChangeThreshold(
            absolute=DoubleValue(value=-metric.tolerance if higher else metric.tolerance),
            direction=getattr(config_pb2.MetricDirection, direction),
        )
        threshold.change_threshold.CopyFrom(change)
    return config_pb2.MetricConfig(
        class_name=AggregateMetric.__name__,
        module=AggregateMetric.__module__,
        config=json.dumps({"name": metric.name, "aggregate": metric.aggregate, "arguments": dict(metric.arguments)}),
        per_slice_thresholds=_overall(threshold) if metric.tolerance is not None or not unbounded else [],
    )


def _overall(threshold: config_pb2.MetricThreshold) -> list:
    """The threshold for the whole set: a plain one would bind every slice too, and a slice may hold one odd picture."""
    return [config_pb2.PerSliceMetricThreshold(slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold)]


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
