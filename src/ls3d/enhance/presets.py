"""Presets: names for sets of arguments and options of ``ls3d.enhance.enhance``. This module imports nothing heavy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Any

from ls3d.enhance.options import QUALITIES, EnhanceOptions
from ls3d.errors import InputError

#: Arguments of ``ls3d.enhance.enhance`` and fields of ``EnhanceOptions``, by preset.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "old-family-video": {"sigma": "auto", "fit": (1920, 1080), "fps": 60},
    "phone": {"sigma": "auto", "fps": 60},
    "anime": {"scale": 2, "factor": 2, "dedup": "auto"},
    "slow-motion": {"factor": 4, "slow_motion": True, "interpolation_model": QUALITIES["best"]},
}

#: For an argument that is given, those of a preset that can't be combined with it.
_EXCLUDED = {
    **{size: {"scale", "width", "height", "fit"} for size in ("scale", "width", "height", "fit")},
    "factor": {"fps"},
    "fps": {"factor", "slow_motion"},
    "slow_motion": {"fps"},
}


_OPTIONS = EnhanceOptions()
_OPTION_NAMES = frozenset(option.name for option in fields(EnhanceOptions))


def with_preset(
    name: str,
    given: Mapping[str, Any],
    options: EnhanceOptions = _OPTIONS,
    given_options: Collection[str] | None = None,
) -> dict[str, Any]:
    """Arguments of ``ls3d.enhance.enhance`` from a preset and from the caller, which take precedence::

        enhance.enhance("in.mp4", "out.mp4", **enhance.with_preset("phone", {"factor": 2}))

    Arguments of the preset that can't be combined with a given one, such as another size, are left out.

    Args:
        name: of the preset.
        given: arguments; those that are None or False are not given.
        options: of the call.
        given_options: names of the options that the preset doesn't change; by default, those with other values than
            their defaults.

    Raises:
        InputError: there is no such preset.
    """
    if name not in PRESETS:
        raise InputError(f"{name}: expected {', '.join(PRESETS)}", argument="preset")
    if given_options is None:
        given_options = {each for each in _OPTION_NAMES if getattr(options, each) != getattr(_OPTIONS, each)}
    explicit = {key for key, value in given.items() if value is not None and value is not False}
    excluded = explicit.union(given_options, *(_EXCLUDED.get(key, set()) for key in explicit))
    preset = {key: value for key, value in PRESETS[name].items() if key not in excluded}
    changed = {key: preset.pop(key) for key in _OPTION_NAMES & preset.keys()}
    return {**given, **preset, "options": replace(options, **changed)}
