"""The model that a new one must not be worse than: the last one pushed from another training."""

import os

from tfx.dsl.io import fileio
from tfx.utils import io_utils
from tfx.v1.dsl.components import OutputArtifact, Parameter, component
from tfx.v1.types.standard_artifacts import Model

from components.artifacts import PushedVersion, pushed_versions, saved_model_dir


def last_pushed(push_dir: str, *, recipe: str, run: str, metrics: list[str]) -> PushedVersion | None:
    """The newest pushed model that this run can be compared with, or None.

    A model of this very run (same recipe, options, data and sources) is no baseline: compared with itself every model
    passes, and a repeated command would look new to the cache after its own push.

    Args:
      push_dir: the serving folder. recipe: name. run: digest of the run. metrics: what both must measure.
    """
    for version in pushed_versions(push_dir):
        origin = version.origin
        comparable = origin.get("recipe") == recipe and set(metrics) <= set(origin.get("metrics", ()))
        if comparable and origin.get("run") != run:
            return version
    return None


@component
def Baseline(  # noqa: N802 (TFX components are nouns)
    model: OutputArtifact[Model],
    push_dir: Parameter[str],
    recipe: Parameter[str],
    run: Parameter[str],
    metrics: Parameter[str],
    last: Parameter[str],
) -> None:
    """Copies the last pushed model into the pipeline, or leaves the output empty when there is none.

    Args:
      model: the copy, in `Format-Serving`; an empty artifact says that there is no baseline.
      push_dir, recipe, run: as in `last_pushed`. metrics: names joined by commas.
      last: path of the model that the maker of the pipeline saw; only there to give the cache a new key after a push.
    """
    del last  # The folder is read anew: on a cluster the maker of the pipeline cannot see it.
    found = last_pushed(push_dir, recipe=recipe, run=run, metrics=metrics.split(","))
    model.set_string_custom_property("pushed_path", found.path if found else "")
    if found is None:
        fileio.makedirs(model.uri)
        return
    io_utils.copy_dir(found.path, os.path.normpath(saved_model_dir(model)))
