"""The pipeline's last step: measures the model as its recipe's sections do and writes the page."""

import datetime
import json
import logging
import os
import pathlib
from typing import Any

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import (
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
from components.evaluation import evaluator as evaluation_
from components.report import build, collect, section, table
from components.serving import served_codec
from models.files import write_text


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
    comparison: InputArtifact[artifacts.ComparisonTable] = None,
) -> None:
    """Writes `report.json`, `report.html` and, the same for a terminal, `table.txt`.

    Args:
      examples, anomalies, model, model_run, evaluation, blessing, infra_blessing, pushed_model: of the run.
      report: the output.
      settings: JSON text: "recipe", "preset", "config" (all options), "split" ("test"), and "pictures" (how many to
        measure on, 8).
      comparison: table of a run that compares models.
    """
    options = json.loads(settings)
    notes = section.Notes()
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
        "slices": notes.attempt("evaluation", lambda: collect.slices(evaluation.uri)) or [],
        "anomalies": notes.attempt("validation", lambda: collect.anomalies(anomalies.uri)),
    }
    run = section.Run(
        recipe=options["recipe"], config=config, model_dir=model_dir, pushed=pushed["path"], notes=notes,
        files=artifacts.split_files([examples], options.get("split", "test")), count=int(options.get("pictures", 8)),
        comparison=comparison.uri if comparison else "",
    )  # fmt: skip
    data["noun"] = recipe.data if recipe else "examples"
    data["sections"] = section.measured(recipe.report if recipe else (), run)
    if (data["ingest"] or {}).get("simulated"):
        notes.append(f"The {data['noun']} of this run are simulated: its figures say nothing about real ones.")
    data["notes"] = notes
    path = build.write(data, pathlib.Path(report.uri) / "report.html")
    outcome = table.text(data)
    write_text(path.with_name("table.txt"), outcome)
    logging.info("outcome of the run\n%s", outcome)  # on a cluster the log is what a person sees first


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
