"""Overrides from the command line: ``section.key=value``."""

from __future__ import annotations

from typing import Any

import yaml

from ls3d.errors import InputError


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
        raise InputError(f"{override!r} is not an override; expected section.key=value")
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise InputError(f"{override!r}: {section} is not a section of the recipe")
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{override!r}: the value is not YAML") from error
