"""Entry point of the pipeline's containers on Kubeflow: gives TFX what it expects, and Kubeflow what that takes.

- Kubeflow's launcher copies artifacts between an object store and local folders: `minio://bucket/key` lies at
  `/minio/bucket/key`, `s3://` at `/s3/`, `gs://` at `/gcs/`. TFX would open the address itself, and TensorFlow has no
  such file systems. So addresses of artifacts become paths, and paths addresses again in what the step reports; other
  addresses, of Beam's options say, stay.
- It gives input artifacts no type; that stands in the step's own declaration of its inputs.
- It keeps lists and structures of their metadata under "list" and "struct", and refuses null.
- Parameters that are told when a run is started, and belong inside of others (JSON), are put in there.
"""

import json
import pathlib
import sys
from collections.abc import Iterable
from typing import Any

from models.contract.errors import KompaktError

MOUNTS = {"minio://": "/minio/", "s3://": "/s3/", "gs://": "/gcs/"}
GPUS = "step--gpus"  # parameter: how many accelerators the step was given
RUN = "step--run"  # parameter: which run it is, for the cache alone
_INTO = "into--"
_INVOCATION, _INPUTS = "--json_serialized_invocation_args", "--json_serialized_inputs_spec_args"


class EntryError(KompaktError, RuntimeError):
    """A step cannot begin; the message says why."""


def into(parameter: str, *path: str) -> str:
    """Name of the parameter whose value belongs inside of another one, JSON text, at a path of names."""
    return _INTO + "--".join((parameter, *path))


def prepared(invocation: dict[str, Any], declared: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """What TFX takes for an invocation of Kubeflow's, and the schemes of its addresses; `declared` are the inputs."""
    inputs = invocation.setdefault("inputs", {})
    types = {name: known["artifactType"] for name, known in declared.get("artifacts", {}).items()}
    for name, artifact in _artifacts(inputs):
        if not any(artifact.get("type", {}).values()) and name in types:
            artifact["type"] = types[name]
        artifact["metadata"] = {k: _unwrapped(v) for k, v in artifact.get("metadata", {}).items() if v is not None}
    inputs["parameterValues"] = filled(inputs.get("parameterValues", {}))
    known = set()
    for _, artifact in (*_artifacts(inputs), *_artifacts(invocation.get("outputs", {}))):
        for address, path in MOUNTS.items():
            if artifact.get("uri", "").startswith(address):
                artifact["uri"] = path + artifact["uri"].removeprefix(address)
                known.add(address)
    return invocation, known


def filled(values: dict[str, Any]) -> dict[str, Any]:
    """Parameters with those put inside of others that belong there (see `into`), without those of the step itself."""
    own = {name: value for name, value in values.items() if not name.startswith((_INTO, GPUS, RUN))}
    for name, value in values.items():
        if name.startswith(_INTO):
            parameter, *path, last = name.removeprefix(_INTO).split("--")
            known = json.loads(own[parameter])
            place = known
            for key in path:
                place = place[key]
            # JSON of Kubeflow's has one kind of numbers, and may write 300 as 300.0.
            place[last] = int(value) if isinstance(place[last], int) else value
            own[parameter] = json.dumps(known, sort_keys=True)
    return own


def reported(value: Any, known: set[str]) -> Any:
    """What Kubeflow takes of a report of TFX's: addresses for paths in every `uri`, for known schemes; no null."""
    if isinstance(value, list):
        return [reported(v, known) for v in value]
    if not isinstance(value, dict):
        return value
    value = {k: reported(v, known) for k, v in value.items() if v is not None}
    for address in known:
        path = MOUNTS[address]
        if isinstance(value.get("uri"), str) and value["uri"].startswith(path):
            value["uri"] = address + value["uri"].removeprefix(path)
    return value


def main(arguments: list[str]) -> None:
    """Runs one component as Kubeflow asks.

    Raises:
      EntryError: the step was given accelerators that TensorFlow does not see.
    """
    arguments = list(arguments)
    invocation = json.loads(_following(arguments, _INVOCATION))
    declared = json.loads(_following(arguments, _INPUTS) or "{}")
    gpus = int(invocation.get("inputs", {}).get("parameterValues", {}).get(GPUS, 0))
    if gpus:
        _must_see(gpus)
    invocation, known = prepared(invocation, declared)
    arguments[arguments.index(_INVOCATION) + 1] = json.dumps(invocation)
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as runner

    runner.main(runner._parse_flags(arguments))
    written = pathlib.Path(invocation["outputs"]["outputFile"])
    if written.exists():
        written.write_text(json.dumps(reported(json.loads(written.read_text()), known)))


def _following(arguments: list[str], flag: str) -> str:
    """The argument behind a flag, "" without the flag."""
    return arguments[arguments.index(flag) + 1] if flag in arguments else ""


def _artifacts(of: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Name and artifact, of inputs or outputs."""
    return [(name, a) for name, found in of.get("artifacts", {}).items() for a in found.get("artifacts", ())]


def _unwrapped(value: Any) -> Any:
    """A value of metadata as it was reported."""
    is_wrapped = isinstance(value, dict) and len(value) == 1 and value.keys() <= {"list", "struct"}
    return next(iter(value.values())) if is_wrapped else value


def _must_see(gpus: int) -> None:
    import tensorflow as tf

    if (seen := len(tf.config.list_physical_devices("GPU"))) < gpus:
        raise EntryError(f"the step was given {gpus} GPUs and TensorFlow sees {seen}: its image must be one with CUDA "
                         "(docker build --build-arg ACCELERATOR=gpu, compile --gpu-image)")  # fmt: skip


if __name__ == "__main__":
    try:
        main(sys.argv)
    except KompaktError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(getattr(error, "status", 1))
