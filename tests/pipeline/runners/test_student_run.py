"""A whole distillation here, for real and tiny: teacher, its outputs, student, control, table, int8 file."""

import json
import re

import pytest

from components import artifacts
from models.classifiers import int8
from tests.pipeline.runners.tiny_runs import TinyRun, class_folders

pytestmark = pytest.mark.slow

TINY = {
    "teacher": "small_cnn", "teacher_settings": "width=8", "student_settings": "width=4",
    "terms": "ce + logits + attention(layer=stage2)", "hint_terms": "hint(layer=stage1)", "int8": "true",
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp("students")
    return TinyRun(root, "distill", class_folders(root / "pictures"), **TINY)


@pytest.fixture(scope="module")
def done(tiny):
    """The folder of a run that has ended, and what it printed."""
    tiny.run()
    assert tiny.status == 0, tiny.printed
    return tiny.out, tiny.printed


def test_all_steps_were_run(done):
    steps = re.findall(r"^\S+ (\S+) +[\d.]+ s", done[1], re.MULTILINE)
    assert {"Teacher", "TeacherOutputs", "Trainer", "Control", "Comparison", "Pusher", "Report"} <= set(steps)


def test_both_stages_learned_from_the_outputs_that_were_kept(done):
    (path,) = (done[0] / "artifacts" / "Trainer" / "model_run").glob("*/history.json")
    history = json.loads(path.read_text(encoding="utf-8"))
    assert list(dict.fromkeys(entry["phase"] for entry in history)) == ["hints", "distillation"]
    assert "hint" in history[0] and {"logits", "attention"} <= set(history[-1])


def test_the_student_alone_is_pushed_with_what_trained_it(done):
    (version,) = artifacts.pushed_versions(str(done[0] / "serving" / "distill"))
    with open(f"{version.path}/assets.extra/kompakt.json", encoding="utf-8") as file:
        about = json.load(file)
    assert about["recipe"] == "small_cnn" and about["config"]["width"] == 4
    assert about["trained_by"]["recipe"] == "distill" and about["trained_by"]["config"]["cached"]


def test_the_table_stands_in_the_output_and_on_the_page(done):
    out, printed = done
    heads = next(line.split() for line in printed.splitlines() if "teacher" in line and "control" in line)
    assert heads == ["teacher", "student", "control"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Side by side" in page and "kl_to_teacher" in printed
    rows = {row["role"]: row for row in json.loads((out / "report.json").read_text())["sections"]["comparison"]}
    assert rows["teacher"]["parameters"][0] > 2 * rows["student"]["parameters"][0]


def test_the_int8_file_is_pushed_and_its_accuracy_told(done):
    out, printed = done
    (version,) = artifacts.pushed_versions(str(out / "serving" / "distill"))
    content = open(f"{version.path}/assets.extra/{int8.FILE}", "rb").read()
    measured = json.loads((out / "report.json").read_text())["sections"]["confusions"]["int8"]
    assert measured["size_bytes"] == len(content) and 0 <= measured["accuracy"] <= 1
    assert f"int8 accuracy {measured['accuracy']:.4f} ({len(content):,} bytes)" in " ".join(printed.split())
    assert "The int8 TFLite file" in (out / "report.html").read_text(encoding="utf-8")


def test_nothing_is_done_again_unchanged(tiny, done):
    assert tiny.done() == set()
