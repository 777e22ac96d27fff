"""Presets: names for sets of arguments of ``ls3d.enhance.enhance``. This module imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ls3d.enhance.options import QUALITIES
from ls3d.errors import InputError

#: Arguments by preset: ``enhance(source, target, **PRESETS["phone"])``.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "old-family-video": {"sigma": "auto", "fit": (1920, 1080), "fps": 60},
    "phone": {"sigma": "auto", "fps": 60},
    "anime": {"scale": 2, "factor": 2},
    "slow-motion": {"factor": 4, "slow_motion": True, "interpolation_model": QUALITIES["best"]},
}

#: For an argument that is given, those of a preset that can't be combined with it.
_EXCLUDED = {
    **{size: {"scale", "width", "height", "fit"} for size in ("scale", "width", "height", "fit")},
    "factor": {"fps"},
    "fps": {"factor", "slow_motion"},
    "slow_motion": {"fps"},
}


def with_preset(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of ``ls3d.enhance.enhance`` from a preset and from the caller, which take precedence.

    Arguments of the preset that can't be combined with a given one, such as another size, are left out.

    Args:
        name: of the preset.
        given: arguments; those that are None or False are not given.

    Raises:
        InputError: there is no such preset.
    """
    if name not in PRESETS:
        raise InputError(f"{name}: expected {', '.join(PRESETS)}", argument="preset")
    explicit = {key for key, value in given.items() if value is not None and value is not False}
    excluded = explicit.union(*(_EXCLUDED.get(key, set()) for key in explicit))
    return {**given, **{key: value for key, value in PRESETS[name].items() if key not in excluded}}
