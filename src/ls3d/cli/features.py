"""``ls3d features``: one vector for each video of a set."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ls3d.files import check_folder_of
from ls3d.terminal import console


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(features)


def features(
    model: Annotated[str, typer.Argument(help="Weights file, or name of a recognition network.")],
    data: Annotated[Path, typer.Argument(help="Folder of videos by class, LABEL/VIDEO, or CSV file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, .npz.", dir_okay=False)],
    layer: Annotated[
        str | None, typer.Option(help="Layer whose output is taken, such as fc6; default: the classifier's inputs.")
    ] = None,
    overlap: Annotated[float, typer.Option(help="Share of a clip that the next one shows again.")] = 0.5,
    device: Annotated[str, typer.Option(help="Device that runs the model: auto, cpu, cuda, cuda:1, ...")] = "auto",
) -> None:
    """Compute features of videos: the mean of a layer's output over overlapping clips, divided by its length.

    Example: ls3d features weights.safetensors videos --output features.npz
    """
    from ls3d.errors import InputError
    from ls3d.recognition import extract_features

    if output.suffix != ".npz":
        raise InputError(f"{output}: expected the suffix .npz", argument="output")
    check_folder_of(output, "output")
    name = TextColumn("{task.description}", markup=False)
    shown = console(stderr=True)
    bar = Progress(name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=shown, transient=True)
    with bar if shown.is_terminal else contextlib.nullcontext():
        task = bar.add_task("opening", total=None)
        found = extract_features(
            model,
            data,
            layer,
            overlap=overlap,
            device=device,
            progress=lambda done, total, video: bar.update(task, completed=done, total=total, description=video),
        )
    found.save(output)
    count, dimensions = found.values.shape
    console().print(f"Features: {output} ({count} videos, {dimensions} dimensions)", soft_wrap=True)
