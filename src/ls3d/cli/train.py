"""``ls3d train`` and ``ls3d reproduce``: train one recipe, or all recipes of one of the paper's tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ls3d.files import check_folder_of
from ls3d.terminal import console

Overrides = Annotated[list[str] | None, typer.Argument(help="Values to change, as section.key=value.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(train)
    app.command()(reproduce)


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="YAML recipe; RECIPE.yaml+small reduces it to minutes on a few clips (_small.yaml). "
            "With --data and --model, the first value to change."
        ),
    ] = None,
    overrides: Overrides = None,
    data: Annotated[
        str | None, typer.Option(help="Without a recipe: folder of videos by class, LABEL/VIDEO, or CSV file.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Without a recipe: name of a recognition network, or weights to fine-tune.")
    ] = None,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Start over. Weights that are there become weights.previous.safetensors."),
    ] = False,
) -> None:
    """Train a network as a recipe says, or a classifier of videos from a folder.

    If interrupted, run the same command again to resume, without --restart.

    Example: ls3d train recipes/vfi/bundled.yaml data.root=clips optimization.steps=1000

    Example: ls3d train --data videos --model r2plus1d_18 optimization.steps=1000

    On several GPUs: torchrun --nproc-per-node 4 -m ls3d train recipes/vfi/bundled.yaml
    """
    from ls3d.errors import InputError
    from ls3d.training import OtherTrainingError, load_recipe, recipe_for_videos
    from ls3d.training import train as run
    from ls3d.training.processes import is_main_process

    changes = overrides or []
    if (data is None) != (model is None):
        raise InputError("is missing: --data and --model go together", argument="model" if model is None else "data")
    if data is not None and model is not None:
        checked = recipe_for_videos(data, model, changes if recipe is None else [recipe, *changes])
    elif recipe is not None:
        checked = load_recipe(recipe, changes)
    else:
        raise InputError("expected a recipe, or --data and --model")
    silence_notices()
    try:
        with shown_stop(restart):
            weights = run(checked, resume=not restart)
    except OtherTrainingError as error:
        raise InputError(f"{error} (--restart, or output=FOLDER)") from error
    if is_main_process():
        console().print(f"Weights: {weights}", soft_wrap=True)


@contextmanager
def shown_stop(restart: bool = False) -> Iterator[None]:
    """Show that a signal stopped the training, and exit with 128 plus its number, as shells do.

    Args:
        restart: whether the same command would start over.
    """
    from ls3d.errors import TrainingStoppedError
    from ls3d.training.processes import is_main_process

    try:
        yield
    except TrainingStoppedError as stop:
        if is_main_process():
            command = "the same command without --restart" if restart else "the same command"
            console(stderr=True).print(f"{stop}; {command} resumes", soft_wrap=True)
        raise SystemExit(128 + stop.signal) from stop


def silence_notices() -> None:
    """Hide Lightning's notices about devices and products, but not its warnings."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)


def reproduce(
    table: Annotated[
        str, typer.Argument(help="table2 to table8, gblend, or gblend-kinetics, -epic-noun, -epic-verb, -audioset.")
    ],
    overrides: Overrides = None,
    small: Annotated[
        bool, typer.Option("--small", help="Minutes on a few clips, instead of the paper's data and sizes.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Number of trainings of each row.")] = 3,
    clips: Annotated[
        Path | None, typer.Option(help="Folder of training clips; for table8, of videos by class.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Folder of the published test set; default: held-out clips.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.", dir_okay=False)] = None,
    recipes: Annotated[Path, typer.Option(help="Folder of recipes.")] = Path("recipes"),
    output: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs/reproduce"),
) -> None:
    """Train all rows of a table of the LS3D-Conv paper, or of Gradient-Blending; print them with the published ones.

    If interrupted, run the same command again to resume.

    Example: ls3d reproduce table2 --small --clips my_clips --json table2.json

    Example: ls3d reproduce gblend --clips videos --json gblend.json
    """
    from ls3d.errors import InputError
    from ls3d.reproduce import (
        BLENDING_TABLES,
        TABLES,
        AccuracyReproduction,
        BlendingTable,
        Reproduction,
        reproduce_blending,
    )
    from ls3d.reproduce import reproduce as run
    from ls3d.training.processes import is_main_process

    if json is not None:
        check_folder_of(json, "json")
    silence_notices()
    shown = console(stderr=True)
    changes = overrides or ()

    def progress(done: int, total: int, name: str) -> None:
        shown.print(f"run {done + 1} of {total}: {name}")

    result: Reproduction | AccuracyReproduction | BlendingTable
    with shown_stop():
        if table in BLENDING_TABLES:
            if test is not None:
                raise InputError(f"{test}: {table} is measured on the validation videos of --clips", argument="test")
            result = reproduce_blending(
                table,
                changes,
                small=small,
                seeds=seeds,
                data=clips,
                recipes=recipes,
                output=output,
                progress=progress,
            )
        elif table not in (*TABLES, "table8"):
            raise InputError(f"{table}: expected {', '.join((*TABLES, 'table8', *BLENDING_TABLES))}", argument="table")
        else:
            result = run(
                table,
                changes,
                small=small,
                seeds=seeds,
                clips=clips,
                test=test,
                recipes=recipes,
                output=output,
                progress=progress,
            )
    if not is_main_process():
        return
    if json is not None:
        result.save(json)
    result.show()
