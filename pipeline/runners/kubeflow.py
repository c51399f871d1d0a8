"""Compiles a pipeline to the file that Kubeflow Pipelines 2 takes.

TFX writes the steps. What it cannot say is added to what it wrote: where artifacts go, what steps ask of the cluster,
how often they are tried, what is told when a run is started, and what the cache must not answer.
"""

import copy
import dataclasses
import json
import pathlib
from typing import Any

import yaml
from tfx import components as tfx_components
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig
from tfx.types.standard_artifacts import Model

from models.files import replacing
from pipeline.runners import kubeflow_entry
from pipeline.shapes.line import Options

IMAGE_CODE = "/opt/kompakt"  # where the image keeps this project (Dockerfile)
# What no volume may hide: the code, Python, the system, and where the launcher puts artifacts and what steps report.
TAKEN = (IMAGE_CODE, "/usr", "/bin", "/lib", "/lib64", "/sbin", "/etc", "/dev", "/proc", "/sys", "/tmp",
         "/kfp-launcher", *(path.rstrip("/") for path in kubeflow_entry.MOUNTS.values()))  # fmt: skip
# These see what is not among their inputs (the data, the serving folder), so a cached answer would be an old one.
_UNCACHED = ("DataDigest", "Baseline", "Pusher")
# These have to do with models, and run none; the check runs it as a server without accelerators does.
_RUN_NO_NETWORK = ("Baseline", "Anchors", "GivenTeacher", "ServingCheck", "Pusher")
_ENTRY = ("python", "-m", "pipeline.runners.kubeflow_entry")
_COMPONENT = "comp-"  # which the SDK's own names begin with; its local runner cuts it off without looking
_DIGEST = {"taskOutputParameter": {"producerTask": "DataDigest", "outputParameterKey": "digest"}}
# A value that is another one in every run: keeps a step from the cache even where a client turns it on for all.
_THIS_RUN = {"runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}}


@dataclasses.dataclass(frozen=True)
class Request:
    """What a step asks of the cluster: processors and gigabytes; limits of 0 are none."""

    cpus: float
    memory: float
    cpu_limit: float = 0
    memory_limit: float = 0


@dataclasses.dataclass(frozen=True)
class Platform:
    """Where a pipeline is run.

    Attributes:
      image: has this project installed. root: where artifacts go, an object store's address.
      volume: (claim, path) of a persistent volume that every step sees.
      request: of steps that run networks. request_of_others: of the others.
      gpus: accelerators for each step that runs networks. gpu_type: their resource's name.
      gpu_image: image of these steps, with CUDA; "": `image`.
      selectors: labels of the nodes that these steps run on. tolerations: taints that they tolerate, as
        {"key", "operator", "value", "effect"}.
      retries: how often a step that failed is tried again.
    """

    image: str
    root: str
    volume: tuple[str, str] | None = None
    request: Request = Request(cpus=2, memory=4)
    request_of_others: Request = Request(cpus=1, memory=2)
    gpus: int = 0
    gpu_type: str = "nvidia.com/gpu"
    gpu_image: str = ""
    selectors: dict[str, str] = dataclasses.field(default_factory=dict)
    tolerations: tuple[dict[str, str], ...] = ()
    retries: int = 2


def compile_to(pipeline, path: pathlib.Path, options: Options, platform: Platform) -> None:
    """Writes the pipeline as a PipelineSpec 2.1.0 file, with a second document for what is Kubernetes' own.

    Args:
      pipeline: TFX pipeline. path: absolute, ends in .yaml; replaced in one step.
      options: what the pipeline was made of.
    """
    networks = {c.id for c in pipeline.components if runs_networks(c)}
    unseen = {c.id for c in pipeline.components if _reads_unknown_models(c)}
    gpu_images = dict.fromkeys(networks, platform.gpu_image) if platform.gpu_image else {}
    config = KubeflowV2DagRunnerConfig(
        default_image=gpu_images | {"default_image_path": platform.image} if gpu_images else platform.image,
        default_commands=list(_ENTRY),
        use_pipeline_spec_2_1=True,
    )
    with replacing(path) as written:
        KubeflowV2DagRunner(config, output_dir=str(written.parent), output_filename=written.name).run(pipeline)
        file = _File(yaml.safe_load(written.read_text(encoding="utf-8")))
        file.spec["defaultPipelineRoot"] = platform.root
        file.tell_at_start(options)
        file.retry(platform.retries)
        for name in file.tasks.keys() & {*_UNCACHED, *unseen}:
            file.never_cache(name)
        for name in file.tasks:
            file.request(name, platform, name in networks)
        file.name_components()
        documents = [file.spec]
        if executors := _of_kubernetes(file.tasks, networks, platform):
            documents.append({"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}})
        written.write_text(yaml.safe_dump_all(documents, sort_keys=True), encoding="utf-8")


def runs_networks(component) -> bool:
    """Whether a step trains or runs networks, which is what accelerators and much memory are for."""
    if type(component).__name__ in _RUN_NO_NETWORK:
        return False
    takes = any(channel.type is Model for channel in component.inputs.values())
    return takes or isinstance(component, (tfx_components.Trainer, tfx_components.Tuner))


class _File:
    """The file's first document, as it is completed."""

    def __init__(self, spec: dict[str, Any]):
        self.spec = spec
        self.tasks = spec["root"]["dag"]["tasks"]

    def tell_at_start(self, options: Options) -> None:
        """Makes data, steps and serving folder parameters of the pipeline; the compiled ones are their defaults."""
        self._parameter("steps", options.config.steps)
        self._parameter("output", options.push_dir)
        self._give("Baseline", "push_dir", {"componentInputParameter": "output"})
        output = ("push_destination", "filesystem", "base_directory")
        self._give("Pusher", kubeflow_entry.into(*output), {"componentInputParameter": "output"}, "STRING")
        if options.folder:
            self._parameter("data", options.folder)
            for name in ("DataDigest", "TfdsExampleGen"):
                self._give(name, "folder", {"componentInputParameter": "data"})
            self._give("TfdsExampleGen", "digest", _DIGEST)
            self._give("Report", kubeflow_entry.into("settings", "data", "folder"),
                       {"componentInputParameter": "data"}, "STRING")  # fmt: skip
            self._give("Report", kubeflow_entry.into("settings", "data", "digest"), _DIGEST, "STRING")
        for name, task in self.tasks.items():
            self._tell_training(name, task, options)

    def _tell_training(self, name: str, task: dict, options: Options) -> None:
        """Of a training that has the run's own number of steps that number; of all the digest of the data."""
        for key in ("custom_config", "settings"):
            given = task["inputs"].get("parameters", {}).get(key, {}).get("runtimeValue", {})
            told = json.loads(given.get("constant", "null")) or {}
            if told.get("config", {}).get("steps") == options.config.steps:
                steps = {"componentInputParameter": "steps"}
                self._give(name, kubeflow_entry.into(key, "config", "steps"), steps, "NUMBER_INTEGER")
            if options.folder and key == "custom_config" and "data" in told:
                self._give(name, kubeflow_entry.into(key, "data"), _DIGEST, "STRING")

    def never_cache(self, name: str) -> None:
        """Has a step run in every run."""
        self.tasks[name].pop("cachingOptions", None)
        self._give(name, kubeflow_entry.RUN, _THIS_RUN, "STRING")

    def retry(self, times: int) -> None:
        """Has every step tried again, after a minute, then two, ... up to ten."""
        policy = {"maxRetryCount": times, "backoffDuration": "60s", "backoffFactor": 2.0, "backoffMaxDuration": "600s"}
        for task in self.tasks.values():
            task.update({"retryPolicy": dict(policy)} if times else {})

    def request(self, name: str, platform: Platform, runs_networks: bool) -> None:
        """Says what a step asks of the cluster."""
        wanted = platform.request if runs_networks else platform.request_of_others
        resources: dict[str, Any] = {"cpuRequest": float(wanted.cpus), "memoryRequest": float(wanted.memory)}
        limits = {"cpuLimit": float(wanted.cpu_limit), "memoryLimit": float(wanted.memory_limit)}
        resources |= {key: value for key, value in limits.items() if value}
        if runs_networks and platform.gpus:
            resources["accelerator"] = {"type": platform.gpu_type, "count": str(platform.gpus)}
            gpus = {"runtimeValue": {"constant": platform.gpus}}
            self._give(name, kubeflow_entry.GPUS, gpus, "NUMBER_INTEGER")
        label = self.spec["components"][name]["executorLabel"]
        self.spec["deploymentSpec"]["executors"][label]["container"]["resources"] = resources

    def name_components(self) -> None:
        """Names the components as the SDK would."""
        self.spec["components"] = {_COMPONENT + name: c for name, c in self.spec["components"].items()}
        for name, task in self.tasks.items():
            task["componentRef"]["name"] = _COMPONENT + name

    def _parameter(self, name: str, default: str | int) -> None:
        kind = "STRING" if isinstance(default, str) else "NUMBER_INTEGER"
        known = self.spec["root"].setdefault("inputDefinitions", {}).setdefault("parameters", {})
        known[name] = {"parameterType": kind, "defaultValue": default, "isOptional": True}

    def _give(self, name: str, parameter: str, value: dict, kind: str = "") -> None:
        """Gives a step's parameter a value; with `kind` the step has not had it yet."""
        task, component = self.tasks[name], self.spec["components"][name]
        task["inputs"].setdefault("parameters", {})[parameter] = copy.deepcopy(value)
        if kind:
            known = component.setdefault("inputDefinitions", {}).setdefault("parameters", {})
            known[parameter] = {"parameterType": kind}
        if producer := value.get("taskOutputParameter", {}).get("producerTask"):
            task["dependentTasks"] = sorted({*task.get("dependentTasks", ()), producer})


def _reads_unknown_models(component) -> bool:
    """Whether a step reads a model that the maker of the pipeline does not see, at a path of the cluster."""
    custom = json.loads(component.exec_properties.get("custom_config") or "null") or {}
    return "" in custom.get("models", {}).values()


def _of_kubernetes(tasks: dict, networks: set[str], platform: Platform) -> dict[str, dict]:
    """What TFX cannot say, by executor: a volume claim for every step, nodes for those that run networks."""
    executors = {}
    for name in tasks:
        of_step: dict[str, Any] = {}
        if platform.volume:
            claim, path = platform.volume
            of_step["pvcMount"] = [{"constant": claim, "mountPath": path}]
        if name in networks and platform.selectors:
            of_step["nodeSelector"] = {"labels": dict(platform.selectors)}
        if name in networks and platform.tolerations:
            of_step["tolerations"] = [dict(toleration) for toleration in platform.tolerations]
        if of_step:
            executors[f"{name}_executor"] = of_step
    return executors
