"""A whole run on recordings here, for real and tiny: ingest, transform, search, training, evaluation, push, page."""

import contextlib
import io
import json
import re

import pytest

from components import artifacts
from components.kinds.recordings import transform
from components.serving.served_ecg import ServedEcg
from models.contract import registry
from models.records import recordings as ecg_data
from pipeline import cli
from tests.components import ecg_records, tiny_ecg

pytestmark = pytest.mark.slow

LABELS = {f"A{n:05}": "NNAO~"[n % 5] for n in range(40)}
TINY = tiny_ecg.SETTINGS | {"steps": 6, "lstm_units": 2, "lstm_layers": 1, "hidden": 4}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of a run that has ended, what it and the sweep before it printed, and the command."""
    root = tmp_path_factory.mktemp("recordings")
    ecg_records.fill(root / "data", LABELS)
    arguments = ["ecg_crnn", "--data", str(root / "data"), "--out", str(root / "out")]
    for name, value in TINY.items():
        arguments += ["--set", f"{name}={value}"]
    printed = []
    for command in (["sweep", *arguments, "--trials", "1"], ["run", *arguments, "--tune", "1"]):
        with contextlib.redirect_stdout(io.StringIO()) as captured:
            status = cli.main(command)
        printed.append(captured.getvalue())
        assert status == 0, printed[-1]
    return root / "out", printed[1], printed[0], command


def steps_of(printed: str) -> list[str]:
    return re.findall(r"^\S+ (\S+) +[\d.]+ s", printed, re.MULTILINE)


def test_a_sweep_does_what_the_search_needs_and_lists_the_trials(done):
    assert set(steps_of(done[2])) == {"TfdsExampleGen", "RecordSchema", "Transform", "Tuner"}
    *_, heads, trial, _, best = done[2].splitlines()
    assert heads.startswith("validation f1") and "learning_rate" in heads and 0 <= float(trial.split()[0]) <= 1
    assert best.startswith("the best: --set ") and "--set dropout=" in best


def test_all_other_steps_were_run_and_the_search_was_not_repeated(done):
    found = set(steps_of(done[1]))
    assert {"StatisticsGen", "ExampleValidator", "Trainer", "Evaluator", "ServingCheck", "Pusher"} <= found
    assert "Tuner unchanged, from the cache" in done[1]


def test_the_transform_step_gives_what_the_function_outside_gives(done, tmp_path):
    (examples,) = (done[0] / "artifacts" / "TfdsExampleGen" / "examples").iterdir()
    files = {split.name[6:]: sorted(map(str, split.glob("*.gz"))) for split in examples.glob("Split-*")}
    outside = transform.transform(files, tmp_path / "outside")
    (step,) = (done[0] / "artifacts" / "Transform" / "transformed_examples").iterdir()
    inside = transform.split_files(step)
    assert set(inside) == set(outside) == {"train", "validation", "test"}
    for split in inside:
        by_id = {r[ecg_data.ID]: r for r in ecg_records.read(inside[split])}
        records = ecg_records.read(outside[split])
        assert len(records) == len(by_id) and all(by_id[r[ecg_data.ID]] == r for r in records)


def test_the_model_is_pushed_with_what_the_data_decided(done):
    (version,) = artifacts.pushed_versions(str(done[0] / "serving" / "ecg_crnn"))
    with open(f"{version.path}/assets.extra/kompakt.json", encoding="utf-8") as file:
        config = json.load(file)["config"]
    assert json.loads(config["class_names"])[0] == "N" and set(json.loads(config["class_names"])) == set("NAO~")
    assert 0.6 < config["amplitude"] < 0.8  # sines of 1 mV
    p = ServedEcg(version.path).probabilities([ecg_records.signal("A", 1), ecg_records.signal("N", 2, 900)])
    assert p.shape == (2, 4) and abs(p.sum(1) - 1).max() < 1e-5


def test_the_table_shows_the_scores_and_speaks_of_recordings(done):
    out, printed, *_ = done
    page = json.loads((out / "report.json").read_text())
    overall = page["slices"][0]["values"]
    assert {m.name for m in registry.get("ecg_crnn").evaluation.metrics} == set(overall)
    assert f"challenge_f1 {overall['challenge_f1']:.4f}" in " ".join(printed.split())
    assert "f1_noise" in printed and "precision_noise" not in printed
    assert re.search(r"recordings +\d+ \(test split\)", printed) and "pictures" not in printed
    slices = {row["slice"].partition(":")[0] for row in page["slices"][1:]}
    assert slices == {"length_class", "noise_class"}
    assert all(isinstance(value, float) for row in page["slices"] for value in row["values"].values())


def test_the_page_has_the_measured_parts(done):
    page = json.loads((done[0] / "report.json").read_text())
    html = (done[0] / "report.html").read_text(encoding="utf-8")
    assert page["notes"] == [] and "Scores of the classes" in html and "pictures" not in html
    measured = sum(map(sum, page["sections"]["mistakes"]["confusion"]))
    assert measured == page["slices"][0]["examples"] == page["ingest"]["splits"]["test"]["recordings"]
    assert ("Worst mistakes" in html) == bool(page["sections"]["mistakes"]["mistakes"])


def test_nothing_is_done_again_unchanged(done):
    with contextlib.redirect_stdout(io.StringIO()) as captured:
        assert cli.main(done[3]) == 0
    assert steps_of(captured.getvalue()) == []
