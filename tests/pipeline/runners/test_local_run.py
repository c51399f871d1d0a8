"""The whole line on this machine, for real and tiny: first run, cache, a deleted model, changed code, refusal."""

import contextlib
import dataclasses
import io
import json
import pathlib
import re
import shutil

import pytest
import skimage.data
import tensorflow as tf

from components import artifacts, closure
from components.serving import configuration
from models.contract import registry
from pipeline import cli

TINY = ("channels=8", "latents=8", "crop_size=64", "batch_size=2", "steps=4", "steps_per_epoch=2")
STEPS = 10


def write_pictures(folder: pathlib.Path, first: int, count: int) -> None:
    """PNG crops of a photograph, [80, 72 + n, 3], each different."""
    folder.mkdir(exist_ok=True)
    photograph = skimage.data.astronaut()
    for n in range(first, first + count):
        crop = photograph[40 * n : 40 * n + 80, 100 : 172 + n]
        (folder / f"{n}.png").write_bytes(tf.io.encode_png(crop).numpy())


def bounded(psnr_db: float | None):
    """The recipes with one bound alone, so that a model of four steps is pushed (None) or refused (99 dB)."""
    found = {}
    for name, recipe in registry.recipes.__wrapped__().items():
        metrics = tuple(
            dataclasses.replace(
                m, lower_bound=psnr_db if m.name == "psnr_db" else None, upper_bound=None, tolerance=m.tolerance and 1e3
            )
            for m in recipe.evaluation.metrics
        )
        found[name] = dataclasses.replace(recipe, evaluation=dataclasses.replace(recipe.evaluation, metrics=metrics))
    return found


class Line:
    """One output folder and the command that is repeated in it."""

    def __init__(self, root: pathlib.Path):
        self.out, self.pictures = root / "out", root / "pictures"
        write_pictures(self.pictures, 0, 6)

    def run(self, psnr_db: float | None = None) -> tuple[int, str]:
        """Runs the command; returns its exit code and what it printed."""
        arguments = ["run", "factorized", "--data", str(self.pictures), "--out", str(self.out)]
        for setting in TINY:
            arguments += ["--set", setting]
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
            recipes = bounded(psnr_db)
            patch.setattr(registry, "recipes", lambda: recipes)
            patch.setenv("COLUMNS", "60")  # paths are not cut all the same
            status = cli.main(arguments)
        return status, printed.getvalue()

    def versions(self) -> list[artifacts.PushedVersion]:
        return artifacts.pushed_versions(str(self.out / "serving" / "factorized"))


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    return Line(tmp_path_factory.mktemp("line"))


@pytest.fixture(scope="module")
def first_run(line):
    return line.run()


def cached(printed: str) -> set[str]:
    """Names of the steps that the cache answered."""
    return set(re.findall(r"(\w+) unchanged, from the cache", printed))


def test_first_run_pushes_a_model_and_says_where(line, first_run):
    status, printed = first_run
    assert status == 0, printed
    (version,) = line.versions()
    assert version.path in printed
    for said in ("bpp", "psnr_db", "ms_ssim", "estimated_bpp", str(line.out / "report.html")):
        assert said in printed
    assert cached(printed) == set()
    assert {p.name for p in (pathlib.Path(version.path) / "assets.extra").iterdir()} >= {
        "kompakt.json", "model.weights.h5", "origin.json", "tf_serving_warmup_requests",
    }  # fmt: skip
    assert not [p for p in (line.out / "training").rglob("*") if p.is_file()]
    configured = configuration.read(line.out / "serving" / "factorized.config" / "models.config")
    assert configured["factorized"].labels == {"canary": version.version, "stable": version.version}


def test_the_report_has_the_steps_with_their_times(line, first_run):
    steps = json.loads((line.out / "report.json").read_text())["steps"]
    assert len(steps) == STEPS and all(step["seconds"] >= 0 for step in steps)
    (trainer,) = (step for step in steps if step["name"] == "Trainer")
    assert trainer["seconds"] > 0.5 and trainer["upstream"] == ["TfdsExampleGen"]
    assert "Trainer" in (line.out / "report.html").read_text()


def test_training_curves_lie_in_the_model_run(line, first_run):
    (history,) = (line.out / "artifacts" / "Trainer" / "model_run").rglob("history.json")
    assert [entry["step"] for entry in json.loads(history.read_text())] == [2, 4]
    assert list((line.out / "artifacts" / "Trainer" / "model_run").rglob("events.out.tfevents*"))


def test_second_run_is_answered_by_the_cache(line, first_run):
    before = line.versions()
    status, printed = line.run()
    assert status == 0
    assert len(cached(printed)) == STEPS, printed
    assert line.versions() == before
    assert before[0].path in printed


def test_a_deleted_model_is_pushed_again(line, first_run):
    for version in line.versions():
        shutil.rmtree(version.path)
    status, printed = line.run()
    assert status == 0
    assert {"Trainer", "Evaluator", "ServingCheck"} <= cached(printed)
    assert "Pusher" not in cached(printed)
    assert len(line.versions()) == 1


@pytest.mark.slow
def test_changed_code_trains_anew_and_is_compared_with_the_pushed_model(line, first_run, tmp_path, monkeypatch):
    for folder in ("models", "components"):
        shutil.copytree(closure.ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    with open(tmp_path / "models" / "codecs" / "factorized.py", "a") as source:
        source.write("# edited\n")
    before = line.versions()
    monkeypatch.setattr(closure, "ROOT", tmp_path)
    status, printed = line.run()
    assert status == 0, printed
    assert cached(printed) == {"TfdsExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator"}
    assert len(line.versions()) == len(before) + 1
    baseline = max((line.out / "artifacts" / "Baseline" / "model").iterdir(), key=lambda p: int(p.name))
    copied = json.loads((baseline / "Format-Serving" / artifacts.ORIGIN).read_text())
    assert copied == before[0].origin


@pytest.mark.slow
def test_a_model_below_its_bounds_is_not_pushed(line, first_run):
    before = line.versions()
    status, printed = line.run(psnr_db=99.0)
    assert status == 1
    assert re.search(r"not pushed: psnr_db is [-\d.]+; wanted is at least 99", printed), printed
    assert "Trainer" in cached(printed) and "Evaluator" not in cached(printed)
    assert line.versions() == before
    assert "pushed model" not in printed
    assert str(line.out / "report.html") in printed
