"""The Kubeflow file of every recipe: what the open-source backend accepts, from the very DAG that runs here."""

import importlib
import json

import kfp.components
import pytest
import yaml

from models.contract import registry
from pipeline import cli
from pipeline.runners import kubeflow_entry
from tests.pipeline.runners.tiny_runs import class_folders

STEPS = {
    "TfdsExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Trainer", "Baseline", "Evaluator",
    "ServingCheck", "Pusher", "Report",
}  # fmt: skip


# What the other kinds have beside these, with their options as they are.
MORE = {
    "transformed": {"RecordSchema", "Transform"},
    "student": {"Teacher", "TeacherOutputs", "Control", "Comparison"},
    "compressed": {"Original"},
    "aligned": {"Original"},
    "joint": {"GivenCodec", "Codes", "Original"},
    "joint_scenes": {"GivenCodec", "Codes", "Original"},
    "face_student": {"Teacher", "TeacherEmbeddings"},
    "codes": {"GivenCodec", "Codes"},
    "code_student": {"GivenCodec", "Codes", "Teacher", "TeacherOutputs"},
    "scenes": {"GivenCodec", "Codes"},
    "route": {"Teacher", "Anchors", "Control", "Comparison"},
    "born_again": {*(f"Generation-{k}" for k in range(3)), "Control", "Control-2", "Control-3", "Comparison"},
}


def constant(task: dict, parameter: str):
    """The value that a step's parameter has in the file."""
    return task["inputs"]["parameters"][parameter]["runtimeValue"]["constant"]


def with_gpus(spec: dict) -> set[str]:
    """The steps that ask for two accelerators, and so have the image for them and check that they are there."""
    found, executors = set(), spec["deploymentSpec"]["executors"]
    for name, task in spec["root"]["dag"]["tasks"].items():
        container = executors[f"{name}_executor"]["container"]
        asked = container["resources"].get("accelerator") == {"type": "nvidia.com/gpu", "count": "2"}
        assert asked == container["image"].endswith("-gpu") == (kubeflow_entry.GPUS in task["inputs"]["parameters"])
        found |= {name} if asked else set()
    return found


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
        assert container["resources"]["memoryRequest"] > 0 < container["resources"]["cpuRequest"], name
        assert "accelerator" not in container["resources"], name
        assert container["command"] == ["python", "-m", "pipeline.runners.kubeflow_entry"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pipeline.yaml"]
    loaded = kfp.components.load_component_from_file(str(tmp_path / "pipeline.yaml"))
    assert loaded.pipeline_spec.default_pipeline_root == f"minio://mlpipeline/kompakt/{recipe}"
    # The SDK's local runner cuts "comp-" off without looking.
    assert all(name.startswith("comp-") for name in loaded.pipeline_spec.components)


GPU = ("--gpus", "2", "--gpu-image", "registry.example/kompakt:1-gpu")


def test_accelerators_go_where_they_pay_and_tuning_adds_its_step(tmp_path):
    spec = compiled(tmp_path, "hyperprior", *GPU, "--tune", "3", "--set", "channels=8")
    tasks = spec["root"]["dag"]["tasks"]
    assert set(tasks) == STEPS | {"Tuner"}
    assert "Tuner" in tasks["Trainer"]["dependentTasks"]
    assert with_gpus(spec) == {"Trainer", "Tuner", "Evaluator", "Report"}
    assert json.loads(constant(tasks["Trainer"], "custom_config"))["config"]["channels"] == 8


def test_accelerators_are_asked_for_wherever_networks_run(tmp_path):
    spec = compiled(tmp_path, "distill", *GPU)
    trained = {"Teacher", "TeacherOutputs", "Trainer", "Control"}
    assert with_gpus(spec) == trained | {"Comparison", "Evaluator", "Report"}
    spec = compiled(tmp_path, "born_again", *GPU, "--set", "push=ensemble", "--set", "generations=2")
    assert {"Generation-0", "Generation-1", "Ensemble", "Control-2"} < with_gpus(spec)


def test_accelerators_without_an_image_for_them_are_refused(tmp_path, capsys):
    assert cli.main(["compile", "factorized", "--gpus", "1", "--out", str(tmp_path / "a.yaml")]) == 2
    assert "--gpu-image" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_requests_limits_nodes_and_retries_are_in_the_file(tmp_path):
    asked = ("--cpus", "3", "--memory", "6", "--cpu-limit", "4", "--memory-limit", "8.5", "--retries", "5")
    nodes = ("--node-selector", "zone=a", "--toleration", "gpu=yes:NoSchedule", "--toleration", "spot:NoExecute")
    spec = compiled(tmp_path, "factorized", *asked, *nodes)
    executors = spec["deploymentSpec"]["executors"]
    wanted = {"cpuRequest": 3.0, "memoryRequest": 6.0, "cpuLimit": 4.0, "memoryLimit": 8.5}
    assert executors["Trainer_executor"]["container"]["resources"] == wanted
    assert executors["SchemaGen_executor"]["container"]["resources"] == {"cpuRequest": 1.0, "memoryRequest": 2.0}
    assert {task["retryPolicy"]["maxRetryCount"] for task in spec["root"]["dag"]["tasks"].values()} == {5}
    _, platforms = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    placed = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(placed) == {"Trainer_executor", "Evaluator_executor", "Report_executor"}
    assert placed["Trainer_executor"] == {
        "nodeSelector": {"labels": {"zone": "a"}},
        "tolerations": [
            {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
            {"key": "spot", "operator": "Exists", "effect": "NoExecute"},
        ],
    }
    assert "retryPolicy" not in compiled(tmp_path, "factorized", "--retries", "0")["root"]["dag"]["tasks"]["Trainer"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--mount", "/opt/kompakt"), ("--mount", "/opt"), ("--mount", "/"), ("--mount", "/opt/kompakt/models"),
        ("--mount", "/tmp"), ("--mount", "/minio/bucket"), ("--mount", "kompakt"), ("--mount", "/a/../opt"),
        ("--root", "/somewhere"), ("--root", "http://bucket"), ("--node-selector", "zone"), ("--toleration", "gpu"),
        ("--toleration", "gpu:Never"), ("--memory-limit", "1"), ("--cpu-limit", "1"),
    ],
)  # fmt: skip
def test_what_no_cluster_would_start_is_refused(tmp_path, capsys, option, value):
    assert cli.main(["compile", "factorized", option, value, "--out", str(tmp_path / "a.yaml")]) == 2
    assert option in capsys.readouterr().err and not list(tmp_path.iterdir())


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
    for name in ("Baseline", "Pusher"):  # even where a client turns the cache on for all steps
        assert constant(tasks[name], kubeflow_entry.RUN) == "{{$.pipeline_job_uuid}}"


def test_a_model_of_the_cluster_is_started_from_anew_by_every_run(tmp_path):
    tasks = compiled(tmp_path, "factorized", "--set", "init=/volume/model")["root"]["dag"]["tasks"]
    assert "cachingOptions" not in tasks["Trainer"] and "cachingOptions" in tasks["TfdsExampleGen"]


def test_every_step_of_ours_has_a_parameter_that_follows_its_code(tmp_path):
    spec = compiled(tmp_path, "factorized")
    for name, task in spec["root"]["dag"]["tasks"].items():
        known = "sources" in task["inputs"].get("parameters", {})
        assert known == (name not in ("StatisticsGen", "SchemaGen", "ExampleValidator")), name
        assert known == (
            "sources" in spec["components"][f"comp-{name}"].get("inputDefinitions", {}).get("parameters", {})
        ), name


def test_the_data_of_a_cluster_are_digested_by_every_run(tmp_path):
    """So what follows is answered by the cache if, and only if, they are the same; and so it is for a folder here."""
    class_folders(tmp_path / "here", 12)
    for place in ("/volume/pictures", str(tmp_path / "here")):
        spec = compiled(tmp_path, "resnet", "--data", place)
        tasks = spec["root"]["dag"]["tasks"]
        assert set(tasks) == STEPS | {"DataDigest"}
        assert "cachingOptions" not in tasks["DataDigest"] and "cachingOptions" in tasks["TfdsExampleGen"]
        parameters = {name: task["inputs"]["parameters"] for name, task in tasks.items()}
        digest = {"taskOutputParameter": {"producerTask": "DataDigest", "outputParameterKey": "digest"}}
        assert parameters["TfdsExampleGen"]["digest"] == digest
        assert parameters["Trainer"]["into--custom_config--data"] == digest
        for name in ("TfdsExampleGen", "Trainer", "Report"):
            assert "DataDigest" in tasks[name]["dependentTasks"]
        assert spec["root"]["inputDefinitions"]["parameters"]["data"]["defaultValue"] == place
        for name in ("DataDigest", "TfdsExampleGen"):
            assert parameters[name]["folder"] == {"componentInputParameter": "data"}


def test_data_that_no_step_would_see_are_told(tmp_path, capsys):
    compiled(tmp_path, "factorized", "--data", "/mnt/kompakt/pictures")
    assert not capsys.readouterr().err
    compiled(tmp_path, "factorized", "--data", "/volume/pictures")
    assert "/volume/pictures does not lie below --mount /mnt/kompakt" in capsys.readouterr().err


def test_data_steps_and_serving_folder_are_told_when_a_run_is_started(tmp_path):
    spec = compiled(tmp_path, "distill", "--data", "/volume/pictures", "--set", "steps=7")
    told = spec["root"]["inputDefinitions"]["parameters"]
    assert {name: p["defaultValue"] for name, p in told.items()} == {
        "data": "/volume/pictures", "steps": 7, "output": "/mnt/kompakt/serving/distill"
    }  # fmt: skip
    tasks = spec["root"]["dag"]["tasks"]
    steps = {"componentInputParameter": "steps"}
    into = "into--custom_config--config--steps"
    trained = {n for n, t in tasks.items() if t["inputs"]["parameters"].get(into) == steps}
    assert trained == {"Teacher", "Trainer", "Control"}
    output = {"componentInputParameter": "output"}
    assert tasks["Baseline"]["inputs"]["parameters"]["push_dir"] == output
    assert tasks["Pusher"]["inputs"]["parameters"]["into--push_destination--filesystem--base_directory"] == output
    settled = compiled(tmp_path, "distill", "--set", "teacher_settings=steps=9")["root"]["dag"]["tasks"]
    assert into not in settled["Teacher"]["inputs"]["parameters"]


def test_a_volume_claim_is_mounted_in_every_step(tmp_path):
    executors = compiled(tmp_path, "factorized", "--claim", "models", "--mount", "/m")["deploymentSpec"]["executors"]
    _, platforms = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    mounted = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(mounted) == set(executors)
    assert mounted["Trainer_executor"] == {"pvcMount": [{"constant": "models", "mountPath": "/m"}]}
    loaded = kfp.components.load_component_from_file(str(tmp_path / "pipeline.yaml"))
    assert "kubernetes" in loaded.platform_spec.platforms


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
