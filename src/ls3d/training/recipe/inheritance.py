"""Recipes that stand on others: ``base: other.yaml`` names what one starts from, so that a table's row is a few lines.

A base is named relative to the file that names it; several (a list) are merged in order. Sections merge key by key,
at any depth; every other value (a list, too) is replaced by the later one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ls3d.errors import InputError

KEY = "base"


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """``first`` overlaid by ``second``; neither is changed."""
    merged = dict(first)
    for key, value in second.items():
        known = merged.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(known, value) if both else value  # type: ignore[arg-type]
    return merged


def read_with_bases(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The values of a recipe file over those of its bases.

    Raises:
        FileNotFoundError: the file or a base is not there.
        InputError: a file is not YAML or not a mapping, ``base`` is not a file name, or bases go round in a circle.
    """
    return _read(Path(path), ())


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in above:
        raise InputError(f"{path} is its own base, through {' and '.join(file.name for file in above)}")
    values = _parse(path)
    names = values.pop(KEY, [])
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: {KEY}: expected a file name or a list of them, got {names!r}")
    merged: dict[str, Any] = {}
    for name in names:
        base = path.parent / name
        if not base.is_file():
            raise InputError(f"{path}: {KEY}: there is no recipe {base}")
        merged = merge(merged, _read(base, (*above, path.resolve())))
    return merge(merged, values)


def _parse(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} is not a recipe: expected sections such as model, data, optimization")
    return values
