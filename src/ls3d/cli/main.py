"""The program ``ls3d``: its commands, and how errors are shown.

The modules of the commands import nothing heavy: torch and other packages are imported when a command runs.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperArgument, TyperGroup

from ls3d._version import __version__
from ls3d.cli import doctor, enhance, evaluate, inspect, train
from ls3d.errors import InputError, MissingExtraError

app = typer.Typer(
    help="Enhance videos (frame rate, resolution, noise) with learnable-sampling 3D convolution.",
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
    """Options before the command."""


def main() -> None:
    """Run the program: an error of the user is shown as one sentence on standard error, with exit status 2."""
    try:
        app()
    except (InputError, MissingExtraError, OSError) as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(_sentence(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _sentence(error: Exception) -> str:
    if isinstance(error, InputError) and error.argument is not None:
        return f"{_flag(error.argument)} {error.message}"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error)


def _flag(argument: str) -> str:
    """What a Python argument is called on the command line; its own name if the command has no such parameter."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    parameters = next((group.commands[word].params for word in sys.argv[1:] if word in group.commands), [])
    for parameter in parameters:
        if parameter.name == argument:
            is_flag = not isinstance(parameter, TyperArgument)
            return parameter.opts[0] if is_flag else parameter.metavar or argument.upper()
    return argument
