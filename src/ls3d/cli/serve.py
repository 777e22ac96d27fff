"""``ls3d serve``: the web page and the REST interface."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ls3d.cli._console import terminable
from ls3d.errors import check_positive
from ls3d.terminal import console
from ls3d.web import Limits, ServeOptions
from ls3d.web import serve as run_server

_OPTIONS = ServeOptions()
_LIMITS = Limits()
_MEGABYTE = 1_000_000

#: The token can be given in this environment variable, where other users of the computer don't see it.
_TOKEN = "LS3D_TOKEN"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(serve)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all networks.")] = _OPTIONS.host,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any.", min=0, max=65535)] = _OPTIONS.port,
    token: Annotated[
        str | None,
        typer.Option(help=f"What clients have to know. ${_TOKEN} sets it without showing it in the list of processes."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Name under which a proxy on this computer makes the server known.")
    ] = None,
    queue: Annotated[int, typer.Option(help="Jobs that may wait or run.", min=1)] = _OPTIONS.queue,
    workers: Annotated[int, typer.Option(help="Jobs that run at the same time.", min=1)] = _OPTIONS.workers,
    keep: Annotated[
        float, typer.Option(help="Seconds after which a job is deleted that nobody asks for.")
    ] = _OPTIONS.keep,
    max_size: Annotated[float, typer.Option(help="Maximum size of an upload in megabytes.")] = _LIMITS.max_size
    / _MEGABYTE,
    max_length: Annotated[float, typer.Option(help="Maximum length of a video in seconds.")] = _LIMITS.max_length,
    max_pixels: Annotated[
        int, typer.Option(help="Maximum number of pixels in a picture of a video or of a result.")
    ] = _LIMITS.max_pixels,
    max_run: Annotated[float, typer.Option(help="Maximum duration of a job in seconds.")] = _LIMITS.max_run,
    preview: Annotated[float, typer.Option(help="Seconds of a video that a preview shows.")] = _LIMITS.preview,
    classifier: Annotated[
        str, typer.Option(metavar="WEIGHTS", help="Weights file, or name, of the network that recognizes actions.")
    ] = _OPTIONS.classifier,
    device: Annotated[str, typer.Option(help="Device of the networks: auto, cpu, cuda, cuda:1, ...")] = _OPTIONS.device,
) -> None:
    """Show a web page on which videos are enhanced and classified, with a REST interface for programs.

    Uploads and results are deleted when the page is left, and when the server stops.

    Example: ls3d serve

    Example: LS3D_TOKEN=$(openssl rand -hex 16) ls3d serve --host 0.0.0.0 --max-length 60
    """
    check_positive(max_size=max_size)  # before it is rounded
    limits = Limits(round(min(max_size * _MEGABYTE, sys.maxsize)), max_length, max_pixels, max_run, preview)
    options = ServeOptions(
        host=host,
        port=port,
        token=token or os.environ.get(_TOKEN) or None,
        allowed_hosts=tuple(allow_host or ()),
        queue=queue,
        workers=workers,
        keep=keep,
        device=device,
        classifier=classifier,
        limits=limits,
    )

    def show_address(address: str) -> None:
        console().print(f"ls3d is at {address} (stop it with Ctrl-C)", soft_wrap=True)

    with terminable():
        run_server(options, show_address)
