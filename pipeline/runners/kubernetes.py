"""TensorFlow Serving on Kubernetes: the objects that serve models which lie on a volume of the cluster."""

from collections.abc import Mapping, Sequence

import yaml

from components.serving.configuration import CONFIG_DIR, GRPC_PORT, MODELS_DIR, REST_PORT

# A pod is not ready before every model has answered its warm-up requests. The check before a push allows these half an
# hour, for a serial decoder on one slow core; a pod that is still at it is not restarted before.
STARTUP_S = 1800


class _Plain(yaml.SafeDumper):
    """Writes what stands in two places out in both, which people read more easily, and texts of lines as lines."""

    def ignore_aliases(self, data) -> bool:
        return True

    def represent_str(self, data: str):
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Plain.add_representer(str, _Plain.represent_str)


def objects(
    names: Sequence[str], files: Mapping[str, str], flags: Sequence[str], *, name: str, image: str, claim: str,
    replicas: int, cpus: int, memory: str,
) -> str:  # fmt: skip
    """A ConfigMap, a Deployment and a Service, as YAML.

    Args:
      names: of the models. files: name -> text of what the server reads. flags: its arguments.
      name: of the objects. image: of the server. claim: of the volume whose folders are the models' names.
      replicas: pods. cpus, memory: what a pod asks for, and may use.
    """
    labels = {"app": name}
    volumes = [
        {"name": "config", "configMap": {"name": name}},
        {"name": "models", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}},
    ]
    pod = {
        "metadata": {"labels": labels},
        "spec": {
            "containers": [_container(names, flags, image, cpus, memory)],
            "volumes": volumes,
            "terminationGracePeriodSeconds": 60,
        },
    }
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    deployment = {"replicas": replicas, "selector": {"matchLabels": labels}, "strategy": rolling, "template": pod}
    ports = [{"name": "grpc", "port": GRPC_PORT}, {"name": "rest", "port": REST_PORT}]
    about = {"name": name, "labels": labels}
    documents = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": dict(files)},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": about, "spec": deployment},
        {"apiVersion": "v1", "kind": "Service", "metadata": about, "spec": {"selector": labels, "ports": ports}},
    ]
    return as_yaml(documents)


def as_yaml(documents: Sequence[Mapping]) -> str:
    """Objects as a file for people and `kubectl apply`."""
    return yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, width=120)


def _container(names: Sequence[str], flags: Sequence[str], image: str, cpus: int, memory: str) -> dict:
    """The server's container.

    The server answers for metadata once a model is loaded and warm. While it codes on all cores it may answer late,
    so a busy pod is neither restarted nor taken out of the service for one late answer.
    """
    # A probe asks for one model; the server opens its ports when all that the configuration names have been loaded.
    ready = {"httpGet": {"path": f"/v1/models/{names[0]}/metadata", "port": "rest"}, "timeoutSeconds": 10}
    return {
        "name": "tensorflow-serving",
        "image": image,
        "command": ["tensorflow_model_server"],
        "args": list(flags),
        "ports": [{"name": "grpc", "containerPort": GRPC_PORT}, {"name": "rest", "containerPort": REST_PORT}],
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
            {"name": "models", "mountPath": MODELS_DIR, "readOnly": True},
        ],
        "resources": {
            "requests": {"cpu": str(cpus), "memory": memory},
            "limits": {"cpu": str(cpus), "memory": memory},
        },
        "startupProbe": ready | {"periodSeconds": 10, "failureThreshold": STARTUP_S // 10},
        "readinessProbe": ready | {"periodSeconds": 10, "failureThreshold": 3},
        "livenessProbe": {
            "tcpSocket": {"port": "grpc"},
            "periodSeconds": 20,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
        },
        "securityContext": {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "runAsUser": 1000},
    }
