"""Cross-validation from the command line, for real and tiny: side by side, resumed, refused."""

import json

import pytest

from components.evaluation import cross_validation
from pipeline import cli
from tests.components import ecg_records, tiny_ecg

pytestmark = pytest.mark.slow

LABELS = {f"A{n:05}": "NAO"[n % 3] for n in range(12)}


def arguments(root, *more):
    settings = [s for name, value in tiny_ecg.SETTINGS.items() for s in ("--set", f"{name}={value}")]
    return ["cross-validate", "ecg_cnn", "--data", str(root / "data"), "--folds", "2", "--out", str(root / "out"),
            *settings, *more]  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The root of a cross-validation whose folds ran side by side."""
    root = tmp_path_factory.mktemp("folds")
    ecg_records.fill(root / "data", LABELS)
    assert cli.main(arguments(root, "--parallel", "2")) == 0
    return root


def results(root):
    return json.loads((root / "out" / cross_validation.RESULTS).read_text())


def test_all_recordings_were_tested_and_nothing_unfinished_is_left(done):
    found = results(done)
    assert [row["fold"] for row in found["folds"]] == [1, 2]
    assert sum(row["recordings"] for row in found["folds"]) == sum(map(sum, found["confusion"])) == len(LABELS)
    assert found["setting"]["recipe"] == "ecg_cnn" and found["mean"]["challenge_f1"] is not None
    for fold in (1, 2):
        assert sorted(p.name for p in (done / "out" / f"fold-{fold}").iterdir()) == ["fold.json", "run.log", "training"]


def test_only_missing_folds_are_done_again_and_come_out_the_same(done, capsys):
    before = results(done)
    (done / "out" / "fold-2" / "fold.json").unlink()
    kept = (done / "out" / "fold-1" / "fold.json").stat().st_mtime_ns
    assert cli.main(arguments(done)) == 0
    assert (done / "out" / "fold-1" / "fold.json").stat().st_mtime_ns == kept
    assert results(done)["folds"][1]["recordings"] == before["folds"][1]["recordings"]
    printed = capsys.readouterr().out
    assert "fold 2 of 2 done" in printed and "fold 1 of 2" not in printed
    assert "F1 A" in printed and "± " in printed and "mean" in printed


def test_other_options_are_refused_in_the_same_folder(done, capsys):
    kept = (done / "out" / cross_validation.RESULTS).read_bytes()
    assert cli.main(arguments(done, "--set", "seed=2")) == 2
    assert "with other config; choose another --out" in capsys.readouterr().err
    assert (done / "out" / cross_validation.RESULTS).read_bytes() == kept


def test_a_fold_whose_loss_runs_away_is_one_line(done, tmp_path, capsys):
    assert cli.main(arguments(done, "--out", str(tmp_path / "out"), "--set", "learning_rate=1e30")) == 1
    (line,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error: ")]
    assert line == "error: the loss of ecg_cnn became NaN or infinite; lower learning_rate and run again"
    assert not (tmp_path / "out" / cross_validation.RESULTS).exists()


@pytest.mark.parametrize("content", ["no JSON", "[]"])
def test_a_damaged_folder_of_results_is_named(done, tmp_path, capsys, content):
    (tmp_path / "setting.json").write_text(content)
    assert cli.main(arguments(done, "--out", str(tmp_path))) == 2
    assert f"{tmp_path}/setting.json: damaged; delete it" in capsys.readouterr().err
