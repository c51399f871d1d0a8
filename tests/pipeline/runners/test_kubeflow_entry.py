"""The entry of the containers: what TFX would not take from the open-source backend, nor that from TFX."""

import json

import pytest
import yaml

from components import artifacts
from components.serving import configuration
from pipeline import cli
from pipeline.runners import kubeflow_entry

UNTYPED = {"instanceSchema": ""}  # the backend's, for every input


def step(tmp_path, name: str, *arguments: str) -> tuple[dict, list[str]]:
    """A compiled step's constants, and its container's arguments."""
    path = tmp_path / "pipeline.yaml"
    assert cli.main(["compile", "small_cnn", *arguments, "--out", str(path)]) == 0
    spec = next(yaml.safe_load_all(path.read_text()))
    given = spec["root"]["dag"]["tasks"][name]["inputs"]["parameters"]
    constants = {k: v["runtimeValue"]["constant"] for k, v in given.items() if "runtimeValue" in v}
    return constants, spec["deploymentSpec"]["executors"][f"{name}_executor"]["container"]["args"]


def run(arguments: list[str], invocation: dict) -> dict:
    """Runs a step as the launcher does; gives its report."""
    kubeflow_entry.main(["kubeflow_entry", *(json.dumps(invocation) if a == "{{$}}" else a for a in arguments)])
    with open(invocation["outputs"]["outputFile"]) as file:
        return json.load(file)


def push(folder, version: int, run: str) -> str:
    """Something that counts as a pushed model; its path."""
    place = folder / str(version)
    place.mkdir(parents=True)
    (place / "saved_model.pb").write_bytes(b"")
    metrics = ["accuracy", "top5_accuracy", "cross_entropy", "calibration_error"]
    origin = {"run": run, "recipe": "small_cnn", "metrics": metrics, "comparable": {}}
    artifacts.write_origin(str(place), origin)
    return str(place)


@pytest.mark.parametrize("run_of_candidate", ["first", "second"])
def test_a_step_with_an_untyped_input_runs(tmp_path, run_of_candidate):
    """Baseline as the backend starts it: it compares with the last model, but not with one of the same run."""
    constants, arguments = step(tmp_path, "Baseline")
    pushed = push(tmp_path / "serving", 5, "first")
    push(tmp_path / "candidate", 1, run_of_candidate)
    (tmp_path / "candidate" / "1").rename(tmp_path / "candidate" / "Format-Serving")
    candidate = {"uri": str(tmp_path / "candidate"), "type": UNTYPED, "name": "7", "metadata": {"list": {"list": [1]}}}
    output = {"uri": str(tmp_path / "model"), "type": {"instanceSchema": "title: tfx.Model"}}
    report = run(arguments, {
        "inputs": {
            "parameterValues": constants | {"push_dir": str(tmp_path / "serving")},
            "artifacts": {"candidate": {"artifacts": [candidate]}},
        },
        "outputs": {"artifacts": {"model": {"artifacts": [output]}}, "outputFile": str(tmp_path / "out" / "o.json")},
    })  # fmt: skip
    (reported,) = report["artifacts"]["model"]["artifacts"]
    assert reported["uri"] == str(tmp_path / "model")
    found = pushed if run_of_candidate == "second" else ""
    assert reported["metadata"]["pushed_path"] == found
    assert (tmp_path / "model" / "Format-Serving" / "saved_model.pb").exists() == bool(found)


def test_the_push_writes_what_a_server_reads_as_it_does_here(tmp_path):
    """The serving folder is told when the run is started; the configuration lies beside it, on the volume."""
    constants, arguments = step(tmp_path, "Pusher")
    blessing = {"uri": str(tmp_path / "blessing"), "type": UNTYPED, "name": "1", "metadata": {"blessed": 1}}
    infra = {"uri": str(tmp_path / "infra"), "type": UNTYPED, "name": "2", "metadata": {
        "blessed": 1, "has_model": 1, "blessing_status": "INFRA_BLESSED"}}  # fmt: skip
    made = tmp_path / "infra" / "stamped_model"
    push(tmp_path / "infra", 1, "first")
    (tmp_path / "infra" / "1").rename(made)
    (made / "assets.extra" / "kompakt.json").write_text(json.dumps({"recipe": "small_cnn"}))
    serving = tmp_path / "volume" / "serving" / "pictures"
    told = {kubeflow_entry.into("push_destination", "filesystem", "base_directory"): str(serving)}
    output = {"uri": str(tmp_path / "pushed"), "type": {"instanceSchema": "title: tfx.PushedModel"}}
    report = run(arguments, {
        "inputs": {
            "parameterValues": constants | told,
            "artifacts": {"model_blessing": {"artifacts": [blessing]}, "infra_blessing": {"artifacts": [infra]}},
        },
        "outputs": {"artifacts": {"pushed_model": {"artifacts": [output]}},
                    "outputFile": str(tmp_path / "out" / "o.json")},
    })  # fmt: skip
    (reported,) = report["artifacts"]["pushed_model"]["artifacts"]
    version = int(reported["metadata"]["pushed_version"])
    beside = serving.with_name("pictures.config")
    stage = configuration.Stage((version,), {"canary": version, "stable": version})
    assert configuration.read(beside / "models.config") == {"pictures": stage}
    assert "num_batch_threads" in (beside / "batching.config").read_text(), "a classifier of pictures is batched"


def test_the_data_of_a_cluster_are_digested_there(tmp_path):
    from tests.pipeline.runners.tiny_runs import class_folders

    constants, arguments = step(tmp_path, "DataDigest", "--data", "/volume/pictures")
    digests = []
    for count in (12, 12, 14):
        class_folders(tmp_path / "pictures", count)
        output = {"uri": str(tmp_path / "value"), "type": {"instanceSchema": "title: tfx.String"}}
        report = run(arguments, {
            "inputs": {"parameterValues": constants | {"folder": str(tmp_path / "pictures")}},
            "outputs": {"artifacts": {"digest": {"artifacts": [output]}},
                        "parameters": {"digest": {"outputFile": str(tmp_path / "digest")}},
                        "outputFile": str(tmp_path / "out" / "o.json")},
        })  # fmt: skip
        digests.append(report["parameterValues"]["digest"])
    assert digests[0] == digests[1] != digests[2]


def test_addresses_of_artifacts_become_paths_and_no_others():
    artifact = {"uri": "minio://bucket/a", "type": UNTYPED}
    invocation = {
        "inputs": {"artifacts": {"x": {"artifacts": [artifact]}}, "parameterValues": {"folder": "gs://mine/data"}},
        "outputs": {"artifacts": {"y": {"artifacts": [{"uri": "s3://b/c"}]}}, "outputFile": "/tmp/o.json"},
    }
    declared = {"artifacts": {"x": {"artifactType": {"instanceSchema": "title: tfx.Model"}}}}
    found, known = kubeflow_entry.prepared(invocation, declared)
    assert known == {"minio://", "s3://"}
    (x,), (y,) = (found[side]["artifacts"][name]["artifacts"] for side, name in (("inputs", "x"), ("outputs", "y")))
    assert x == {"uri": "/minio/bucket/a", "type": {"instanceSchema": "title: tfx.Model"}, "metadata": {}}
    assert y["uri"] == "/s3/b/c"
    assert found["inputs"]["parameterValues"] == {"folder": "gs://mine/data"}


def test_options_of_beam_keep_their_addresses(tmp_path, monkeypatch):
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as runner

    seen = []
    monkeypatch.setattr(runner, "main", seen.append)
    option = "--temp_location=gs://mine/tmp"
    _, arguments = step(tmp_path, "TfdsExampleGen", f"--beam-arg={option}")
    assert option in arguments
    output = {"artifacts": {"examples": {"artifacts": [{"uri": "gs://bucket/key"}]}}, "outputFile": str(tmp_path / "o")}
    invocation = json.dumps({"inputs": {}, "outputs": output})
    kubeflow_entry.main(["kubeflow_entry", *(invocation if a == "{{$}}" else a for a in arguments)])
    parsed, beam = seen[0]
    assert option in beam
    assert "/gcs/bucket/key" in parsed.json_serialized_invocation_args


def test_metadata_are_unwrapped_and_reported_without_null():
    metadata = {"a": {"list": [1, 2]}, "b": {"struct": {"c": 1}}, "d": "text", "e": {"list": 1, "f": 2}, "g": None}
    given = {"inputs": {"artifacts": {"x": {"artifacts": [{"uri": "x", "type": UNTYPED, "metadata": metadata}]}}}}
    found, _ = kubeflow_entry.prepared(given, {})
    (artifact,) = found["inputs"]["artifacts"]["x"]["artifacts"]
    assert artifact["metadata"] == {"a": [1, 2], "b": {"c": 1}, "d": "text", "e": {"list": 1, "f": 2}}
    report = {
        "artifacts": {"x": {"artifacts": [{"uri": "/gcs/b", "name": "/minio/x", "metadata": {"a": None, "b": 1}}]}}
    }
    (artifact,) = kubeflow_entry.reported(report, {"gs://"})["artifacts"]["x"]["artifacts"]
    assert artifact == {"uri": "gs://b", "name": "/minio/x", "metadata": {"b": 1}}


def test_values_that_are_told_at_the_start_are_put_where_they_belong():
    values = {
        "custom_config": json.dumps({"config": {"steps": 300, "depth": 8}, "data": ""}), "other": 1.5,
        "into--custom_config--config--steps": 40.0, "into--custom_config--data": "digest",
        "step--gpus": 0, "step--run": "uuid",
    }  # fmt: skip
    filled = kubeflow_entry.filled(values)
    assert filled.keys() == {"custom_config", "other"}
    assert json.loads(filled["custom_config"]) == {"config": {"steps": 40, "depth": 8}, "data": "digest"}
    assert isinstance(json.loads(filled["custom_config"])["config"]["steps"], int)


def test_accelerators_that_the_image_cannot_use_are_told(tmp_path):
    invocation = {"inputs": {"parameterValues": {"step--gpus": 64}}, "outputs": {"outputFile": str(tmp_path / "o")}}
    with pytest.raises(kubeflow_entry.EntryError, match="64 GPUs and TensorFlow sees .*--gpu-image"):
        kubeflow_entry.main(["entry", "--json_serialized_invocation_args", json.dumps(invocation)])
