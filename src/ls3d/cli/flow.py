"""``ls3d flow``: the optical flow of a video."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ls3d.files import check_folder_of
from ls3d.terminal import console


class Method(StrEnum):
    """How flow is computed."""

    dis = "dis"
    farneback = "farneback"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(flow)


def flow(
    video: Annotated[Path, typer.Argument(help="Video file.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="File to write: arrays (.npz), or a video that shows the flow.", dir_okay=False
        ),
    ],
    method: Annotated[Method, typer.Option(help="DIS, or Farneback's method.")] = Method.dis,
    fps: Annotated[float, typer.Option(help="Frames per second between which flow is computed.", min=0.01)] = 15.0,
    short_side: Annotated[int | None, typer.Option(help="Scale frames down to this shorter side.", min=16)] = None,
    largest: Annotated[float, typer.Option(help="Pixels per frame that are shown in full color.", min=0.01)] = 20.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Compute the optical flow of a video by OpenCV.

    Example: ls3d flow holiday.mp4 --output flow.npz --fps 15

    Example: ls3d flow holiday.mp4 --output flow.mp4
    """
    from ls3d.errors import OutputExistsError
    from ls3d.recognition import write_flow

    check_folder_of(output, "output")
    if output.exists() and not overwrite:
        raise OutputExistsError(output)
    count = write_flow(video, output, method=method.value, fps=fps, short_side=short_side, largest=largest)
    console().print(f"Flow: {output} ({count} fields)", soft_wrap=True)
