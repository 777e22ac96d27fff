"""The program ``ls3d``: its commands, and how errors reach the user.

A command's module imports nothing heavy at its top: torch and the rest load when the command runs.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from ls3d._version import __version__
from ls3d.cli import enhance, evaluate, inspect, train
from ls3d.errors import InputError, MissingExtraError

app = typer.Typer(
    help="Make videos smoother, larger and cleaner with learnable-sampling 3D convolution.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (enhance, evaluate, train, inspect):
    module.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        Console().print(f"ls3d {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Options that come before the command."""


def main() -> None:
    """Run the program: a user's mistake becomes one sentence on standard error and exit status 2."""
    try:
        app()
    except (InputError, MissingExtraError, OSError) as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)
