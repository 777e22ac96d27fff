"""The program ``ls3d``: its commands, and how errors are shown.

The modules of the commands import nothing heavy: torch and other packages are imported when a command runs.
"""

from __future__ import annotations

import os
import sys
import traceback
from types import TracebackType
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperArgument, TyperGroup

from ls3d._version import __version__
from ls3d.allocator import keep_freed_memory
from ls3d.cli import (
    batch,
    classify,
    compare,
    doctor,
    enhance,
    evaluate,
    export,
    features,
    flow,
    inspect,
    join,
    sampling,
    search,
    serve,
    shards,
    train,
    weights,
)
from ls3d.cli._console import INTERRUPTED, shown_warnings
from ls3d.errors import InputError, MissingExtraError, OutputExistsError
from ls3d.terminal import console, escape_unencodable, one_line

#: What Typer raises for arguments that it can't read: a base class that it doesn't export.
_UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    help="Enhance videos (frame rate, resolution, noise) and classify them, with learnable-sampling 3D convolution.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (
    *(enhance, join, batch, compare, classify, evaluate, features, flow, train, shards),
    *(search, inspect, sampling, export, weights, serve, doctor),
):
    module.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        console().print(f"ls3d {__version__}")
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
    keep_freed_memory()
    escape_unencodable()
    sys.excepthook = _show_bug
    shown = console(stderr=True)
    with shown_warnings(shown):
        try:
            status = app(standalone_mode=False)
        except (InputError, MissingExtraError, OSError) as error:
            _fail(shown, sentence(error))
        except _UsageError as error:
            context = error.ctx
            hint = "" if context is None else f" (see {context.command_path} --help)"
            message = error.format_message().replace("Value error, ", "").removesuffix(".")  # Typer's own words
            _fail(shown, f"{message}{hint}")
        except typer.Abort:
            _fail(shown, "stopped", status=1)
        except KeyboardInterrupt:  # before or after Typer runs the command, which handles its own
            status = INTERRUPTED
    if status == INTERRUPTED:  # what Typer makes of Ctrl-C
        shown.print("interrupted", soft_wrap=True)
    if status:
        sys.exit(status)


def _fail(shown: Console, sentence: str, status: int = 2) -> NoReturn:
    shown.print(Text.assemble(("error:", "bold red"), " ", one_line(sentence)), soft_wrap=True)
    sys.exit(status)


def _show_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show the traceback of an uncaught exception, whose message may hold anything."""
    console(stderr=True).print("".join(traceback.format_exception(kind, error, trace)), soft_wrap=True)


def sentence(error: Exception) -> str:
    """What is shown of an error of the user."""
    if isinstance(error, OutputExistsError):
        return f"{os.fspath(error.path)} exists; --overwrite replaces it"
    if isinstance(error, InputError) and error.argument is not None:
        return f"{_flag(error.argument)} {error.message}"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error)


def _flag(argument: str) -> str:
    """What a Python argument is called on the command line; its own name if the command has no such parameter."""
    command = typer.main.get_command(app)
    for word in sys.argv[1:]:
        if isinstance(command, TyperGroup):
            command = command.commands.get(word, command)
    for parameter in command.params:
        if parameter.name == argument:
            is_flag = not isinstance(parameter, TyperArgument)
            return parameter.opts[0] if is_flag else parameter.metavar or argument.upper()
    return argument
