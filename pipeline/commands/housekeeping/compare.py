"""The command that puts two models side by side: `compare`."""

import pathlib

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH, shown
from pipeline.client.tables import aligned, size


@click.command("compare")
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
def command(a, b) -> None:
    """Put two models side by side: their figures, the options in which they differ, their sizes.

    A and B are each a pushed model, a serving folder (its newest model), or the --out folder of a run (what its newest
    run came to), OUT@BEGAN for another of its runs, as `runs` lists them. Figures come from the folder of the run.
    """
    sides = [_side(path) for path in (a, b)]
    recipes = [about["recipe"] for about, *_ in sides]
    rows = [("", "A", "B", "B - A"), ("recipe", *recipes, "")]
    figures = [found for _, _, found in sides]
    for name in dict.fromkeys([*figures[0], *figures[1]]):
        pair = [found.get(name) for found in figures]
        change = "" if None in pair else f"{pair[1] - pair[0]:+.4f}"
        rows.append((name, *("-" if value is None else f"{value:.4f}" for value in pair), change))
    totals = [_bytes(folder) for _, folder, _ in sides]
    rows.append(("size", *map(size, totals), f"{totals[1] / totals[0] - 1:+.1%}"))
    options = [about["config"] for about, *_ in sides]
    for name in sorted(options[0].keys() | options[1].keys()):
        pair = [_shown(found, name) for found in options]
        if pair[0] != pair[1]:
            rows.append((name, *pair, ""))
    click.echo(aligned(rows, right=(1, 2, 3)))
    for path, found in zip((a, b), figures, strict=True):
        if not found:
            click.echo(f"{shown(path)}: no figures are left of it (they lie in the --out folder of its run)")


def _side(path: pathlib.Path) -> tuple[dict, pathlib.Path, dict[str, float]]:
    """What a model says of itself, its folder, its figures."""
    from models.publishing import pushed

    folder, began = path, ""
    if not path.exists() and "@" in path.name:
        name, _, began = path.name.rpartition("@")
        folder = path.with_name(name) if name else path.parent
    if not folder.is_dir():
        raise UserError(f"{shown(path)}: no such folder")
    from pipeline.runners import history

    if (folder / history.STORE).is_file():
        return _of_run(path, folder, began)
    folder = pushed.newest(str(folder)).absolute()
    try:
        about = pushed.describe(str(folder))
    except FileNotFoundError as error:
        raise UserError(f"{shown(path)}: neither a pushed model nor the --out folder of a run") from error
    except ValueError as error:
        raise UserError(f"{shown(path)}: what the model says of itself is damaged ({error})") from error
    out = folder.parents[min(2, len(folder.parents) - 1)]  # OUT/serving/RECIPE/VERSION
    runs = history.runs_of(out) if (out / history.STORE).is_file() else []
    figures = (run.figures() for run in runs if run.pushed and pathlib.Path(run.pushed) == folder)
    return about, folder, next(figures, {})


def _of_run(path: pathlib.Path, out: pathlib.Path, began: str) -> tuple[dict, pathlib.Path, dict[str, float]]:
    from models.publishing import pushed
    from pipeline.runners import history

    runs = [run for run in history.runs_of(out) if run.when.startswith(began)]
    made = [run for run in runs if run.model]
    if not made:
        raise UserError(f"{shown(path)}: no model is left of {'such a run' if began else 'its runs'}; see `runs`")
    return pushed.describe(str(made[0].model)), made[0].model, made[0].figures()


def _shown(options: dict, name: str) -> str:
    return str(options[name]) if options.get(name, "") != "" else "-"


def _bytes(folder: pathlib.Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
