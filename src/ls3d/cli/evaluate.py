"""``ls3d evaluate``: a model under a published protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(evaluate)


def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(help="A model's name (vfi, blend, bicubic, ...) or a weights file.", show_default=False),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="How to measure, for example ucf101 or vid4-bi-y; see --list.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The folder in which the data set lies.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result there.", dir_okay=False)] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures there.", dir_okay=False)] = None,
    device: Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, cuda:1, ...")] = "cpu",
    restart: Annotated[bool, typer.Option("--restart", help="Measure again what is finished.")] = False,
    list_protocols: Annotated[bool, typer.Option("--list", help="List the protocols and their data.")] = False,
) -> None:
    """Measure a model as papers measure, and print their table with its row.

    With --json, an evaluation that is stopped goes on where it stood when the same command runs again.

    Example: ls3d evaluate vfi --protocol ucf101 --data ucf101_interp_ours --json vfi-ucf101.json
    """
    from ls3d.errors import InputError
    from ls3d.evaluation import evaluate as run
    from ls3d.evaluation.table import show, show_protocols

    if list_protocols:
        show_protocols()
        return
    if model is None or protocol is None or data is None:
        raise InputError("say what to measure: ls3d evaluate MODEL --protocol NAME --data DIR (--list lists them)")
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
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
