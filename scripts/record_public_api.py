"""Write docs/reference/public-api.txt: every name, parameter, command, option and network that users may rely on.

    python scripts/record_public_api.py

tests/test_public_api.py fails while the file and the package differ. So nothing public changes by accident, and every
change that is meant stands in the diff of this file.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import typer
from typer.core import TyperGroup

from ls3d.cli.main import app
from ls3d.models import list_models

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "reference" / "public-api.txt"

HEAD = """\
# Everything public: names and parameters in Python, commands and options, networks.
# Written by scripts/record_public_api.py. [x] has a default value.
"""

STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def text() -> str:
    """The whole file."""
    return "\n".join([HEAD, *python(), "", *commands(), "", *(f"network {name}" for name in list_models()), ""])


def packages() -> list[str]:
    """The modules that the reference documents."""
    pages = (FILE.parent / "index.md").read_text(encoding="utf-8")
    return sorted(set(re.findall(r"`(ls3d(?:\.\w+)?)`", pages)))


def python() -> Iterator[str]:
    """A line for each public function, class, method, attribute and constant."""
    for package in packages():
        module = importlib.import_module(package)
        for name in sorted(public_names(module)):
            value = getattr(module, name)
            if not isinstance(value, ModuleType):
                yield from described(f"{package}.{name}", value)


def public_names(module: ModuleType) -> list[str]:
    """Names in ``__all__``, or those that the module defines."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def described(name: str, value: Any) -> Iterator[str]:
    """The lines of one name."""
    if inspect.isclass(value):
        yield f"{name}{parameters(value)}" if has_own_constructor(value) else name
        if issubclass(value, Enum):
            yield from (f"{name}.{each.name}" for each in value)
        else:
            for member in sorted(members(value)):
                found = inspect.getattr_static(value, member, None)  # None: a field without a default value
                function = getattr(found, "__func__", found)
                yield f"{name}.{member}{parameters(function) if inspect.isfunction(function) else ''}"
    elif inspect.isroutine(value):
        yield f"{name}{parameters(value)}"
    else:
        yield name


def has_own_constructor(value: type) -> bool:
    """Whether the parameters of the constructor are ours: those of protocols and errors are Python's."""
    defined_in = getattr(inspect.getattr_static(value, "__init__"), "__module__", "builtins")
    return not getattr(value, "_is_protocol", False) and str(defined_in).startswith("ls3d")


def members(value: type) -> set[str]:
    """Public methods, properties and fields of a class that are defined in ls3d."""
    found = set()
    for base in value.__mro__:
        if base.__module__.startswith("ls3d"):
            found |= {name for name in [*vars(base), *inspect.get_annotations(base)] if name[0] != "_"}
    return found - {"training"}  # of nn.Module


def parameters(function: Any) -> str:
    """Names of the parameters; those with a default value in brackets."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some classes of C extensions
        return "(...)"
    shown = []
    only_by_name = False
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not only_by_name:
            shown.append("*")
            only_by_name = True
        only_by_name = only_by_name or parameter.kind is parameter.VAR_POSITIONAL
        name = STARS.get(parameter.kind, "") + parameter.name
        shown.append(name if parameter.default is parameter.empty else f"[{name}]")
    return f"({', '.join(shown)})"


def commands() -> Iterator[str]:
    """A line for each command, argument and option."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    yield from command_lines("ls3d", group)


def command_lines(name: str, command: Any) -> Iterator[str]:
    """The lines of a command and those below it."""
    yield name
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            yield f"{name} {parameter.name.upper()}"
        elif not parameter.hidden:
            yield f"{name} {' '.join([*parameter.opts, *parameter.secondary_opts])}"
    for child in getattr(command, "commands", {}).values():
        yield from command_lines(f"{name} {child.name}", child)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
