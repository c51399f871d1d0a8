"""The model that a new one must not be worse than: the last one pushed from another training."""

import json
import os
from collections.abc import Mapping
from typing import Any

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types.standard_artifacts import Model
from tfx.utils import io_utils

from components import artifacts
from components.artifacts import PushedVersion, pushed_versions, saved_model_dir


def last_pushed(push_dir: str, origin: Mapping[str, Any]) -> PushedVersion | None:
    """The newest pushed model that a model of this origin can be compared with, or None.

    A model of this very run (same recipe, options, data and sources) is no baseline: compared with itself every model
    passes, and a repeated command would look new to the cache after its own push.

    Args:
      push_dir: the serving folder. origin: as of `artifacts.origin_of`.
    """
    for version in pushed_versions(push_dir):
        other = version.origin
        alike = all(other.get(key) == origin[key] for key in ("recipe", "comparable"))
        measured = set(origin["metrics"]) <= set(other.get("metrics", ()))
        if alike and measured and other.get("run") != origin["run"]:
            return version
    return None


@component
def Baseline(  # noqa: N802 (TFX components are nouns)
    model: OutputArtifact[Model],
    push_dir: Parameter[str],
    origin: Parameter[str],
    last: Parameter[str],
    candidate: InputArtifact[Model] = None,
) -> None:
    """Copies the last pushed model into the pipeline, or leaves the output empty when there is none.

    Args:
      model: the copy, in `Format-Serving`; an empty artifact says that there is no baseline.
      push_dir, origin: as of `last_pushed`, the latter as JSON.
      last: path and content of the model that the maker of the pipeline saw, for the cache alone: another is another
        key.
      candidate: the model that is compared. On a cluster, where the maker of the pipeline knows not all that decides a
        model, its own origin takes the place of `origin`.
    """
    del last  # The folder is read anew: on a cluster the maker of the pipeline cannot see it.
    known = artifacts.read_origin(saved_model_dir(candidate)) if candidate else {}
    found = last_pushed(push_dir, known or json.loads(origin))
    model.set_string_custom_property("pushed_path", found.path if found else "")
    if found is None:
        fileio.makedirs(model.uri)
        return
    io_utils.copy_dir(found.path, os.path.normpath(saved_model_dir(model)))
