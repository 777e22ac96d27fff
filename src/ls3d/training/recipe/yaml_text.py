"""YAML from files and arguments, within limits of size, nesting and aliases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ls3d.errors import InputError

_LARGEST_FILE = 1 << 20  # bytes
_MOST_VALUES = 100_000  # after the aliases are replaced
_LONGEST_SHOWN = 80


def read_text(path: Path) -> str:
    """Read a file.

    Raises:
        OSError: it can't be read.
        InputError: it is not text, or too large for a recipe.
    """
    with path.open("rb") as file:
        content = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise InputError(f"{path} is not a recipe: it has more than {_LARGEST_FILE:,} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a recipe: it is not text in UTF-8") from error


def parse_yaml(text: str, source: str) -> Any:
    """Parse YAML to plain data.

    Args:
        text: one document.
        source: where it is from, for error messages.

    Raises:
        InputError: it is not YAML, or its aliases stand for more values than a recipe has.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None and _count(node, {}) > _MOST_VALUES:
            raise InputError(f"{source} is not a recipe: its aliases stand for more than {_MOST_VALUES:,} values")
        return yaml.safe_load(text)
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError, TypeError) as error:
        raise InputError(f"{source} is not YAML: {shorten(' '.join(str(error).split()), 300)}") from error
    except RecursionError as error:
        raise InputError(f"{source} is not YAML: it is nested too deeply") from error


def shorten(value: object, longest: int = _LONGEST_SHOWN) -> str:
    """Return a value as text of a bounded length."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values below a node as if every alias were written out.

    Args:
        node: the node.
        known: counts of the nodes that were visited, by id; infinite for those that contain this one.
    """
    if id(node) not in known:
        known[id(node)] = _MOST_VALUES + 1  # while it is open: an alias inside it refers to itself
        children: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            children = node.value
        elif isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_count(child, known) for child in children)
    return known[id(node)]
