"""The step that makes one served model of several trained ones: the mean of their probabilities."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components import artifacts
from models.classifiers import ensemble
from models.publishing import export, pushed
from models.pursuit import garrote
from models.records import pictures as picture_records


class EnsembleSpec(component_spec.ComponentSpec):
    """What Ensemble takes and gives."""

    PARAMETERS = {"settings": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        **artifacts.several_models("member"),
    }
    OUTPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}


class Executor(base_executor.BaseExecutor):
    """Exports the model; see Ensemble."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:  # noqa: N802 (TFX's name)
        """Writes the SavedModel into the model artifact."""
        settings = json.loads(exec_properties["settings"])
        members = [input_dict[f"member_{n}"] for n in range(artifacts.MOST) if input_dict.get(f"member_{n}")]
        members = [artifacts.saved_model_dir(found[0]) for found in members]
        if settings.pop("by_members", False):
            origin, runs = settings["origin"], [artifacts.read_origin(member)["run"] for member in members]
            origin["run"] = artifacts.digest(origin["run"], runs)
        model = artifact_utils.get_single_instance(output_dict["model"])
        train, validation = picture_records.SPLITS[:2]
        judged = artifacts.split_files(input_dict["examples"], validation) if settings.pop("garrote", False) else ()
        combine(
            members,
            artifacts.split_files(input_dict["examples"], train),
            path_utils.serving_model_dir(model.uri),
            judged=judged,
            **settings,
        )


class Ensemble(base_component.BaseComponent):
    """One model of several, see `combine`; up to `artifacts.MOST` members."""

    SPEC_CLASS = EnsembleSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, examples, members: Sequence, settings: Mapping[str, Any]):
        """
        Args:
          examples, members: channels. settings: "int8" and "origin" of `combine`; "garrote": whether members
            are chosen and weighed on the validation split.
        """
        spec = EnsembleSpec(
            examples=examples,
            **artifacts.numbered("member", members),
            model=types.Channel(type=standard_artifacts.Model),
            settings=json.dumps(dict(settings), sort_keys=True),
        )
        super().__init__(spec=spec)


def combine(
    paths: Sequence[str],
    files: Sequence[str],
    directory: str,
    *,
    int8: bool,
    origin: Mapping,
    judged: Sequence[str] = (),
) -> None:
    """Exports the ensemble of pushed classifiers as one SavedModel.

    Args:
      paths: of the members. files: training records, for the ranges of an int8 file. directory: of the new model.
      int8: whether that file is written. origin: of the model, as `artifacts.origin_of`.
      judged: records by which members are chosen and weighed (`garrote.of_members`); without them all weigh the same.

    Raises:
      ConfigError: the members do not fit together.
    """
    members, more = [pushed.load(path) for path in paths], {}
    if judged:
        weights = _weights(members, judged)
        print(f"  weights of the members: {', '.join(f'{w:.3f}' for w in weights)}", flush=True)
        members = [member for member, weight in zip(members, weights, strict=True) if weight > 0]
        more["weights"] = json.dumps([round(float(w), 6) for w in weights if w > 0])
    config, model = ensemble.combine(members, int8=int8, **more)
    trained_by = pushed.describe(paths[-1]).get("trained_by")
    if trained_by:
        trained_by["config"]["int8"] = int8
    export.export(ensemble.RECIPE, config, model, directory, examples=files, trained_by=trained_by)
    artifacts.write_origin(directory, origin)


def _weights(members: Sequence[tuple], files: Sequence[str]) -> np.ndarray:
    """What each member's probabilities weigh, by the labels of records: [M], those below a thousandth are 0."""
    ensemble.combine(members)  # raises what does not fit
    answers, labels = [[] for _ in members], []
    for pixels, y in ensemble.inputs(files, members[0][1], False):
        labels.append(y.numpy())
        for said, (_, _, model) in zip(answers, members, strict=True):
            said.append(np.array(ops.softmax(model(pixels, training=False))))
    found = garrote.of_members([np.concatenate(said) for said in answers], np.concatenate(labels))
    return np.where(found >= 1e-3, found, 0.0)
