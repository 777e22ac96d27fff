"""``ls3d train`` and ``ls3d reproduce``: run a recipe, or all recipes of one of the paper's tables."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(train)
    app.command()(reproduce)


def train(
    recipe: Path = typer.Argument(help="A YAML recipe; see the folder recipes/."),
    overrides: list[str] = typer.Argument(None, help="Values to change, as section.key=value."),
    restart: bool = typer.Option(False, "--restart", help="Begin anew even if a checkpoint is there."),
) -> None:
    """Train a network as a recipe says; run again after a stop, it goes on.

    Example: ls3d train recipes/vfi/bundled.yaml data.root=clips optimization.steps=1000
    """
    from ls3d.training import load_recipe
    from ls3d.training import train as run

    _quiet()
    weights = run(load_recipe(recipe, overrides or ()), resume=not restart)
    Console().print(f"Weights: {weights}", highlight=False)


def _quiet() -> None:
    """Lightning's notices about devices and its makers' products stay away; its warnings don't."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)


def reproduce(
    table: Annotated[str, typer.Argument(help="table2, table3, table4, table5, table6 or table7.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Values to change in the recipes of all rows, as section.key=value.")
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="A few clips and minutes, instead of the paper's data and sizes.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="How often each row is trained.")] = 3,
    clips: Annotated[Path | None, typer.Option(help="The folder of training clips.")] = None,
    test: Annotated[
        Path | None, typer.Option(help="The published test set; otherwise held-out clips are measured.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result there.", dir_okay=False)] = None,
    recipes: Annotated[Path, typer.Option(help="The folder of recipes.")] = Path("recipes"),
    output: Annotated[Path, typer.Option(help="Where the runs are kept.")] = Path("runs/reproduce"),
) -> None:
    """Train all rows of a table of the LS3D-Conv paper and print it with ours beside; stopped, it goes on.

    Example: ls3d reproduce table2 --small --clips my_clips --json table2.json
    """
    from ls3d.errors import InputError
    from ls3d.reproduce import reproduce as run

    if json is not None and not json.parent.is_dir():
        raise InputError(f"{json} can't be written: there is no folder {json.parent}")
    _quiet()
    console = Console(stderr=True)
    result = run(
        table,
        overrides or (),
        small=small,
        seeds=seeds,
        clips=clips,
        test=test,
        recipes=recipes,
        output=output,
        progress=lambda done, total, name: console.print(f"run {done + 1} of {total}: {name}", highlight=False),
    )
    if json is not None:
        result.save(json)
    result.show()
