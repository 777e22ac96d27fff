"""``ls3d compare``: a few frames of a video by several networks, with the time that each would take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ls3d.enhance.options import EnhanceOptions, Precision
from ls3d.enhance.texts import read_fraction
from ls3d.terminal import console


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(compare)


def compare(
    source: Annotated[str, typer.Argument(metavar="IN", help="A video, or a folder of images.")],
    target: Annotated[
        str | None, typer.Argument(metavar="[OUT]", help="The folder to create. By default, IN_compared.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="SECONDS", help="Time of the first frame. By default, the middle.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A network's name, or its weights file; may be repeated. By default, the usual ones."),
    ] = None,
    frames: Annotated[int, typer.Option(help="Number of frames of the source.")] = 12,
    seconds: Annotated[float, typer.Option(help="Time for each network; one frame at least is made.")] = 20.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    precision: Annotated[Precision, typer.Option(help="Floating-point type of the networks.")] = "float32",
    tile: Annotated[int | None, typer.Option(help="Maximum side of a tile, in source pixels.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files of an earlier comparison.")] = False,
) -> None:
    """Show a few frames of a video by several networks, and how long the whole video would take.

    Writes a picture of all results beside each other, an animated one for each task, and the times as JSON.

    Example: ls3d compare film.mkv --at 12.5
    """
    from rich.table import Table
    from rich.text import Text

    from ls3d.enhance import compare as run
    from ls3d.enhance.comparison import format_seconds

    folder = Path(target) if target is not None else Path(f"{Path(source).stem or 'video'}_compared")
    options = EnhanceOptions(device=device, precision=precision, tile=tile, overwrite=overwrite)
    errors = console(stderr=True)
    made = run(
        source,
        folder,
        at=read_fraction(at, "at"),
        models=model or (),
        frames=frames,
        seconds=seconds,
        options=options,
        started=lambda task, name: errors.print(Text(f"{task}: {name}"), soft_wrap=True),
    )
    table = Table("task", "network", "a frame", "the whole video", box=None)
    for trial in made.trials:
        times = format_seconds(trial.frame_seconds), format_seconds(trial.whole_seconds)
        table.add_row(trial.task, Text(trial.model), *times)
    console().print(table)
    console().print(Text(f"{made.sheet} and {', '.join(path.name for path in made.clips)}"), soft_wrap=True)
