"""The program ``ls3d``: its commands, and how errors reach the user.

A command's module imports nothing heavy at its top: torch and the rest load when the command runs.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from ls3d._version import __version__
from ls3d.cli import doctor, enhance, evaluate, inspect, train
from ls3d.errors import InputError, MissingExtraError

app = typer.Typer(
    help="Make videos smoother, larger and cleaner with learnable-sampling 3D convolution.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (enhance, evaluate, train, inspect, doctor):
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
        Console(stderr=True).print(f"[bold red]error:[/] {escape(_sentence(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _sentence(error: Exception) -> str:
    """What happened to what; the system's own errors put the file last and a number first."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error)
