"""The Report step on the artifacts of a run, as TFX calls it."""

import base64
import dataclasses
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import standard_artifacts

from components.artifacts import HtmlReport
from components.evaluation import classic, evaluator
from components.report import component, page, section, sections
from components.report.sections import rate_distortion as rate_distortion_section
from components.serving import served_codec
from models.codecs import codec
from models.contract import registry
from models.records import pictures as picture_records
from tests.components import tiny_codec


def write_examples(folder: pathlib.Path) -> standard_artifacts.Examples:
    """An Examples artifact whose test split holds three photographs."""
    (folder / "Split-test").mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "Split-test" / "part.gz"), "GZIP") as writer:
        for key, picture in tiny_codec.photographs().items():
            encoded = served_codec.png(picture)
            sizes = {"height": 96, "width": 96, "channels": 3, "size_bytes": len(encoded)}
            writer.write(
                picture_records.image_example(encoded, key=key, format_name="png", **sizes).SerializeToString()
            )
    (folder / "ingest.json").write_text(json.dumps({"dataset": "photos", "unreadable": [], "splits": {}}))
    examples = standard_artifacts.Examples()
    examples.split_names = '["test"]'
    return examples


def run_evaluation(model_dir: pathlib.Path, examples: pathlib.Path, out: pathlib.Path) -> None:
    """TFMA's output for a model, with the codecs' own metrics and slices."""
    metrics = tuple(m for m in codec.EVALUATION.metrics if m.name != "rd_cost")
    config = evaluator.eval_config(type(codec.EVALUATION)(metrics, codec.EVALUATION.slices))
    shared = tfma.default_eval_shared_model(str(model_dir), eval_config=config)
    tfma.run_model_analysis(shared, config, str(examples / "Split-test" / "part.gz"), output_path=str(out))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Artifacts of a run by name, of a pushed version beside an older one."""
    root = tmp_path_factory.mktemp("run")
    artifacts = {
        "examples": write_examples(root / "examples"), "model": standard_artifacts.Model(),
        "anomalies": standard_artifacts.ExampleAnomalies(), "model_run": standard_artifacts.ModelRun(),
        "evaluation": standard_artifacts.ModelEvaluation(), "blessing": standard_artifacts.ModelBlessing(),
        "infra_blessing": standard_artifacts.InfraBlessing(), "pushed_model": standard_artifacts.PushedModel(),
    }  # fmt: skip
    for name, artifact in artifacts.items():
        artifact.uri = str(root / name)
        (root / name).mkdir(exist_ok=True)
    tiny_codec.save(root / "model" / "Format-Serving", 4, "factorized")
    tiny_codec.save(root / "serving" / "7", 4, "factorized")
    tiny_codec.save(root / "serving" / "5", 5, "factorized")
    tiny_codec.save(root / "serving" / "6", 5, "hyperprior")
    (root / "model_run" / "history.json").write_text(json.dumps([{"step": 20, "loss": 1.5, "val_loss": 1.6}]))
    anomaly = anomalies_pb2.Anomalies()
    anomaly.anomaly_info[picture_records.WIDTH].description = "far too wide"
    (root / "anomalies" / "Split-test").mkdir()
    (root / "anomalies" / "Split-test" / "SchemaDiff.pb").write_bytes(anomaly.SerializeToString())
    run_evaluation(root / "model" / "Format-Serving", root / "examples", root / "evaluation")
    for name in ("blessing", "infra_blessing"):
        artifacts[name].set_int_custom_property("blessed", 1)
    artifacts["pushed_model"].set_int_custom_property("pushed", 1)
    artifacts["pushed_model"].set_string_custom_property("pushed_destination", str(root / "serving" / "7"))
    return artifacts


def report_of(artifacts, out, recipe="factorized"):
    """Runs the step; returns its numbers and its page."""
    report = HtmlReport()
    report.uri = str(out)
    settings = {"recipe": recipe, "preset": "small", "config": {"lmbda": 0.5}, "pictures": 3}
    inputs = {name: [artifact] for name, artifact in artifacts.items()}
    executor = component.Report.EXECUTOR_SPEC.executor_class()
    executor.Do(inputs, {"report": [report]}, {"settings": json.dumps(settings)})
    return json.loads((out / "report.json").read_text()), (out / "report.html").read_text()


def test_what_a_pushed_run_shows(run, tmp_path):
    found, html = report_of(run, tmp_path)
    assert found["notes"] == [] and list(found["sections"]) == ["rate_distortion"]
    shown = found["sections"]["rate_distortion"]
    photographs = tiny_codec.photographs()
    measured = {row["key"]: row for row in shown["each"]}
    assert set(measured) == set(photographs)
    errors = [np.mean((p.astype(float) - (p // 16 * 16 + 8)) ** 2) for p in photographs.values()]
    psnr = float(np.mean([10 * np.log10(255**2 / e) for e in errors]))
    assert shown["mean"]["psnr_db"] == pytest.approx(psnr, abs=1e-3)
    overall = found["slices"][0]
    assert overall["slice"] == "all" and overall["examples"] == 3
    assert overall["values"]["psnr_db"] == pytest.approx(psnr, abs=1e-3)
    assert [row["slice"] for row in found["slices"][1:]] == ["size_class: below_0.1_mp"]
    assert [v["version"] for v in shown["earlier"]] == ["5"]  # 6 is of another recipe, 7 is this one
    assert shown["earlier"][0]["bpp"] < shown["mean"]["bpp"]
    assert [p["rank"] for p in shown["pictures"]] == ["best", "median", "worst"]
    assert {a["about"] for a in found["anomalies"]} == {"far too wide"}
    (option,) = found["config"]  # the value that the model was trained with, not the one that was asked for
    assert option["value"] == 1 / 16 and "distortion" in option["about"]
    for said in ("far too wide", "earlier pushes", "size_class: below_0.1_mp"):
        assert said in html
    printed = (tmp_path / "table.txt").read_text().splitlines()
    assert printed[0] == f"pushed model      {run['pushed_model'].get_string_custom_property('pushed_destination')}"
    assert f"psnr_db           {overall['values']['psnr_db']:.4f} dB" in printed
    assert "pictures          3 (test split)" in printed


def test_a_refused_model_and_missing_parts_still_make_a_page(run, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = dict(run)
    for name, kind in (("model", standard_artifacts.Model), ("evaluation", standard_artifacts.ModelEvaluation),
                       ("blessing", standard_artifacts.ModelBlessing), ("pushed_model", standard_artifacts.PushedModel),
                       ("infra_blessing", standard_artifacts.InfraBlessing)):  # fmt: skip
        broken[name] = kind()
        broken[name].uri = str(empty)
    broken["infra_blessing"].set_string_custom_property("reason", "an op that no server has")
    found, html = report_of(broken, tmp_path / "report")
    assert found["sections"] == {"rate_distortion": None} and found["slices"] == []
    assert any("no model here" in note for note in found["notes"])
    assert found["pushed"]["pushed"] is False and found["pushed"]["path"] == ""
    assert "an op that no server has" in html and "not pushed" in html and "nothing to compare" in html
    printed = (tmp_path / "report" / "table.txt").read_text().splitlines()
    assert "psnr_db           -" in printed and "pictures          - (test split)" in printed
    assert printed[-1] == "not pushed: serving check: an op that no server has"


TOY = '''
"""What the report shows of a toy."""

from components.report.markup import template
from components.report.section import Cards, Section


class Brightness(Section):
    """How many records there are."""

    what = "brightness"
    training_about = "Nothing was trained."

    def measure(self, run):
        return {"files": len(run.files), "recipe": run.recipe, "lmbda": run.config["lmbda"]}

    def render(self, measured, data):
        return template("<section><h2>Brightness</h2><p>{{ m.files }} file of {{ m.recipe }} &amp; {{ n }}").render(
            m=measured, n=data["noun"]
        )

    def cards(self, measured, values, examples):
        return Cards([{"label": "Files", "value": str(measured["files"]), "unit": "", "about": ""}], f"of {examples}")

    def rows(self, measured):
        return [("brightness", "well")]


SECTION = Brightness()
'''


@pytest.fixture
def recipe_of_a_new_section(tmp_path, monkeypatch):
    """Name of a recipe that asks for a section whose file is the only thing that is new."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "toy_brightness.py").write_text(TOY)
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path / "more")])
    recipe = dataclasses.replace(registry.get("factorized"), name="bright", report=("toy_brightness",))
    known = {**registry.recipes(), recipe.name: recipe}
    monkeypatch.setattr(registry, "recipes", lambda: known)
    return recipe.name


def test_a_section_is_one_new_file(run, recipe_of_a_new_section, tmp_path):
    section.check(registry.get(recipe_of_a_new_section))
    found, html = report_of(run, tmp_path / "report", recipe_of_a_new_section)
    assert found["notes"] == []
    assert found["sections"] == {"toy_brightness": {"files": 1, "recipe": "bright", "lmbda": 1 / 16}}
    assert "<h2>Brightness</h2><p>1 file of bright &amp; pictures" in html and "Rate and distortion" not in html
    assert "of 3</p>" in html and ">Files<" in html and "Nothing was trained." in html


def test_a_section_that_is_not_there_is_named():
    with pytest.raises(LookupError, match="no section of the report 'confusion'; there are .*nearest: confusions"):
        section.check(dataclasses.replace(registry.get("resnet"), report=("confusion",)))
    gone = page.render({"recipe": "x", "sections": {"went_away": {"a": 1}}})
    assert "A section is missing from this page: no section of the report &#39;went_away&#39;" in gone


@pytest.mark.parametrize("name", sorted(registry.recipes()))
def test_every_recipe_shows_sections_that_there_are(name):
    recipe = registry.get(name)
    assert recipe.report
    section.check(recipe)


def test_simulated_data_are_told_from_what_the_ingest_says(run, tmp_path):
    (tmp_path / "examples" / "Split-test").mkdir(parents=True)
    (tmp_path / "examples" / "ingest.json").write_text(json.dumps({"dataset": "x", "splits": {}, "simulated": True}))
    simulated = standard_artifacts.Examples()
    simulated.uri, simulated.split_names = str(tmp_path / "examples"), '["test"]'
    found, _ = report_of(run | {"examples": simulated}, tmp_path / "report")
    assert "The pictures of this run are simulated: its figures say nothing about real ones." in found["notes"]


def test_the_busiest_square_is_where_the_detail_is():
    picture = np.full((500, 700, 3), 90, np.uint8)
    picture[180:400, 336:560] = np.random.default_rng(0).integers(0, 255, (220, 224, 3))
    rows, columns = rate_distortion_section.busiest(picture)
    assert rows.stop - rows.start == columns.stop - columns.start == 256
    assert rows.start <= 180 and rows.stop >= 400 and columns.start <= 336 and columns.stop >= 560
    assert rate_distortion_section.busiest(picture[:100, :90]) == (slice(0, 100), slice(0, 90))


def test_crops_are_lossless():
    picture = tiny_codec.photographs()["cat"]
    encoded = base64.b64decode(rate_distortion_section.data_uri(picture).split(",")[1])
    assert np.array_equal(classic.decode(encoded), picture)
