"""A sweep from the command line, for real and tiny: its results file, what `run` makes of it, what is refused."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from models.contract.training import Judge
from pipeline import cli
from pipeline.arguments import sweeps
from pipeline.commands.sweep import table
from tests.pipeline.runners.tiny_runs import SETTINGS, TinyRun, class_folders
from tests.tuning.test_supervisor import processes
from tuning import supervisor
from tuning.plan import Plan

pytestmark = pytest.mark.slow


def pods(manifest: list[dict], port: int) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Commands and environments of the pods of a manifest as a cluster starts them, here where all is one machine."""
    found = {}
    service, *jobs = manifest
    for job in jobs:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        for index in range(job["spec"].get("completions", 1)):
            variables = {}
            for one in container["env"]:
                if "valueFrom" in one:
                    assert one["valueFrom"]["fieldRef"]["fieldPath"].endswith("job-completion-index']")
                value = one.get("value", str(index)).replace("$(JOB_COMPLETION_INDEX)", str(index))
                variables[one["name"]] = value.replace(service["metadata"]["name"], "127.0.0.1")
            variables["KERASTUNER_ORACLE_PORT"] = str(port)  # the usual one may be taken here
            assert container["command"][0] == "python"
            command = [sys.executable, *container["command"][1:], *container["args"]]
            found[variables["KERASTUNER_TUNER_ID"]] = command, os.environ | variables
    return found


def kill_one(parent: int, name: str) -> None:
    """Kills a process of the search as soon as it is there."""
    while not (found := processes(parent)).get(name):
        time.sleep(0.05)
    os.kill(found[name], signal.SIGKILL)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A run's folder in which a sweep has ended, by a chief and two workers as a manifest for a cluster starts them.

    The chief is killed once. (`--workers` without a manifest: tests/tuning/test_supervisor.py.)
    """
    root = tmp_path_factory.mktemp("sweep")
    run = TinyRun(root, "small_cnn", class_folders(root / "pictures"), width=4)
    arguments = ["sweep", run.recipe, "--data", str(run.pictures), "--out", str(run.out), "--trials", "4"]
    arguments += ["--manifest", str(root / "sweep.yaml"), "--claim", "volume", "--mount", str(root)]
    arguments += ["--workers", "2", "--algorithm", "hyperband", "--steps-per-trial", "4"]
    arguments += ["--objective", "parameters", "--at-most", "val_loss=1000", "--at-least", "val_accuracy=0"]
    for name, value in (SETTINGS | {"width": 4}).items():
        arguments += ["--set", f"{name}={value}"]
    assert cli.main(arguments) == 0 and not run.out.exists()
    manifest = list(yaml.safe_load_all((root / "sweep.yaml").read_text()))
    started = {}
    try:
        for name, (command, environment) in pods(manifest, supervisor.free_port()).items():
            started[name] = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        kill_one(started["chief"].pid, "chief")
        said = {name: process.communicate(timeout=120)[0] for name, process in started.items()}
    finally:
        for process in started.values():
            process.kill()
    assert {name: process.returncode for name, process in started.items()} == {"chief": 0, "tuner0": 0, "tuner1": 0}
    assert "chief died (exit code -9); started again" in said["chief"]
    return run, json.loads((run.out / sweeps.FILE).read_text())


def test_every_trial_is_in_the_results_the_best_first(swept):
    run, found = swept
    trials = found["trials"]
    assert sorted(one["trial"] for one in trials) == [1, 2, 3, 4]
    scores = [one["score"] for one in trials]
    assert scores == sorted(scores) and found["judge"] == {"name": "parameters", "better": "lower"}
    for one in trials:
        assert set(one["measured"]) == {"val_loss", "val_accuracy"} and 0 < one["measured"]["val_loss"] < 1000
    assert found["config"] == found["start"] | trials[0]["values"]
    plan = {"trials": 4, "algorithm": "hyperband", "steps": 4, "patience": 0, "objective": "parameters"}
    assert found["plan"] == plan | {"at_least": {"val_accuracy": 0.0}, "at_most": {"val_loss": 1000.0}}
    assert "val_accuracy ≥ 0, val_loss ≤ 1000; trials outside" in (run.out / "sweep.html").read_text()
    assert (run.out / "sweep.html").read_text().count("<svg") == 2
    first = next(one for one in trials if one["trial"] == 1)
    assert first["values"].items() <= found["start"].items(), "the first trial is the configuration as it stands"


def test_what_tensorboard_shows_of_the_trials_stays(swept):
    run, found = swept
    (folder,) = (run.out / "sweep").iterdir()
    for one in found["trials"]:
        events = EventAccumulator(str(folder / f"trial-{one['trial']}")).Reload()
        noted = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
        values = metadata.parse_session_start_info_plugin_data(noted).hparams
        assert set(values) == set(one["values"])
        for name, value in one["values"].items():
            kind = values[name].WhichOneof("kind")
            assert getattr(values[name], kind) == (value if kind != "number_value" else float(value))


def test_a_run_takes_the_best_exactly(swept, tmp_path):
    run, found = swept
    again = ["run", run.recipe, "--data", str(run.pictures), "--out", str(tmp_path), "--hyperparameters",
             str(run.out / sweeps.FILE)]  # fmt: skip
    assert cli.main(again) in (0, 1)  # four steps make no good model, which may be refused
    model = next(pathlib.Path(tmp_path).glob("artifacts/Trainer/model/*/Format-Serving"))
    config = json.loads((model / "assets.extra" / "kompakt.json").read_text())["config"]
    adapted = {"classes": 2, "class_names": config["class_names"]}  # what the data add
    assert config == found["config"] | adapted


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        ("no JSON", "not the results of a sweep (OUT/sweep.json)"),
        ("[]", "not the results of a sweep (OUT/sweep.json)"),
        ('{"recipe": "edic", "config": {}}', "found for edic, not for small_cnn"),
        ('{"recipe": "small_cnn", "config": {"widht": 3}}', "small_cnn has no option 'widht'; the nearest is 'width'"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, capsys, content, said):
    path = tmp_path / "some.json"
    if content is not None:
        path.write_text(content)
    assert cli.main(["run", "small_cnn", "--hyperparameters", str(path), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and not (tmp_path / "out").exists()


def test_a_manifest_is_what_kubernetes_takes(tmp_path):
    file = tmp_path / "a.yaml"
    arguments = ["sweep", "ecg_cnn", "--data", "/mnt/kompakt/ecg", "--out", "/mnt/kompakt/out", "--workers", "3"]
    arguments += ["--claim", "volume", "--gpus", "1", "--memory", "8Gi", "--objective", "latency_ms", "--verbose"]
    assert cli.main([*arguments, "--set", "steps=50", "--set", "seed=2", "--manifest", str(file)]) == 0
    service, chief, worker = yaml.safe_load_all(file.read_text())
    assert [service["kind"], chief["kind"], worker["kind"]] == ["Service", "Job", "Job"]
    assert worker["spec"]["completionMode"] == "Indexed"
    assert worker["spec"]["completions"] == worker["spec"]["parallelism"] == 3
    assert service["spec"]["selector"] == chief["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["clusterIP"] == "None", "the pod's own address, not one that is passed on"
    containers = []
    for job in (chief, worker):
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        containers.append(container)
        assert pod["restartPolicy"] == "OnFailure" and len(job["metadata"]["name"]) <= 63
        assert pod["volumes"] == [{"name": "volume", "persistentVolumeClaim": {"claimName": "volume"}}]
        assert container["volumeMounts"] == [{"name": "volume", "mountPath": "/mnt/kompakt"}]
        assert container["command"] == ["python", "-m", "pipeline", "sweep"]
    assert containers[0]["args"] == containers[1]["args"]
    assert " ".join(containers[0]["args"]) == (
        "ecg_cnn --data /mnt/kompakt/ecg --set steps=50 --set seed=2 --workers 3 --objective latency_ms "
        "--out /mnt/kompakt/out --verbose"
    )
    assert (
        containers[1]["resources"]["limits"] == {"nvidia.com/gpu": "1"} and "limits" not in containers[0]["resources"]
    )
    names = [one["name"] for one in containers[1]["env"]]
    assert names.index("JOB_COMPLETION_INDEX") < names.index("KERASTUNER_TUNER_ID"), "else it is not put in"
    (port,) = service["spec"]["ports"]
    assert {"name": "KERASTUNER_ORACLE_PORT", "value": str(port["port"])} in containers[0]["env"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"--claim": ""}, "--manifest: give the volume claim"),
        ({"--workers": "1"}, "--manifest: wants --workers 2 or more"),
        ({"--out": "/elsewhere"}, "--out /elsewhere: must lie below --mount /mnt/kompakt"),
        ({"--data": "/elsewhere"}, "--data /elsewhere: must lie below --mount /mnt/kompakt"),
        ({"--manifest": "a.txt"}, "--manifest a.txt: wanted is a .yaml file"),
    ],
)
def test_a_manifest_that_no_cluster_could_run_is_refused(tmp_path, capsys, changed, said):
    given = {"--claim": "c", "--workers": "2", "--out": "/mnt/kompakt/out", "--manifest": str(tmp_path / "a.yaml")}
    arguments = [word for item in (given | changed).items() for word in item]
    assert cli.main(["sweep", "small_cnn", *arguments]) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_process_that_is_told_half_of_its_role_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "tuner0")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    assert cli.main(["sweep", "small_cnn", "--out", str(tmp_path / "out")]) == 1
    said = "KERASTUNER_TUNER_ID is set, and not KERASTUNER_ORACLE_PORT, KOMPAKT_SWEEP_ID"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--objective", "accurracy"], "objective accurracy: no number of small_cnn; there are val_loss, seconds_per"),
        (["--at-least", "val_accuracy"], "--at-least val_accuracy: wanted is NAME=NUMBER"),
        (["--at-most", "latency_ms=nan"], "--at-most latency_ms=nan: wanted is NAME=NUMBER"),
        (["--at-most", "latency_ms=5", "--workers", "2"], "latency_ms with --workers 2: they would disturb each other"),
    ],
)
def test_objectives_that_mean_nothing_are_refused(tmp_path, capsys, options, said):
    assert cli.main(["sweep", "small_cnn", "--out", str(tmp_path / "out"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [["--tune", "2"], ["--preset", "paper"]])
def test_what_a_sweep_has_settled_is_not_asked_for_again(tmp_path, capsys, option):
    assert cli.main(["run", "small_cnn", "--hyperparameters", str(tmp_path), *option]) == 2
    assert f"--hyperparameters and {option[0]} exclude each other" in capsys.readouterr().err


def test_the_table_shows_the_best_first_and_its_values_whole():
    given = [
        {"trial_id": "0", "score": 0.5, "a": 0.123456789, "tuner/epochs": 2},
        {"trial_id": "1", "score": 0.25, "a": 3},
    ]
    lines = table(sweeps.ordered(given, Judge("val_accuracy", "higher")), Judge("val_accuracy", "higher")).splitlines()
    assert lines[0].split() == ["validation", "accuracy", "a"] and lines[1].split() == ["0.50000", "0.1235"]
    assert lines[-1] == "the best: --set a=0.123456789"
    assert sweeps.ordered(given, Judge("val_loss", "lower"))[0]["trial"] == 2


def test_what_else_was_measured_is_shown_and_tells_who_is_outside():
    given = [
        {"trial_id": "0", "score": 30.0, "a": 1, "measured/model_bytes": 7.0, "measured/val_accuracy": 0.5},
        {"trial_id": "1", "score": 20.0, "a": 2, "measured/model_bytes": 20.0, "measured/val_accuracy": 0.9},
    ]
    judge, plan = Judge("model_bytes", "lower"), Plan(2, objective="model_bytes", at_least={"val_accuracy": 0.8})
    trials = sweeps.ordered(given, judge)
    assert [(one["trial"], one["score"]) for one in trials] == [(2, 20.0), (1, 7.0)]
    assert [sweeps.outside(one, judge, plan) for one in trials] == [False, True]
    assert table(trials, judge).splitlines()[2].split() == ["7.00000", "0.5", "1"]
