"""The command that frees the disk of what nothing needs any more: `gc`."""

import collections
import contextlib

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH, shown
from pipeline.client.tables import aligned, size


@click.command("gc")
@click.argument("out", type=PATH, required=False)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--cache", is_flag=True, help="Remove served forms of released models that earlier code made, too.")
def command(out, dry_run, cache) -> None:
    """Remove from the output folder OUT what no pushed model and no newest run needs.

    These are artifacts of earlier runs and trainings that were given up. Serving folders are never touched, nor is a
    folder in which a run is at work, nor anything outside OUT.
    """
    if not (out or cache):
        raise UserError("wanted is OUT, --cache, or both")
    from pipeline.runners import history, local, waste

    found: list = []
    with contextlib.ExitStack() as held:
        store = None
        if out:
            history.open_store(out)  # a wrong folder is told before a lock is made in it
            held.enter_context(local.locked(out))
            store = history.open_store(out, write=True)
            found += waste.of_run_folder(out, store)
        if cache:
            found += waste.of_released_models()
        total = waste.freed(found)
        rows = [
            (shown(parent), f"{len(paths)} {'to remove' if dry_run else 'removed'}", size(waste.freed(paths)))
            for parent, paths in _by_parent(found).items()
            if waste.freed(paths)  # folders without a file go unsaid
        ]  # fmt: skip
        if not dry_run:
            waste.remove(found, store)
    if rows:
        click.echo(aligned(rows, right=(1, 2)))
    click.echo(f"{'would free' if dry_run else 'freed'} {size(total)}" if rows else "nothing to remove")


def _by_parent(paths) -> dict:
    found = collections.defaultdict(list)
    for path in paths:
        found[path.parent].append(path)
    return found
