"""The command that lists what was run: `runs`."""

import click

from pipeline.arguments.paths import PATH, shown
from pipeline.client.tables import aligned


@click.command("runs")
@click.argument("outs", metavar="OUT...", type=PATH, nargs=-1, required=True)
def command(outs) -> None:
    """List the runs of the output folders OUT, the newest first: when, recipe, what came of it, figures, version.

    Figures are those of the test split; they are gone where `gc` has removed an evaluation.
    """
    from pipeline.runners import history

    rows = [("folder", "began", "recipe", "state", "version", "figures")]
    for out in outs:
        found = history.runs_of(out)
        rows += [
            (
                shown(out), run.when.partition(".")[0], run.recipe, run.state,
                run.pushed.rpartition("/")[2] or "-",
                "  ".join(f"{name} {value:.4f}" for name, value in run.figures().items()) or "-",
            )
            for run in found
        ]  # fmt: skip
        if not found:
            rows.append((shown(out), "-", "-", "nothing was run", "-", "-"))
    click.echo(aligned(rows))
