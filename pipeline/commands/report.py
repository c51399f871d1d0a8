"""The command that makes the page of a run anew: `report`."""

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH


@click.command("report")
@click.argument("run", type=PATH)
def command(run):
    """Rebuild RUN/report.html from what the run measured (RUN/report.json)."""
    from components.report import build

    try:
        click.echo(build.rebuild(run))
    except (FileNotFoundError, ValueError) as error:
        raise UserError(str(error)) from error
