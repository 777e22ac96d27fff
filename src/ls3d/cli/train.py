"""``ls3d train``: run a recipe."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(train)


def train(
    recipe: Path = typer.Argument(help="A YAML recipe; see the folder recipes/."),
    overrides: list[str] = typer.Argument(None, help="Values to change, as section.key=value."),
    restart: bool = typer.Option(False, "--restart", help="Begin anew even if a checkpoint is there."),
) -> None:
    """Train a network as a recipe says; run again after a stop, it goes on.

    Example: ls3d train recipes/vfi/bundled.yaml data.root=clips optimisation.steps=1000
    """
    from ls3d.training import load_recipe
    from ls3d.training import train as run

    weights = run(load_recipe(recipe, overrides or ()), resume=not restart)
    Console().print(f"Weights: {weights}", highlight=False)
