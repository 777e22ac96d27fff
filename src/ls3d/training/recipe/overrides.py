"""Overrides from the command line: ``section.key=value``."""

from __future__ import annotations

from typing import Any

from ls3d.errors import InputError
from ls3d.training.recipe.yaml_text import parse_yaml, shorten


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set one value of a recipe, in place.

    Args:
        values: the recipe.
        override: ``key=value`` or ``section.key=value``, the value in YAML.

    Raises:
        InputError: the override has another form, or names a section that is a plain value.
    """
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"{shorten(override)!r} is not an override; expected section.key=value")
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise InputError(f"{shorten(override)!r}: {section} is not a section of the recipe")
    values[last] = parse_yaml(text, f"the value of {shorten(override)!r}")
