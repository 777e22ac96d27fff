"""The configuration that some training programs store in their checkpoints, as text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ls3d.errors import InputError
from ls3d.models.metadata import Preprocessing
from ls3d.models.untrusted import Placeholder

_KEYS = ("cfg", "config")
_NUMBER = r"[-+]?[\d.]+(?:[eE][-+]?\d+)?"
_NUMBERS = re.compile(_NUMBER)


def configuration(root: Mapping[str, Any]) -> str:
    """Return the text of the configuration, ``""`` if the checkpoint has none.

    SlowFast stores it under ``cfg`` (YAML), mmaction2 under ``meta.cfg`` (Python).
    """
    meta = root.get("meta")
    if isinstance(meta, Placeholder):
        meta = meta.items
    places = [root, meta] if isinstance(meta, Mapping) else [root]
    texts = (place.get(key) for place in places for key in _KEYS)
    return next((text for text in texts if isinstance(text, str)), "")


def choice(text: str, key: str, values: Mapping[str, Any]) -> Any:
    """Return what stands for the value of a key; None if the text doesn't have the key.

    Args:
        text: YAML (``key: value``) or Python (``key=value``).
        key: the last part of the key.
        values: by the words of the project.

    Raises:
        InputError: the value is another word.
    """
    match = re.search(rf"\b{key}['\"]?\s*[:=]\s*['\"]?(\w+)", text)
    if match is None:
        return None
    if match[1] not in values:
        raise InputError(f"the configuration in the checkpoint has {key} {match[1]}, expected {' or '.join(values)}")
    return values[match[1]]


def numbers(text: str, key: str) -> tuple[float, ...] | None:
    """Return the list of numbers of a key, in brackets or as a YAML list; None if the text doesn't have the key."""
    match = re.search(rf"\b{key}['\"]?\s*[:=]\s*\[([^\]]*)\]", text) or re.search(
        rf"\b{key}:[ \t]*\n((?:[ \t]*- {_NUMBER}[ \t]*(?:\n|$))+)", text
    )
    if match is None:
        return None
    values = tuple(float(number) for number in _NUMBERS.findall(match[1].replace("- ", " ")))
    return values if len(values) == 3 else None


def normalization(text: str, usual: Preprocessing, keys: tuple[str, str]) -> tuple[Preprocessing, bool]:
    """Return how inputs are normalized, and whether the configuration says so.

    Args:
        text: the configuration.
        usual: returned if it doesn't say so.
        keys: of mean and standard deviation.
    """
    mean, std = (numbers(text, key) for key in keys)
    if mean is None or std is None or not all(std):
        return usual, False
    return Preprocessing(mean, std, usual.value_range, usual.channels), True
