"""`kubeflow-local`: what a step sees, as on a cluster. Whole pipelines take minutes: `make kubeflow`."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml

from pipeline import cli
from pipeline.runners import kubeflow_local

pytestmark = pytest.mark.slow

STEP = "tests.pipeline.runners.container_step"


@pytest.fixture(scope="module")
def python():
    """The Python with the KFP SDK, which is installed in the user's cache for the first test that wants it."""
    try:
        given = os.environ.get("KOMPAKT_KFP_PYTHON")
        return kubeflow_local.environment(pathlib.Path(given) if given else None)
    except kubeflow_local.LocalError as error:
        pytest.skip(str(error))  # no package registry can be reached


@pytest.fixture
def mounts():
    """Skips where no process may have mounts of its own."""
    try:
        kubeflow_local.namespace()
    except kubeflow_local.LocalError as error:
        pytest.skip(str(error))


def write(path: pathlib.Path, behaviour: str = "", retries: int = 0) -> pathlib.Path:
    """A file of two steps, the second with the output of the first, as `compile` would write it."""
    schema = {"artifactType": {"instanceSchema": "title: tfx.Model\ntype: object"}}
    kinds = {"behaviour": {"parameterType": "STRING"}, "number": {"parameterType": "NUMBER_INTEGER"}}
    arguments = ["--json_serialized_invocation_args", "{{$}}"]
    tasks, components, executors, platform = {}, {}, {}, {}
    for name in ("First", "Second"):
        values = {"behaviour": {"runtimeValue": {"constant": behaviour if name == "First" else ""}},
                  "number": {"componentInputParameter": "number"}}  # fmt: skip
        task = {"componentRef": {"name": f"comp-{name}"}, "taskInfo": {"name": name}, "inputs": {"parameters": values}}
        definitions = {"parameters": kinds}
        if name == "Second":
            definitions["artifacts"] = {"model": schema}
            source = {"taskOutputArtifact": {"producerTask": "First", "outputArtifactKey": "made"}}
            task["inputs"]["artifacts"] = {"model": source}
            task["dependentTasks"] = ["First"]
        tasks[name] = task | ({"retryPolicy": {"maxRetryCount": retries}} if retries else {})
        components[f"comp-{name}"] = {
            "executorLabel": f"{name}_executor", "inputDefinitions": definitions,
            "outputDefinitions": {"artifacts": {"made": schema}},
        }  # fmt: skip
        container = {"image": "kompakt", "command": ["python", "-m", STEP], "args": arguments}
        executors[f"{name}_executor"] = {"container": container}
        platform[f"{name}_executor"] = {"pvcMount": [{"constant": "volume", "mountPath": "/mnt/volume"}]}
    number = {"parameterType": "NUMBER_INTEGER", "defaultValue": 3, "isOptional": True}
    spec = {
        "pipelineInfo": {"name": "two-steps"}, "schemaVersion": "2.1.0", "sdkVersion": "tfx-1.16.0",
        "defaultPipelineRoot": "minio://bucket/two", "components": components,
        "deploymentSpec": {"executors": executors},
        "root": {"dag": {"tasks": tasks}, "inputDefinitions": {"parameters": {"number": number}}},
    }  # fmt: skip
    platforms = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": platform}}}}
    path.write_text(yaml.safe_dump_all([spec, platforms]))
    return path


def metadata(results: dict, step: str) -> dict:
    (artifact,) = results[step]["artifacts"]["made"]["artifacts"]
    assert artifact["uri"].startswith("minio://bucket/two/")
    return artifact["metadata"]


def test_a_step_sees_what_it_would_on_a_cluster(tmp_path, python, mounts, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")  # decides how numbers are computed
    monkeypatch.setenv("KOMPAKT_CACHE_OF_MINE", "here")
    out = tmp_path / "out"
    claim = tmp_path / "claim"
    results = kubeflow_local.run(write(tmp_path / "a.yaml"), out, python, {"volume": claim}, {"number": 5})
    first, second = (metadata(results, step) for step in ("First", "Second"))
    # The code stays visible beside the volume; nothing else of this machine is, and of other steps the inputs alone.
    for said in (first, second):
        assert said["folder"] == "/opt/kompakt" and said["code"] and said["number"] == 5
        assert {"/minio", "/mnt/volume", "/opt/kompakt"} <= set(said["there"])
        assert not [name for name in said["files_before"] if "kfp" in name]
        assert {"OPENBLAS_CORETYPE", "HOME"} < set(said["variables"])
        assert not [name for name in said["variables"] if name.startswith("KOMPAKT_")]
    assert first["seen"] == {}
    # Inputs have no type, an empty folder does not arrive, lists of metadata are wrapped.
    seen = second["seen"]["model"]
    assert seen["type"] == {"instanceSchema": ""} and seen["files"] == ["full", "full/file"]
    assert seen["metadata"]["list"] == {"list": [1, 2]} and seen["metadata"]["seen"] == {"struct": {}}
    assert (claim / "count").read_text() == "2" and not (out / "claims").exists()
    assert not (out / "pods").exists()


def test_a_step_that_fails_is_tried_again_as_often_as_the_file_says(tmp_path, python, mounts):
    file = write(tmp_path / "a.yaml", "fail once", retries=1)
    results = kubeflow_local.run(file, tmp_path / "out", python, {}, {})
    assert metadata(results, "First")["number"] == 3
    assert (tmp_path / "out" / "claims" / "volume" / "count").read_text() == "3"


def test_a_failure_and_refused_metadata_are_told_in_one_line(tmp_path, python, mounts):
    with pytest.raises(kubeflow_local.LocalError, match="First: the step failed as it was asked to") as caught:
        kubeflow_local.run(write(tmp_path / "a.yaml", "fail", retries=1), tmp_path / "out", python, {}, {})
    assert caught.value.status == 1 and (tmp_path / "out" / "claims" / "volume" / "count").read_text() == "2"
    with pytest.raises(kubeflow_local.LocalError):
        kubeflow_local.run(write(tmp_path / "a.yaml", "null"), tmp_path / "out", python, {}, {})
    assert "the launcher refuses null" in (tmp_path / "out" / "run.log").read_text()


def test_the_newest_sdk_reads_the_file_of_every_recipe(tmp_path, python):
    from models.contract import registry

    files = []
    for recipe in sorted(registry.recipes()):
        files.append(str(tmp_path / f"{recipe}.yaml"))
        assert cli.main(["compile", recipe, "--claim", "c", "--gpus", "1", "--gpu-image", "g", "--out", files[-1]]) == 0
    code = """import json, sys
from kfp import components
from google.protobuf import json_format
for path in sys.argv[1:]:
    loaded = components.load_component_from_file(path)
    spec = json_format.MessageToDict(loaded.pipeline_spec)
    print(json.dumps([len(spec["root"]["dag"]["tasks"]), len(loaded.platform_spec.platforms["kubernetes"]
        .deployment_spec.executors), sorted(spec["root"]["inputDefinitions"]["parameters"])]))
"""
    clean = {"PATH": os.environ["PATH"]}
    read = subprocess.run([python, "-c", code, *files], capture_output=True, text=True, env=clean)
    assert read.returncode == 0, read.stderr
    lines = [json.loads(line) for line in read.stdout.splitlines()]
    assert len(lines) == len(files)
    assert all(steps == mounted and steps >= 10 and told == ["output", "steps"] for steps, mounted, told in lines)


def test_an_environment_whose_python_has_gone_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("KOMPAKT_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # so that the installation, which has its own tests above, ends here
    with pytest.raises(kubeflow_local.LocalError, match="the KFP SDK cannot be installed"):
        kubeflow_local.environment()
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    (folder / "complete").touch()
    (folder / "bin" / "python").unlink()
    (folder / "bin" / "python").symlink_to(tmp_path / "gone")
    with pytest.raises(kubeflow_local.LocalError, match="the KFP SDK cannot be installed"):
        kubeflow_local.environment()
    assert (folder / "bin" / "python").exists() and not (folder / "complete").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "is no file that `compile` writes"),
        (["--claim", "other=/x"], "the file mounts volume"),
        (["--claim", "volume"], "wanted is NAME=VALUE"),
        (["--kfp-python", "/nowhere/python"], "/nowhere/python: is no Python that has kfp"),
        (["--kfp-python", sys.executable], "is no Python that has kfp"),
        (["--parameter", "steps=3"], "the file has number"),
        (["--parameter", "number=three"], "wanted is a whole number"),
    ],
)
def test_what_cannot_be_run_is_told(tmp_path, capsys, arguments, said):
    file = write(tmp_path / "a.yaml")
    if not arguments:
        file.write_text("steps: none")
    assert cli.main(["kubeflow-local", str(file), "--out", str(tmp_path / "out"), *arguments]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()
