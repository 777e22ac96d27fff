"""Recipes that start from others: ``base: other.yaml``, or a list of files, merged in order.

A base is named relative to the file that names it. Sections are merged key by key at any depth; every other value,
lists included, is replaced by the later one. This is OmegaConf's merge without its interpolation and its own container
types; these few lines, tested by properties, are less than an adapter for it would be.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ls3d.errors import InputError
from ls3d.training.recipe.yaml_text import parse_yaml, read_text, shorten

KEY = "base"
_MOST_BASES = 20


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """``first`` with the values of ``second`` over it; both stay unchanged."""
    merged = dict(first)
    for key, value in second.items():
        earlier = merged.get(key)
        if isinstance(earlier, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(earlier, value)
        else:
            merged[key] = value
    return merged


def read_with_bases(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The values of a recipe file over those of its bases.

    Raises:
        FileNotFoundError: the file does not exist.
        InputError: a base does not exist, a file is not a YAML mapping, ``base`` is not a file name, or bases form a
            cycle.
    """
    return _read(Path(path), ())


def _read(path: Path, descendants: tuple[Path, ...]) -> dict[str, Any]:
    if len(descendants) > _MOST_BASES:
        raise InputError(f"{path} is more than {_MOST_BASES} bases away from the recipe")
    if path.resolve() in descendants:
        raise InputError(f"{path} is its own base, through {' and '.join(file.name for file in descendants)}")
    values = _parse(path)
    names = values.pop(KEY, [])
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: {KEY}: expected a file name or a list of them, got {shorten(names)}")
    merged: dict[str, Any] = {}
    for name in names:
        base = path.parent / name
        if not base.is_file():
            raise InputError(f"{path}: {KEY}: there is no recipe {base}")
        merged = merge(merged, _read(base, (*descendants, path.resolve())))
    return merge(merged, values)


def _parse(path: Path) -> dict[str, Any]:
    values = parse_yaml(read_text(path), str(path))
    if not isinstance(values, dict):
        raise InputError(f"{path} is not a recipe: expected sections such as model, data, optimization")
    return values
