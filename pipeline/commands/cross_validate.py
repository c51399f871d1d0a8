"""The command that cross-validates a recipe of recordings: `cross-validate`."""

import pathlib
from collections.abc import Mapping
from typing import Any

import click

from pipeline.arguments.given import checked, max_unreadable_option, preset_option, recipe_argument, set_option
from pipeline.arguments.paths import PATH, must_be_plain, must_be_writable


@click.command("cross-validate")
@recipe_argument
@click.option("--data", type=PATH, help="Folder or archive of recordings, as for `run`.")
@click.option("--dataset", help="Data set of recordings instead. [default: ecg_sample]")
@click.option("--folds", default=5, show_default=True, type=click.IntRange(2), help="Parts, each the test set once.")
@click.option("--parallel", default=1, show_default=True, type=click.IntRange(1), help="Folds at a time.")
@preset_option
@set_option
@max_unreadable_option
@click.option("--out", type=PATH, help="Where results and unfinished folds go. [default: runs/RECIPE-folds]")
def command(recipe, folds, parallel, max_unreadable, out, **chosen) -> None:
    """Train and test RECIPE on each of several parts of the recordings in turn.

    Training, validation and test splits of the data are pooled and dealt anew, class by class. The same command goes on
    where it was stopped; finished folds are not done again.
    """  # fmt: skip
    out = (out or pathlib.Path("runs") / f"{recipe}-folds").absolute()
    must_be_plain("--out", out)
    must_be_writable("--out", out)
    found, config, (dataset, folder, digest) = checked(recipe, **chosen)
    from components.evaluation import cross_validation
    from pipeline.runners import local

    with local.locked(out), local.logs_to(out / "run.log", False):
        plan = cross_validation.plan_of(
            found, config, dataset=dataset, folder=folder, digest=digest, folds=folds, out=str(out),
            max_unreadable=max_unreadable,
        )  # fmt: skip
        results = cross_validation.run(plan, parallel, click.echo)
    click.echo(table(results))
    click.echo(f"\n{out / cross_validation.RESULTS}")


def table(results: Mapping[str, Any]) -> str:
    """The results as lines of text, a fold a line, with mean and standard deviation below."""
    names = results["names"]
    keys = ("challenge_f1", *(f"f1/{name}" for name in names), "accuracy")
    heads = ("challenge F1", *(f"F1 {name}" for name in names), "accuracy")
    lines = [f"{'fold':8}{'recordings':>12}" + "".join(f"{head:>14}" for head in heads)]
    for row in results["folds"]:
        values = (row["challenge_f1"], *(row["f1"].get(name) for name in names), row["accuracy"])
        lines.append(f"{row['fold']:<8}{row['recordings']:12,}" + "".join(f"{_number(v):>14}" for v in values))
    for title in ("mean", "spread"):
        cells = "".join(f"{('± ' if title == 'spread' else '') + _number(results[title][key]):>14}" for key in keys)
        lines.append(f"{title:8}{'':12}{cells}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
