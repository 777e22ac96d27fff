"""``ls3d batch``: many videos, from a CSV file or a folder, by several processes or a cluster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ls3d.cli._cluster import cluster_option, run_and_show
from ls3d.cli._console import ProgressStyle
from ls3d.cli._file_list import find_pairs
from ls3d.errors import InputError

if TYPE_CHECKING:
    from ls3d.cluster import Call


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(batch)


def batch(
    jobs: Annotated[
        str,
        typer.Argument(
            metavar="JOBS.csv|IN",
            help="A CSV file with the columns command, input and output, and columns named like options; or a folder "
            "of videos, or a quoted pattern.",
        ),
    ],
    target: Annotated[str | None, typer.Argument(metavar="OUT", help="The folder of the outputs, for IN.")] = None,
    command: Annotated[
        str, typer.Option(help="For IN: interpolate, upscale, denoise, enhance or classify.")
    ] = "interpolate",
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="For IN: an option of the command, such as factor=4.")
    ] = None,
    cluster: Annotated[str | None, cluster_option(" By default, a process for each GPU, or one.")] = None,
    cpus: Annotated[float, typer.Option(help="Cores that a worker needs for a segment, in a Ray cluster.", min=0)] = 1,
    gpus: Annotated[
        float,
        typer.Option(help="GPUs that it needs, such as 0.5; by default, one if the cluster has any.", min=0),
    ] = 0,
    progress: Annotated[
        ProgressStyle, typer.Option(help="Show a bar, JSON lines for programs, or nothing, on standard error.")
    ] = ProgressStyle.bar,
) -> None:
    """Enhance or classify many videos. The same command again resumes what is unfinished.

    Inputs and outputs are paths that all workers see, or URLs such as s3://BUCKET/NAME. A video that fails doesn't stop
    the others.

    Example: ls3d batch jobs.csv --cluster 4

    Example: ls3d batch clips smooth --command interpolate --option factor=4 --cluster auto
    """
    from ls3d.cluster import read_batch

    if target is None:
        if command != "interpolate" or option:
            raise InputError(f"{jobs}: commands and options are in the CSV file; expected IN and OUT with --option")
        calls = read_batch(Path(jobs))
    else:
        calls = _folder_calls(jobs, target, command, option or [], progress)
    if not calls:
        raise InputError(f"{jobs}: no videos in it")
    run_and_show(calls, cluster or "0", progress, cpus, gpus)


def _folder_calls(source: str, target: str, command: str, options: list[str], style: ProgressStyle) -> list[Call]:
    from ls3d.cluster import make_call

    pairs = find_pairs(source, target, style)
    if pairs is None:
        raise InputError(f"{source}: expected a CSV file, a folder of videos, or a pattern")
    texts = {}
    for each in options:
        name, equals, value = each.partition("=")
        if not equals:
            raise InputError(f"{each}: expected NAME=VALUE", argument="option")
        name = name.strip().replace("-", "_")
        if name in texts:
            raise InputError(f"{each}: {name} is given twice", argument="option")
        texts[name] = value.strip()
    if command == "classify":
        pairs = [(video, output.with_name(f"{output.name}.json")) for video, output in pairs]
    return [make_call(command, os.fspath(video), os.fspath(output), texts) for video, output in pairs]
