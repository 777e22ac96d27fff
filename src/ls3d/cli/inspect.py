"""``ls3d models``, ``ls3d summary``, ``ls3d convert``: networks, their cost, their weights."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def models(
    pattern: Annotated[str, typer.Argument(help="A shell pattern such as '*csn*'.")] = "*",
    task: Annotated[
        str | None, typer.Option(help="interpolation, super-resolution, denoising or recognition.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")] = False,
) -> None:
    """List the networks that exist: name, parameters, input, what they do."""
    from dataclasses import asdict

    from ls3d.errors import InputError
    from ls3d.models import list_models, model_info

    names = [name for name in list_models(pattern) if task in (None, model_info(name).task)]
    if not names:
        kind = f" for {task}" if task else ""
        raise InputError(f"no model{kind} matches {pattern!r}; `ls3d models` lists all of them")
    infos = [model_info(name) for name in names]
    if as_json:
        typer.echo(json.dumps([asdict(info) for info in infos], indent=2))
        return
    table = Table("model", "task", "parameters", "input", "description", box=None)
    table.columns[2].justify = "right"
    for info in infos:
        parameters = f"{info.parameters:,}" if info.parameters is not None else ""
        size = "x".join(map(str, info.input_size or ()))
        table.add_row(info.name, info.task, parameters, size, info.description)
    Console().print(table)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the program."""
    app.command()(models)
