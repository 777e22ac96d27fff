"""``ls3d shards make``: labeled videos in a few large files, for trainings that read shared storage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ls3d.enhance.texts import read_bytes
from ls3d.errors import InputError
from ls3d.terminal import console, one_line

shards = typer.Typer(help="Write labeled videos into shards, tar files as webdataset reads them.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.add_typer(shards, name="shards")


@shards.callback()
def about() -> None:
    """Write labeled videos into shards, tar files as webdataset reads them."""


@shards.command()
def make(
    root: Annotated[
        Path, typer.Argument(metavar="VIDEOS", help="A folder or a CSV file of labeled videos, as for ls3d train.")
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of the shards; data.root of a recipe.")],
    size: Annotated[str, typer.Option(metavar="BYTES[K|M|G]", help="Size of a shard.")] = "256M",
) -> None:
    """Write the files of labeled videos into shards. The same command resumes after an interruption.

    Example: ls3d shards make kinetics/train kinetics_shards --size 1G
    """
    from ls3d.data.labeled import open_labeled_set
    from ls3d.data.shards import make_shards

    shard_bytes = read_bytes(size, "size")
    if not shard_bytes or shard_bytes < 1:
        raise InputError(f"{size}: expected at least 1 byte", argument="size")
    labeled = open_labeled_set(root)
    shown = console(stderr=True)

    def show(done: int, total: int) -> None:
        shown.print(f"{done} of {total} shards", end="\r" if shown.is_terminal else "\n")

    count = make_shards(labeled, target, shard_bytes, show)
    shown.print(f"{one_line(str(target))}: {len(labeled.videos)} videos in {count} shards", soft_wrap=True)
