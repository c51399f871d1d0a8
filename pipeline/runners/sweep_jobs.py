"""A sweep on Kubernetes: a Job for the chief, an indexed Job for the workers, and the Service by which they find it.

Both run the same command. What each is in the search stands in keras-tuner's variables (`tuning.cluster`): the chief
makes the records and hands out the trials; a worker is called by its index, and started again under it when it dies.
All see one volume, on which data, state and results lie.
"""

from collections.abc import Sequence
from typing import Any

from pipeline.runners.kubernetes import as_yaml
from tuning import cluster
from tuning.supervisor import CHIEF

PORT = 8000
_INDEX = "JOB_COMPLETION_INDEX"
_RESTARTS = 20  # of pods, before a Job is given up


def objects(
    arguments: Sequence[str], *, name: str, image: str, claim: str, mount: str, workers: int, cpus: float, memory: str,
    gpus: int = 0,
) -> str:  # fmt: skip
    """The objects as YAML.

    Args:
      arguments: of the command `sweep`, for every process.
      name: of the objects, and of the search. image: has this project. claim, mount: the volume and its place.
      workers: how many train at once. cpus, memory, gpus: of each worker; the chief asks for one processor.
    """
    common = {"arguments": arguments, "name": name, "image": image, "claim": claim, "mount": mount}
    of_chief = {cluster.TUNER: CHIEF, cluster.IP: "0.0.0.0"}
    of_worker = {_INDEX: None, cluster.TUNER: f"tuner$({_INDEX})", cluster.IP: f"{name}-chief"}
    resources: dict[str, Any] = {"requests": {"cpu": f"{cpus:g}", "memory": memory}}
    if gpus:
        resources["limits"] = {"nvidia.com/gpu": str(gpus)}
    chief = _pod("chief", of_chief, {"requests": {"cpu": "1", "memory": "4Gi"}}, **common)
    chief["spec"]["containers"][0]["ports"] = [{"name": "oracle", "containerPort": PORT}]
    indexed = {"completionMode": "Indexed", "completions": workers, "parallelism": workers}
    # A chief that is no more ready is found all the same: workers wait for it.
    service = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": _labels(name, "chief"),
        "ports": [{"name": "oracle", "port": PORT}],
    }
    about = {"name": f"{name}-chief", "labels": _labels(name, "chief")}
    return as_yaml(
        [
            {"apiVersion": "v1", "kind": "Service", "metadata": about, "spec": service},
            _job(name, "chief", {}, chief),
            _job(name, "worker", indexed, _pod("worker", of_worker, resources, **common)),
        ]
    )


def _labels(name: str, role: str) -> dict[str, str]:
    return {"app": name, "role": role}


def _job(name: str, role: str, more: dict[str, Any], pod: dict[str, Any]) -> dict[str, Any]:
    about = {"name": f"{name}-{role}", "labels": _labels(name, role)}
    spec = {**more, "backoffLimit": _RESTARTS, "template": pod}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": about, "spec": spec}


def _pod(
    role: str, variables: dict[str, str | None], resources: dict[str, Any], *, arguments: Sequence[str], name: str,
    image: str, claim: str, mount: str,
) -> dict[str, Any]:  # fmt: skip
    variables = variables | {cluster.PORT: str(PORT), cluster.SEARCH: name}
    container = {
        "name": role,
        "image": image,
        "command": ["python", "-m", "pipeline", "sweep"],
        "args": list(arguments),
        "env": [_variable(*item) for item in variables.items()],
        "resources": resources,
        "volumeMounts": [{"name": "volume", "mountPath": mount}],
    }
    return {
        "metadata": {"labels": _labels(name, role)},
        "spec": {
            "restartPolicy": "OnFailure",
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 1000},
            "containers": [container],
            "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }


def _variable(name: str, value: str | None) -> dict[str, Any]:
    """A variable of a container. The index is told by name first, so that the next one may contain it."""
    if value is not None:
        return {"name": name, "value": value}
    path = f"metadata.annotations['batch.kubernetes.io/{_INDEX.lower().replace('_', '-')}']"
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
