"""The pipeline's last step: measures the model as its kind is measured and writes the page."""

import datetime
import json
import os
import pathlib
from typing import Any

from tfx.v1.dsl.components import InputArtifact, OutputArtifact, Parameter, component
from tfx.v1.types.standard_artifacts import (
    ExampleAnomalies,
    Examples,
    InfraBlessing,
    Model,
    ModelBlessing,
    ModelEvaluation,
    ModelRun,
    PushedModel,
)

from components import artifacts
from components.evaluation import confusions
from components.evaluation import evaluator as evaluation_
from components.kinds.recordings.sources import SAMPLE
from components.report import build, collect
from components.report.sections import mistakes
from components.report.sections import rate_distortion as rate_distortion_section
from components.serving import served_codec


@component
def Report(  # noqa: N802 (TFX components are nouns)
    examples: InputArtifact[Examples],
    anomalies: InputArtifact[ExampleAnomalies],
    model: InputArtifact[Model],
    model_run: InputArtifact[ModelRun],
    evaluation: InputArtifact[ModelEvaluation],
    blessing: InputArtifact[ModelBlessing],
    infra_blessing: InputArtifact[InfraBlessing],
    pushed_model: InputArtifact[PushedModel],
    report: OutputArtifact[artifacts.HtmlReport],
    settings: Parameter[str],
) -> None:
    """Writes `report.json` and `report.html`.

    Args:
      examples, anomalies, model, model_run, evaluation, blessing, infra_blessing, pushed_model: of the run.
      report: the output.
      settings: JSON text: "recipe", "preset", "config" (all options), "split" ("test"), and "pictures" (how many to
        measure on, 8).
    """
    options = json.loads(settings)
    notes: list[str] = []
    model_dir = artifacts.saved_model_dir(model)
    described = served_codec.describe(model_dir)
    recipe = collect.recipe_or_none(options["recipe"])
    config = described.get("trained_by", described).get("config") or options["config"]
    pushed = _push_state(blessing, infra_blessing, pushed_model, evaluation.uri)
    data: dict[str, Any] = {
        "recipe": options["recipe"],
        "summary": recipe.summary if recipe else "",
        "preset": options["preset"],
        "created": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "fingerprint": described.get("fingerprint", ""),
        "pushed": pushed,
        "config": collect.options(recipe, config) if recipe else [{"name": k, "value": v} for k, v in config.items()],
        "metrics": collect.metrics(recipe) if recipe else [],
        "history": collect.find_json(model_run.uri, "history.json") or [],
        "ingest": collect.find_json(examples.uri, "ingest.json"),
        "slices": _or_note(notes, "evaluation", lambda: collect.slices(evaluation.uri)) or [],
        "anomalies": _or_note(notes, "validation", lambda: collect.anomalies(anomalies.uri)),
    }
    count = int(options.get("pictures", 8))
    files = artifacts.split_files([examples], options.get("split", "test"))
    data |= {"kind": recipe.shape, "noun": recipe.data} if recipe else {"kind": "codec", "noun": "pictures"}
    data["earlier"], data["measured"] = [], None
    names = json.loads(config.get("class_names") or "[]")
    data |= _measured(notes, data["kind"], model_dir, files, count, names)
    if pushed["path"] and data["measured"]:
        for version in collect.earlier_versions(pathlib.Path(pushed["path"]), options["recipe"]):
            title = f"version {version.name}"
            point = _or_note(notes, title, lambda v=version: rate_distortion_section.measure_mean(str(v), files, count))
            data["earlier"] += [{"version": version.name, **point}] if point else []
    if (data["ingest"] or {}).get("dataset") == SAMPLE:
        notes.append("The recordings of this run are simulated: its figures say nothing about real ones.")
    data["notes"] = notes
    build.write(data, pathlib.Path(report.uri) / "report.html")


def _measured(notes: list[str], kind: str, model_dir: str, files: list[str], count: int, names: list[str]) -> dict:
    """What is measured of a model as its kind is measured, by the page's keys."""
    if kind == "codec":
        return {
            "measured": _or_note(notes, "pictures", lambda: rate_distortion_section.measure(model_dir, files, count))
        }
    if kind == "transformed":
        return {"classified": _or_note(notes, "confusions", lambda: mistakes.measure(model_dir, files, names))}
    return {
        "classified": _or_note(notes, "confusions", lambda: confusions.measure(model_dir, files, names)),
        "int8": _or_note(notes, "int8 file", lambda: confusions.measure_int8(model_dir, files)),
    }


def _or_note(notes: list[str], what: str, read) -> Any:
    """What `read` returns; or None and a sentence in the notes, since a page with a gap is better than none."""
    try:
        return read()
    except Exception as error:  # noqa: BLE001
        notes.append(f"No {what} on this page: {type(error).__name__}: {served_codec.one_line(error)}")
        return None


def _push_state(blessing, infra_blessing, pushed_model, evaluation_uri: str) -> dict[str, Any]:
    """Whether the model was pushed, where to, and what stood in the way."""
    reasons = []
    if blessing.get_int_custom_property("blessed") != 1:
        try:
            reasons += evaluation_.failures(evaluation_uri)
        except Exception as error:  # noqa: BLE001 (the page must come all the same)
            reasons.append(f"the evaluation did not bless the model and its reasons cannot be read ({error})")
    if infra_blessing.get_int_custom_property("blessed") != 1:
        said = infra_blessing.get_string_custom_property("reason")
        reasons.append(f"serving check: {said or 'failed'}")
    is_pushed = pushed_model.get_int_custom_property("pushed") == 1
    path = pushed_model.get_string_custom_property("pushed_destination") if is_pushed else ""
    return {"pushed": is_pushed, "path": os.fspath(path), "reasons": reasons}
