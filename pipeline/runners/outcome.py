"""The end of a run: warnings, the report with its times, the table, the exit code."""

import dataclasses
import pathlib

from rich.console import Console
from rich.markup import escape
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.evaluation import evaluator
from components.serving import configuration
from pipeline.runners.local import Step
from pipeline.shapes.line import Options


def finish(steps: list[Step], options: Options, out: pathlib.Path, console: Console) -> int:
    """Completes the report and prints what came of the run; returns the exit code (0 pushed, 1 not blessed)."""
    from components.report import build, table

    noun = options.recipe.data
    outputs = {step.name: step.outputs for step in steps}
    known = [{f.name: getattr(s, f.name) for f in dataclasses.fields(s) if f.name != "outputs"} for s in steps]
    report = build.finish(outputs["Report"]["report"].uri, out / "report.html", steps=known)
    for line in anomalies(outputs["ExampleValidator"]["anomalies"].uri):
        console.print(f"[yellow]warning:[/] the {noun} differ between splits: {escape(line)}")
    pushed = outputs["Pusher"]["pushed_model"].custom_properties
    reasons = refusals(outputs)
    rows = []
    if not reasons:
        path = pushed["pushed_destination"].string_value
        rows += [("pushed model", path), ("for a server", str(configuration.write_beside(pathlib.Path(path).parent)))]
    page = build.load(report.parent)
    rows += [*table.rows(page), ("report", str(report))]
    for line in table.aligned(rows):
        console.print(escape(line), soft_wrap=True)
    for line in table.lines(page):
        console.print(escape(line), soft_wrap=True)
    for reason in reasons:
        console.print(f"[red]not pushed:[/] {escape(reason)}", soft_wrap=True)
    return 1 if reasons else 0


def refusals(outputs: dict) -> list[str]:
    """Why the model was not pushed: missed thresholds, failed serving check; empty when it was."""
    reasons = []
    if outputs["Evaluator"]["blessing"].custom_properties["blessed"].int_value != 1:
        reasons += evaluator.failures(outputs["Evaluator"]["evaluation"].uri)
    check = outputs["ServingCheck"]["blessing"].custom_properties
    if check["blessed"].int_value != 1:
        reasons.append(f"the serving check failed: {check['reason'].string_value}")
    if not reasons and outputs["Pusher"]["pushed_model"].custom_properties["pushed"].int_value != 1:
        reasons.append("the Pusher did not push; run.log says why")
    return reasons


def anomalies(uri: str) -> list[str]:
    """One line per anomaly that ExampleValidator found, over all splits."""
    lines = []
    for path in sorted(pathlib.Path(uri).glob("Split-*/*")):
        found = anomalies_pb2.Anomalies.FromString(path.read_bytes())
        split = path.parent.name.removeprefix("Split-")
        lines += [f"{split}: {name}: {info.description}" for name, info in sorted(found.anomaly_info.items())]
    return lines
