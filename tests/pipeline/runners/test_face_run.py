"""A whole run on faces here, for real and tiny: persons and a table of pairs to a pushed network that verifies."""

import json

import numpy as np
import pytest

from components.evaluation.aggregates.verification import Verification
from components.serving.served_faces import ServedFaces
from models.records import pictures as picture_records
from pipeline import cli
from tests.components import untrained_faces
from tests.models.examples import png
from tests.pipeline.runners.tiny_runs import TinyRun

pytestmark = pytest.mark.slow

PERSONS, TESTED = 12, 4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that has ended, on folders of persons of whom four are of a table of pairs."""
    root = tmp_path_factory.mktemp("faces")
    names = [f"person{n:02}" for n in range(PERSONS)]
    for n, name in enumerate(names):
        (root / "data" / name).mkdir(parents=True)
        for k in range(3):
            (root / "data" / name / f"{k}.png").write_bytes(png(untrained_faces.face(n, k)))
    same = [f"{name}/0.png,{name}/{k}.png,1,{n % 2}" for n, name in enumerate(names[:TESTED]) for k in (1, 2)]
    other = [f"{names[n]}/0.png,{names[m]}/1.png,0,{n % 2}" for n in range(TESTED) for m in range(n)]
    (root / "data" / "pairs.csv").write_text("\n".join(["first,second,same,fold", *same, *other]))
    made = TinyRun(root, "face", root / "data", width_percent=10, depth=1, embedding=8)
    assert {"TfdsExampleGen", "Trainer", "Evaluator", "ServingCheck", "Pusher"} <= made.done()
    return made


def test_figures_of_the_evaluation_are_those_of_the_served_model(run):
    page = json.loads((run.out / "report.json").read_text())
    assert page["notes"] == [] and page["ingest"]["persons"]["test"] == TESTED
    assert page["ingest"]["pairs"] == {"from": "pairs.csv", "same": 8, "different": 6, "folds": 2, "left_out": 0}
    (files,) = (run.out / "artifacts" / "TfdsExampleGen" / "examples").iterdir()
    records = picture_records.records(sorted(map(str, (files / "Split-test").glob("*.gz"))))
    answers = ServedFaces(run.named).evaluate([record.numpy() for record in records])
    values = page["slices"][0]["values"]
    assert page["slices"][0]["examples"] == 3 * TESTED
    for name, figure in (("eer", "eer"), ("pair_accuracy", "accuracy"), ("rank1", "rank1")):
        assert values[name] == pytest.approx(Verification(figure=figure).of(answers), abs=1e-6)
        assert values[f"{name}_low"] <= values[name] <= values[f"{name}_high"]
    assert np.isnan(values.get("tar_at_far_1e-3", np.nan))  # 54 pairs of two persons do not carry it
    html = (run.out / "report.html").read_text(encoding="utf-8")
    assert "Model card" in html and "The pairs it gets most wrong" in html and "are too few for a TAR" in html


def test_the_pushed_network_verifies(run, capsys):
    first, second = (str(run.pictures / "person00" / f"{k}.png") for k in (0, 1))
    assert cli.main(["verify", first, second, "--model", run.named]) == 0
    said = capsys.readouterr().out
    assert said.startswith(("one person\tcosine", "two persons\tcosine")) and "validation pairs of two persons" in said
    assert cli.main(["identify", first, "--gallery", str(run.pictures), "--model", run.named]) == 0
    assert "\tperson00\t1.0000" in capsys.readouterr().out


def test_a_changed_table_is_noticed_and_else_nothing_is_done_again(run):
    assert run.done() == set()
    table = run.pictures / "pairs.csv"
    table.write_text(table.read_text().rsplit("\n", 1)[0])
    assert {"TfdsExampleGen", "Evaluator"} <= run.done()


def test_what_does_not_belong_to_the_pushed_network_is_refused_before_anything_is_run(run, tmp_path, capsys):
    np.savez(tmp_path / "bank.npz", embeddings=np.eye(8), fingerprint="0badcafe")
    (tmp_path / "out").mkdir()
    for recipe, options, said in (
        ("ida", [f"model={run.named}", "source=file", f"bank={tmp_path / 'bank.npz'}"], "the fingerprint 0badcafe"),
        ("ida", [f"model={tmp_path}"], "neither a recipe's name nor a pushed model"),
        ("coupleface", [f"teacher={run.named}", "anchors=2"], "the teacher must be trained here"),
        ("coupleface", [f"teacher={tmp_path / 'none'}"], "neither a recipe's name nor a path that exists"),
    ):
        settings = [part for option in options for part in ("--set", option)]
        assert cli.main(["run", recipe, "--data", str(run.pictures), "--out", str(tmp_path / "out"), *settings]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
