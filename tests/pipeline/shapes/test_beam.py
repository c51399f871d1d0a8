"""Beam's arguments reach every step that runs Beam, in every shape of pipeline."""

import dataclasses

import pytest
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec

from models.contract import registry
from pipeline.arguments.given import pipeline_of
from tests.pipeline.shapes.test_keys import options

ONE_OF_EACH = {recipe.shape: name for name, recipe in registry.recipes().items()}


@pytest.mark.parametrize("name", ONE_OF_EACH.values())
def test_every_beam_step_has_them(name):
    made = dataclasses.replace(options(name), beam_args=("--direct_num_workers=3",))
    steps = {step.id: step.executor_spec for step in pipeline_of(made).components}
    beam = {name: spec for name, spec in steps.items() if isinstance(spec, BeamExecutorSpec)}
    assert {"TfdsExampleGen", "StatisticsGen", "Evaluator"} <= beam.keys()
    assert all(spec.beam_pipeline_args == ["--direct_num_workers=3"] for spec in beam.values())
