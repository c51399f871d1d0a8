"""The command that shows the recipes: `list`."""

import click


@click.command("list")
def command() -> None:
    """Show the recipes."""
    from rich.console import Console
    from rich.table import Table

    from models.contract import registry

    table = Table("recipe", "family", "takes", "presets", "what it is", box=None, pad_edge=False)
    for recipe in registry.headlines():
        table.add_row(recipe.name, recipe.family, recipe.data, ", ".join(recipe.presets), recipe.summary)
    table.columns[0].no_wrap = True
    Console().print(table)
