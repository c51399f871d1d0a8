"""Compiles a pipeline to the file that Kubeflow Pipelines 2 takes."""

import json
import pathlib
from collections.abc import Iterable, Sequence

import yaml
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig

from models.files import replacing

# These see what is not among their inputs (the serving folder), so a cached answer would be an old one.
_UNCACHED = ("Baseline", "Pusher")
_ENTRY = ("python", "-m", "pipeline.runners.kubeflow_entry")


def compile_to(
    pipeline, path: pathlib.Path, *, image: str, volume: tuple[str, str] | None = None, uncached: Sequence[str] = ()
) -> None:
    """Writes the pipeline as a PipelineSpec 2.1.0 file.

    Args:
      pipeline: TFX pipeline. path: absolute, ends in .yaml; replaced in one step. image: has this project installed.
      volume: (claim, path) of a persistent volume that every step sees. uncached: steps that the cache must not answer.
    """
    config = KubeflowV2DagRunnerConfig(default_image=image, default_commands=list(_ENTRY), use_pipeline_spec_2_1=True)
    with replacing(path) as written:
        KubeflowV2DagRunner(config, output_dir=str(written.parent), output_filename=written.name).run(pipeline)
        spec = yaml.safe_load(written.read_text(encoding="utf-8"))
        for name in (*_UNCACHED, *uncached, *(c.id for c in pipeline.components if _reads_unknown_models(c))):
            spec["root"]["dag"]["tasks"][name].pop("cachingOptions", None)
        documents = [spec]
        if volume:
            documents.append(_mounts(spec["deploymentSpec"]["executors"], *volume))
        written.write_text(yaml.safe_dump_all(documents, sort_keys=True), encoding="utf-8")


def _reads_unknown_models(component) -> bool:
    """Whether a step reads a model that the maker of the pipeline does not see, at a path of the cluster."""
    custom = json.loads(component.exec_properties.get("custom_config") or "null") or {}
    return "" in custom.get("models", {}).values()


def _mounts(executors: Iterable[str], claim: str, path: str) -> dict:
    """The second document of the file, what TFX cannot say: a volume claim mounted in every step."""
    mount = {"pvcMount": [{"constant": claim, "mountPath": path}]}
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {name: mount for name in executors}}}}}
