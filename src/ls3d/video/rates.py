"""Exact frame rates from decimal ones."""

from __future__ import annotations

import math
from fractions import Fraction

from ls3d.errors import InputError

#: Frame rates below this, in frames per second, are refused.
_LOWEST = 1e-5

#: NTSC rates are a nominal rate divided by this (SMPTE ST 12-1): 24000/1001, 30000/1001, 60000/1001, ...
_NTSC_DIVISOR = Fraction(1001, 1000)

#: Nominal rates of which an NTSC rate exists are multiples of one of these.
_NOMINAL_STEPS = (12, 15)

#: Two decimals, as in 23.98, are enough to tell an NTSC rate from its nominal rate.
_TOLERANCE = Fraction(1, 200)


def exact_rate(rate: Fraction | float, argument: str | None = None) -> Fraction:
    """The exact frame rate that a number stands for.

    Decimal approximations of NTSC rates (23.976 or 23.98, 29.97, 59.94, 119.88) become fractions over 1001; integers
    and all other numbers keep their value.

    Args:
        rate: frames per second.
        argument: name of the argument that has this value, for the message.

    Returns:
        Frames per second, with a denominator of at most 100,000.

    Raises:
        InputError: the rate is not a number, infinite, or less than 0.00001.
    """
    if not _LOWEST <= rate < math.inf:
        value = f"{float(rate):g}" if argument else f"frame rate {float(rate):g}"
        raise InputError(f"{value}: expected frames per second, at least {_LOWEST:f}", argument=argument)
    exact = Fraction(rate).limit_denominator(100_000)
    nominal = round(exact * _NTSC_DIVISOR)
    ntsc = nominal / _NTSC_DIVISOR
    has_ntsc_rate = nominal > 0 and any(nominal % step == 0 for step in _NOMINAL_STEPS)
    close = exact.denominator != 1 and abs(exact - ntsc) < _TOLERANCE
    return ntsc if has_ntsc_rate and close else exact
