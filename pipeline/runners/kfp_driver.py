"""Runs a compiled file on the KFP SDK's own local runner; a program for the SDK's environment (`kubeflow_local`).

What Kubeflow's launcher does and the local runner leaves out is added, step by step (`Pod`): artifacts lie in a bucket,
which holds files only, and each step has a fresh folder with what it was given; volume claims are mounted where the
file says, and nothing else is there but the image's code; input artifacts have no type; lists and structures of
metadata are wrapped, and null is refused; a step that failed is tried again as its policy says.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from typing import Any

import yaml
from kfp import components, local
from kfp.local import status, subprocess_task_handler

_FLAG = "--json_serialized_invocation_args"
_REPORT = "/tmp/kfp_outputs/output_metadata.json"  # where the launcher has steps report
_MOUNTS = {"minio": "/minio", "s3": "/s3", "gs": "/gcs"}


class Bucket:
    """Object stores as folders: `minio://b/k` is FOLDER/minio/b/k."""

    def __init__(self, folder: str):
        self.folder = pathlib.Path(folder)

    def path(self, address: str) -> pathlib.Path:
        """Where something lies here."""
        scheme, _, key = address.partition("://")
        return self.folder / scheme / key

    def address(self, path: str) -> str:
        """The address of a path of the bucket; an address stays."""
        if "://" in path:
            return path
        scheme, *key = pathlib.Path(path).relative_to(self.folder).parts
        return f"{scheme}://{'/'.join(key)}"


class Pod(subprocess_task_handler.SubprocessTaskHandler):
    """One step. The base class stands for the SDK's own kind of components and is not asked."""

    told: dict[str, Any] = {}  # of `main`
    spec: dict[str, Any] = {}
    platform: dict[str, Any] = {}
    results: dict[str, Any] = {}

    def __init__(self, image: str, full_command: list[str], pipeline_root: str, runner):
        self.command = list(full_command)
        self.bucket = Bucket(self.told["bucket"])

    def run(self) -> status.Status:
        """Runs the step, again if it fails, as often as its policy says."""
        place = self.command.index(_FLAG) + 1
        given = json.loads(self.command[place])
        task_root = pathlib.Path(given["outputs"]["outputFile"]).parent
        name = task_root.name
        tries = 1 + self.spec["root"]["dag"]["tasks"][name].get("retryPolicy", {}).get("maxRetryCount", 0)
        for attempt in range(1, tries + 1):
            begin = time.time()
            pod = pathlib.Path(self.told["work"]) / f"{name}-{attempt}"
            shutil.rmtree(pod, ignore_errors=True)
            invocation = self._invocation(given, pod)
            command = [*self.command[:place], json.dumps(invocation), *self.command[place + 1 :]]
            done = self._start(name, command, pod)
            print(f"{time.strftime('%H:%M:%S')} {name} {time.time() - begin:.1f} s"
                  + ("" if done else f" failed (attempt {attempt} of {tries}; see logs/{name}.log)"),
                  file=sys.stderr, flush=True)  # fmt: skip
            if done:
                report = self._collect(name, invocation, pod)
                task_root.mkdir(parents=True, exist_ok=True)
                (task_root / "executor_output.json").write_text(json.dumps(report))
                shutil.rmtree(pod)
                return status.Status.SUCCESS
        return status.Status.FAILURE

    def _invocation(self, given: dict, pod: pathlib.Path) -> dict:
        """What the launcher hands to a step; its inputs are copied into the pod's folder."""
        given = json.loads(json.dumps(given))
        for number, artifact in enumerate(_artifacts(given["inputs"])):
            artifact["uri"] = self.bucket.address(artifact["uri"])
            _copy_files(self.bucket.path(artifact["uri"]), self._local(artifact["uri"], pod))
            artifact["type"] = {"instanceSchema": ""}
            artifact["name"] = str(number + 1)
            artifact["metadata"] = {k: _wrapped(v) for k, v in artifact.get("metadata", {}).items()}
        for artifact in _artifacts(given["outputs"]):
            artifact["uri"] = self.bucket.address(artifact["uri"])
            self._local(artifact["uri"], pod).parent.mkdir(parents=True, exist_ok=True)
        given["outputs"]["outputFile"] = _REPORT
        for name, parameter in given["outputs"].get("parameters", {}).items():
            parameter["outputFile"] = f"/tmp/kfp/outputs/{name}"
        return given

    def _local(self, address: str, pod: pathlib.Path) -> pathlib.Path:
        """Where the pod's folder has what the step sees at the launcher's path of an address."""
        scheme, _, key = address.partition("://")
        return pod / f"{_MOUNTS[scheme][1:]}/{key}"

    def _start(self, name: str, command: list[str], pod: pathlib.Path) -> bool:
        """Runs the command in a root of its own; returns whether it came through."""
        for folder in ("root", "tmp", *(path[1:] for path in _MOUNTS.values())):
            (pod / folder).mkdir(parents=True, exist_ok=True)
        mounts = [[str(pod / path[1:]), path] for path in ("/tmp", *_MOUNTS.values())]
        mounts += [[path, path] for path in self.told["python_folders"]]
        mounts += [[self.told["code"], self.told["image_code"]]]
        label = self.spec["components"][f"comp-{name}"]["executorLabel"]
        for mount in self.platform.get(label, {}).get("pvcMount", ()):
            mounts.append([self.told["claims"][mount["constant"]], mount["mountPath"]])
        python = self.told["python"]
        command = [python if word == "python" else word for word in command]
        told = {"root": str(pod / "root"), "mounts": mounts, "folder": self.told["image_code"], "command": command,
                "environment": self.told["environment"] | {"KFP_POD_NAME": name}}  # fmt: skip
        with open(pathlib.Path(self.told["logs"]) / f"{name}.log", "a", encoding="utf-8") as log:
            started = [*self.told["unshare"], python, "-I", self.told["pod"], json.dumps(told)]
            return subprocess.run(started, stdout=log, stderr=subprocess.STDOUT, env={"PATH": os.environ["PATH"]}
                                  ).returncode == 0  # fmt: skip

    def _collect(self, name: str, invocation: dict, pod: pathlib.Path) -> dict:
        """Takes a step's files into the bucket, and what it reported as the launcher would.

        Raises:
          ValueError: metadata that the launcher refuses.
        """
        path = pod / _REPORT[1:]
        report = json.loads(path.read_text()) if path.exists() else {}
        for key, found in report.get("artifacts", {}).items():
            for artifact in found["artifacts"]:
                if nulls := [k for k, v in artifact.get("metadata", {}).items() if v is None]:
                    raise ValueError(f"{name}: the launcher refuses null, which is metadata {nulls} of {key}")
        for artifact in _artifacts(invocation["outputs"]):
            _copy_files(self._local(artifact["uri"], pod), self.bucket.path(artifact["uri"]))
        self.results[name] = report
        # The local runner keeps one value under a name, and would keep the artifact that a parameter is read from.
        known = report.get("artifacts", {}).items()
        return report | {"artifacts": {k: v for k, v in known if k not in report.get("parameterValues", {})}}


def _artifacts(of: dict) -> list[dict]:
    return [artifact for found in of.get("artifacts", {}).values() for artifact in found["artifacts"]]


def _wrapped(value: Any) -> Any:
    """A value of metadata as it comes back from the metadata store."""
    if isinstance(value, list):
        return {"list": value}
    return {"struct": value} if isinstance(value, dict) else value


def _copy_files(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies files alone: an object store has no folders, so an empty one does not arrive."""
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    for file in files:
        place = target / file.relative_to(source) if file != source else target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)


def read(path: str) -> tuple[dict, dict]:
    """The two documents of a compiled file: the pipeline, and of Kubernetes' part the executors."""
    with open(path, encoding="utf-8") as file:
        spec, *more = yaml.safe_load_all(file)
    platforms = more[0]["platforms"] if more else {}
    return spec, platforms.get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})


def main(told: dict[str, Any]) -> None:
    """Runs the file; writes what the steps reported to "results"."""
    Pod.told = told
    Pod.spec, Pod.platform = read(told["file"])
    subprocess_task_handler.SubprocessTaskHandler = Pod
    root = Bucket(told["bucket"]).path(Pod.spec["defaultPipelineRoot"])
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(root), workspace_root=told["work"])
    pipeline = components.load_component_from_file(told["file"])
    pipeline(**told["parameters"])
    pathlib.Path(told["results"]).write_text(json.dumps(Pod.results, indent=1))


if __name__ == "__main__":
    main(json.loads(pathlib.Path(sys.argv[1]).read_text()))
