"""The Kubeflow file of every recipe: what the open-source backend accepts, from the very DAG that runs here."""

import importlib
import json

import kfp.components
import pytest
import yaml

from models.contract import registry
from pipeline import cli
from pipeline.runners import kubeflow_entry

STEPS = {
    "TfdsExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Trainer", "Baseline", "Evaluator",
    "ServingCheck", "Pusher", "Report",
}  # fmt: skip


# What the other kinds have beside these, with their options as they are.
MORE = {
    "transformed": {"RecordSchema", "Transform"},
    "student": {"Teacher", "TeacherOutputs", "Control", "Comparison"},
    "route": {"Teacher", "Anchors", "Control", "Comparison"},
    "born_again": {*(f"Generation-{k}" for k in range(3)), "Control", "Control-2", "Control-3", "Comparison"},
}


def compiled(tmp_path, *arguments):
    path = tmp_path / "pipeline.yaml"
    assert cli.main(["compile", *arguments, "--out", str(path), "--image", "registry.example/kompakt:1"]) == 0
    return next(yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize("recipe", sorted(registry.recipes()))
def test_every_recipe_compiles_to_what_kubeflow_accepts(tmp_path, recipe):
    spec = compiled(tmp_path, recipe)
    assert spec["schemaVersion"] == "2.1.0"
    assert spec["pipelineInfo"]["name"] == "kompakt-" + recipe.replace("_", "-")
    assert set(spec["root"]["dag"]["tasks"]) == STEPS | MORE.get(registry.get(recipe).shape, set())
    executors = spec["deploymentSpec"]["executors"]
    for name, executor in executors.items():
        assert set(executor) <= {"container", "importer"}, name
        container = executor["container"]
        assert "lifecycle" not in container, name
        assert container["image"] == "registry.example/kompakt:1"
        assert "resources" not in container, name
        assert container["command"] == ["python", "-m", "pipeline.runners.kubeflow_entry"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pipeline.yaml"]


def test_accelerators_go_where_they_pay_and_tuning_adds_its_step(tmp_path):
    spec = compiled(tmp_path, "hyperprior", "--gpus", "2", "--tune", "3", "--set", "channels=8")
    tasks = spec["root"]["dag"]["tasks"]
    assert set(tasks) == STEPS | {"Tuner"}
    assert "Tuner" in tasks["Trainer"]["dependentTasks"]
    executors = spec["deploymentSpec"]["executors"]
    limits = {name: e["container"].get("resources") for name, e in executors.items()}
    wanted = {"accelerator": {"type": "nvidia.com/gpu", "count": "2"}}
    with_gpu = {name.removesuffix("_executor") for name, limit in limits.items() if limit == wanted}
    assert with_gpu == {"Trainer", "Tuner", "Evaluator"}
    assert sum(limit is not None for limit in limits.values()) == 3
    custom = tasks["Trainer"]["inputs"]["parameters"]["custom_config"]["runtimeValue"]["constant"]
    assert json.loads(custom)["config"]["channels"] == 8


def test_recordings_are_transformed_for_training_alone(tmp_path):
    tasks = compiled(tmp_path, "ecg_cnn", "--tune", "2")["root"]["dag"]["tasks"]
    assert set(tasks["Transform"]["dependentTasks"]) == {"TfdsExampleGen", "RecordSchema"}
    sources = {
        name: task["inputs"]["artifacts"]["examples"]["taskOutputArtifact"]["producerTask"]
        for name, task in tasks.items()
        if "examples" in task.get("inputs", {}).get("artifacts", {})
    }
    assert {name for name, source in sources.items() if source == "Transform"} == {"Tuner", "Trainer"}
    assert {"StatisticsGen", "Evaluator", "ServingCheck", "Report"} < set(sources)
    parameters = tasks["Transform"]["inputs"]["parameters"]
    splits = json.loads(parameters["splits_config"]["runtimeValue"]["constant"])
    assert splits == {"analyze": ["train"], "transform": ["train", "validation", "test"]}


def test_the_ensemble_of_generations_is_judged_and_pushed_where_it_is_asked_for(tmp_path):
    tasks = compiled(tmp_path, "born_again", "--set", "push=ensemble", "--set", "generations=2")["root"]["dag"]["tasks"]
    assert {"Generation-1", "Trainer"} < set(tasks["Ensemble"]["dependentTasks"])
    for step in ("Evaluator", "ServingCheck"):
        assert "Ensemble" in tasks[step]["dependentTasks"] and "Trainer" not in tasks[step]["dependentTasks"]


def test_steps_that_read_more_than_their_inputs_are_not_cached(tmp_path):
    tasks = compiled(tmp_path, "factorized")["root"]["dag"]["tasks"]
    cached = {name for name, task in tasks.items() if task.get("cachingOptions", {}).get("enableCache")}
    assert cached == STEPS - {"Baseline", "Pusher"}


def test_a_model_of_the_cluster_is_started_from_anew_by_every_run(tmp_path):
    tasks = compiled(tmp_path, "factorized", "--set", "init=/volume/model")["root"]["dag"]["tasks"]
    assert "cachingOptions" not in tasks["Trainer"] and "cachingOptions" in tasks["TfdsExampleGen"]


def test_every_step_of_ours_has_a_parameter_that_follows_its_code(tmp_path):
    spec = compiled(tmp_path, "factorized")
    for name, task in spec["root"]["dag"]["tasks"].items():
        known = "sources" in task["inputs"].get("parameters", {})
        assert known == (name not in ("StatisticsGen", "SchemaGen", "ExampleValidator")), name
        assert known == ("sources" in spec["components"][name].get("inputDefinitions", {}).get("parameters", {})), name


def test_a_folder_of_the_cluster_is_read_anew_by_every_run(tmp_path):
    tasks = compiled(tmp_path, "factorized", "--data", "/volume/pictures")["root"]["dag"]["tasks"]
    assert "cachingOptions" not in tasks["TfdsExampleGen"]
    parameters = tasks["TfdsExampleGen"]["inputs"]["parameters"]
    assert parameters["folder"]["runtimeValue"]["constant"] == "/volume/pictures"


def test_a_volume_claim_is_mounted_in_every_step(tmp_path):
    executors = compiled(tmp_path, "factorized", "--claim", "models", "--mount", "/m")["deploymentSpec"]["executors"]
    _, platforms = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    mounted = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(mounted) == set(executors)
    assert mounted["Trainer_executor"] == {"pvcMount": [{"constant": "models", "mountPath": "/m"}]}
    loaded = kfp.components.load_component_from_file(str(tmp_path / "pipeline.yaml"))
    assert "kubernetes" in loaded.platform_spec.platforms


def test_addresses_become_paths_and_paths_addresses():
    text = '{"uri": "minio://bucket/a", "other": "gs://b/c", "s3": "s3://d"}'
    assert kubeflow_entry.to_paths(text) == '{"uri": "/minio/bucket/a", "other": "/gcs/b/c", "s3": "/s3/d"}'
    value = {"artifacts": {"model": {"artifacts": [{"uri": "/minio/bucket/a", "name": "/minio/x"}, {"uri": "/gcs/b"}]}}}
    back = kubeflow_entry.to_addresses(value, {"minio://"})
    assert back["artifacts"]["model"]["artifacts"] == [
        {"uri": "minio://bucket/a", "name": "/minio/x"},
        {"uri": "/gcs/b"},
    ]


def test_a_compiled_step_runs_behind_the_container_entry(tmp_path):
    """Baseline as Kubeflow starts it: the file's own arguments, with the invocation in place of its placeholder."""
    spec = compiled(tmp_path, "hyperprior", "--mount", str(tmp_path))
    given = spec["root"]["dag"]["tasks"]["Baseline"]["inputs"]["parameters"]
    model_uri, output_file = tmp_path / "model", tmp_path / "out" / "metadata.json"
    outputs = spec["components"]["Baseline"]["outputDefinitions"]["artifacts"]
    model = {"uri": str(model_uri), "type": outputs["model"]["artifactType"]}
    invocation = {
        "inputs": {"parameterValues": {k: v["runtimeValue"]["constant"] for k, v in given.items()}},
        "outputs": {"artifacts": {"model": {"artifacts": [model]}}, "outputFile": str(output_file)},
    }
    arguments = spec["deploymentSpec"]["executors"]["Baseline_executor"]["container"]["args"]
    kubeflow_entry.main(["kubeflow_entry", *(json.dumps(invocation) if a == "{{$}}" else a for a in arguments)])
    reported = json.loads(output_file.read_text())["artifacts"]["model"]["artifacts"][0]
    assert reported["uri"] == str(model_uri)
    assert model_uri.is_dir() and not list(model_uri.iterdir())


def test_the_reports_type_can_be_imported_by_its_name():
    from components.artifacts import HtmlReport

    package, name = HtmlReport.TYPE_NAME.split(".")
    assert getattr(importlib.import_module(package), name) is HtmlReport


def test_a_tuned_distillation_compares_what_was_trained_with_one_set_of_values(tmp_path):
    options = ("seeds=2", "teacher_settings=depth=14,learning_rate=0.01")
    spec = compiled(tmp_path, "distill", "--tune", "2", *(w for o in options for w in ("--set", o)))
    tasks = spec["root"]["dag"]["tasks"]
    compared = {"Teacher", "Trainer", "Trainer-2", "Control", "Control-2"}
    takes_values = {
        name for name, task in tasks.items() if "hyperparameters" in task.get("inputs", {}).get("artifacts", {})
    }
    assert takes_values == compared
    assert set(tasks) == STEPS | MORE["student"] | {"Trainer-2", "Control-2", "Tuner", "Teacher-Search",
                                                    "TeacherOutputs-Search"}  # fmt: skip
    artifacts = tasks["Tuner"]["inputs"]["artifacts"]
    sources = {name: artifacts[name]["taskOutputArtifact"]["producerTask"] for name in ("examples", "base_model")}
    assert sources == {"examples": "TeacherOutputs-Search", "base_model": "Teacher-Search"}
    custom = tasks["Teacher"]["inputs"]["parameters"]["custom_config"]["runtimeValue"]["constant"]
    assert json.loads(custom)["settled"] == ["depth", "learning_rate"]  # what was asked for in so many words
