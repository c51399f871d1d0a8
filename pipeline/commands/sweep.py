"""The command that searches for options without training a model for good: `sweep`."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import click

from pipeline.arguments.given import checked, local_run, options_of, pipeline_of, recipe_options, verbose_option
from pipeline.arguments.paths import PATH, must_be_plain, must_be_writable

_STEP = "Tuner"


@click.command("sweep")
@recipe_options
@click.option(
    "--trials", "tune", default=10, show_default=True, type=click.IntRange(1), help="How many options to try."
)
@click.option("--out", type=PATH, help="Where everything of this search goes. [default: runs/RECIPE]")
@verbose_option
def command(recipe, out, verbose, **chosen) -> None:
    """Try options of RECIPE in short trainings and list them, the best first.

    An interrupted search goes on with the trials that are missing. `run` with the same options and --out, and --tune as
    many as the trials, takes the result from the cache and trains with the best.
    """
    out = (out or pathlib.Path("runs") / recipe).absolute()
    must_be_plain("--out", out)
    must_be_writable("--out", out)
    found, config, data = checked(recipe, **chosen)
    with local_run(out, verbose) as (local, console):
        options = options_of(
            found, config, data, chosen, root=str(out / "artifacts"), resume_dir=str(out / "training"),
            push_dir=str(out / "serving" / recipe), metadata=str(out / "metadata.sqlite"),
        )  # fmt: skip
        steps = local.run(pipeline_of(options), console, up_to=_STEP)
    results = pathlib.Path(steps[-1].outputs["tuner_results"].uri) / "tuner_results.json"
    click.echo(table(json.loads(results.read_text(encoding="utf-8")), found.judge))


def table(trials: Sequence[dict[str, Any]], judge) -> str:
    """Trials as lines of text, the best by the judge first, and the settings of the best as they were found."""
    trials = sorted(trials, key=lambda trial: trial["score"], reverse=judge.better == "higher")
    head = judge.name.replace("val_", "validation ", 1).replace("_", " ")
    names = [name for name in trials[0] if name not in ("trial_id", "score")]
    width = max(12, *(len(name) + 2 for name in names))
    lines = [head + "".join(f"{name:>{width}}" for name in names)]
    for trial in trials:
        score = f"{trial['score']:{len(head)}.5f}"
        lines.append(score + "".join(f"{_value(trial[name]):>{width}}" for name in names))
    best = " ".join(f"--set {name}={trials[0][name]}" for name in names)
    return "\n".join([*lines, "", f"the best: {best}"])


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
