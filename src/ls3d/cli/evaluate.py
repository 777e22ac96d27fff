"""``ls3d evaluate``: measure a network under a published protocol."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ls3d.terminal import console


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(evaluate)


def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(help="Name of a model (vfi, blend, bicubic, ...) or a weights file.", show_default=False),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Name of a protocol, such as ucf101 or vid4-bi-y; see --list.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the protocol's data set.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the scores to this file.", dir_okay=False)] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures to this file.", dir_okay=False)] = None,
    device: Annotated[str, typer.Option(help="Device that runs the model: auto, cpu, cuda, cuda:1, ...")] = "auto",
    restart: Annotated[bool, typer.Option("--restart", help="Measure all clips again.")] = False,
    list_protocols: Annotated[bool, typer.Option("--list", help="List the protocols and their data sets.")] = False,
) -> None:
    """Measure a model as papers do, and print the published table with its row.

    With --json, an evaluation that was interrupted is resumed when the same command runs again.

    Example: ls3d evaluate vfi --protocol ucf101 --data ucf101_interp_ours --json vfi-ucf101.json
    """
    from ls3d.errors import InputError
    from ls3d.evaluation import evaluate as run
    from ls3d.evaluation.table import show, show_protocols

    if list_protocols:
        show_protocols()
        return
    if model is None or protocol is None or data is None:
        raise InputError("expected ls3d evaluate MODEL --protocol NAME --data DIR; --list shows the protocols")
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = console(stderr=True)
    bar = Progress(*columns, console=shown, transient=True)
    # Elsewhere than on a terminal, Rich shows an empty line instead of a bar.
    with bar if shown.is_terminal else contextlib.nullcontext():
        task = bar.add_task("opening", total=None)
        report = run(
            model,
            protocol,
            data,
            json_path=json,
            html_path=html,
            device=device,
            resume=not restart,
            progress=lambda done, total, clip: bar.update(task, completed=done, total=total, description=clip),
        )
    show(report)
