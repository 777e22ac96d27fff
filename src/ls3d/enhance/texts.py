"""Arguments and options as texts, as they are typed on a command line or written in a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from fractions import Fraction
from typing import Any, get_type_hints

from ls3d.enhance.calls import ARGUMENTS, EnhanceCall, Function
from ls3d.enhance.options import QUALITIES, EnhanceOptions
from ls3d.errors import InputError
from ls3d.video.names import read_encoder_options

#: Numbers of a length that is computed with quickly: Python reads 1e999999999 as an exact fraction.
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,18}/[0-9]{1,18}|[0-9]{0,18}\.?[0-9]{0,18}(?:[eE][+-]?[0-9]{1,2})?)")

#: Examples of numbers for arguments with other ones than "2, 2.5 or 5/2".
_EXAMPLES = {"fps": "60, 23.976 or 60000/1001", "times": "0.5 or 1/3"}

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def read_fraction(text: str | None, argument: str) -> Fraction | None:
    """Read a decimal number or a fraction; None if there is no text.

    Raises:
        InputError: it is not a number.
    """
    if text is None:
        return None
    try:
        if not _NUMBER.fullmatch(text):
            raise ValueError(text)
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        examples = _EXAMPLES.get(argument, "2, 2.5 or 5/2")
        raise InputError(f"{text}: expected a number such as {examples}", argument=argument) from error


def read_bytes(text: str | None, argument: str) -> int | None:
    """Read a number of bytes, which may have a unit; None if there is no text.

    Raises:
        InputError: it is not a number.
    """
    if text is None:
        return None
    unit = text[-1:].upper()
    number = text[:-1] if unit in _UNITS else text
    try:
        return int(float(number) * _UNITS.get(unit, 1))
    except (ValueError, OverflowError) as error:
        raise InputError(f"{text}: expected bytes, or a number with K, M, G or T", argument=argument) from error


def read_size(text: str | None, argument: str) -> tuple[int, int] | None:
    """Read width and height; None if there is no text.

    Raises:
        InputError: they can't be read.
    """
    if text is None:
        return None
    sides = re.fullmatch(r"([0-9]{1,9})[xX×]([0-9]{1,9})", text)
    if sides is None:
        raise InputError(f"{text}: expected width and height, such as 1920x1080", argument=argument)
    return int(sides[1]), int(sides[2])


def read_call(function: Function, source: str, target: str, texts: Mapping[str, str]) -> EnhanceCall:
    """Make a call of texts.

    Args:
        function: what to do.
        source: path or URL.
        target: path or URL.
        texts: arguments and options by the names that they have in Python; ``denoise`` and ``upscale`` stand for
            ``sigma`` and ``scale`` of ``enhance``, and ``quality`` for the model of an interpolation.

    Raises:
        InputError: the function has no such argument, or a value can't be read.
    """
    hints = get_type_hints(EnhanceOptions)
    names = {option.name for option in fields(EnhanceOptions)} - {"shard"}
    arguments: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for given, text in texts.items():
        name = {"denoise": "sigma", "upscale": "scale"}.get(given, given)
        if name == "quality" and function in ("interpolate", "enhance"):
            key = "model" if function == "interpolate" else "interpolation_model"
            arguments[key] = QUALITIES.get(text) or _refuse(text, "quality", f"{' or '.join(QUALITIES)}")
        elif name in ARGUMENTS[function]:
            arguments[name] = _read_argument(name, text)
        elif name in names:
            options[name] = _read_option(name, text, hints[name])
        else:
            raise InputError(f"{function} has no option {given}")
    return EnhanceCall(function, source, target, arguments, EnhanceOptions(**options))


def _read_argument(name: str, text: str) -> Any:
    readers: dict[str, Callable[[str, str], Any]] = {
        **dict.fromkeys(("factor", "fps", "scale"), read_fraction),
        **dict.fromkeys(("width", "height"), _read_integer),
        "fit": read_size,
        "slow_motion": _read_flag,
    }
    return readers[name](text, name) if name in readers else text


def _read_option(name: str, text: str, hint: Any) -> Any:
    """Read an option by its type."""
    if name == "encoder_options":
        return read_encoder_options(text)
    if name == "max_memory":
        return read_bytes(text, name)
    if hint is bool:
        return _read_flag(text, name)
    if hint in (int, int | None):
        return _read_integer(text, name)
    if hint is float:
        value = read_fraction(text, name)
        return None if value is None else float(value)
    return read_fraction(text, name) if "Fraction" in str(hint) else text


def _read_integer(text: str, argument: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        _refuse(text, argument, "a whole number")
    return int(text)


def _read_flag(text: str, argument: str) -> bool:
    values = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if text.lower() not in values:
        _refuse(text, argument, "yes or no")
    return values[text.lower()]


def _refuse(text: str, argument: str, expected: str) -> Any:
    raise InputError(f"{text}: expected {expected}", argument=argument)
