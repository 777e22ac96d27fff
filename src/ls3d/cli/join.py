"""``ls3d join``: from the segments that shards have made to the output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ls3d.cli._console import ProgressStyle, show_report
from ls3d.enhance.options import WORKSPACE_SUFFIX


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(join)


def join(
    targets: Annotated[list[str], typer.Argument(metavar="OUT...", help="The outputs, as the shards name them.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    progress: Annotated[
        ProgressStyle, typer.Option(help="Show the results as sentences (bar), as JSON lines, or not at all.")
    ] = ProgressStyle.bar,
) -> None:
    """Join the segments that shards have made (--shard of interpolate, upscale, denoise and enhance).

    Example: ls3d join smooth.mkv
    """
    from ls3d.enhance import join_shards

    for target in targets:
        output = Path(target.rstrip("/").removesuffix(WORKSPACE_SUFFIX))
        show_report(join_shards(output, overwrite), progress)
