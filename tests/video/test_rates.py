"""Exact frame rates: the NTSC rates as SMPTE defines them, and everything else unchanged."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ls3d.errors import InputError
from ls3d.video import exact_rate


@pytest.mark.parametrize(
    ("decimal", "nominal"),
    [
        (11.988, 12),
        (14.985, 15),
        (23.976, 24),
        (23.98, 24),
        (29.97, 30),
        (47.952, 48),
        (59.94, 60),
        (119.88, 120),
        (239.76, 240),
        (23.972, 24),  # two decimals of 23.976 differ from it by at most half a hundredth
        (23.981, 24),
        (44.955, 45),
    ],
)
def test_decimals_of_ntsc_rates_become_fractions_over_1001(decimal: float, nominal: int) -> None:
    assert exact_rate(decimal) == Fraction(1000 * nominal, 1001)
    assert exact_rate(Fraction(str(decimal))) == Fraction(1000 * nominal, 1001)


@given(st.integers(1, 1000))
def test_integers_stay(rate: int) -> None:
    assert exact_rate(rate) == exact_rate(float(rate)) == rate


@given(st.fractions(min_value=Fraction(1, 100), max_value=500, max_denominator=100))
def test_results_differ_from_the_argument_only_for_ntsc_rates(rate: Fraction) -> None:
    exact = exact_rate(rate)
    assert exact == rate or exact.denominator in (1001, 143, 91, 77, 13, 11, 7)
    assert abs(exact - rate) < Fraction(1, 200)


@pytest.mark.parametrize("nominal", [24, 30, 60])
def test_exact_ntsc_rates_stay(nominal: int) -> None:
    assert exact_rate(Fraction(1000 * nominal, 1001)) == Fraction(1000 * nominal, 1001)


@pytest.mark.parametrize("rate", [12.5, 0.5, 0.001, 0.003, 1.003, 23.971, 23.982, 25.97, 48.9])
def test_rates_that_merely_resemble_an_ntsc_rate_stay(rate: float) -> None:
    assert exact_rate(rate) == Fraction(str(rate))


def test_denominators_are_limited() -> None:
    assert exact_rate(Fraction(100_001, 100_000)) == Fraction(100_001, 100_000)
    assert exact_rate(Fraction(100_002, 100_001)) == Fraction(100_002, 100_001).limit_denominator(100_000)
    assert exact_rate(1e-5) == Fraction(1, 100_000)


@pytest.mark.parametrize(
    ("rate", "text"), [(0, "0"), (-25, "-25"), (1e-9, "1e-09"), (math.nan, "nan"), (math.inf, "inf")]
)
def test_impossible_rates_are_refused(rate: float, text: str) -> None:
    with pytest.raises(InputError) as unnamed:
        exact_rate(rate)
    assert unnamed.value.argument is None
    assert str(unnamed.value) == f"frame rate {text}: expected frames per second, at least 0.000010"
    with pytest.raises(InputError) as named:
        exact_rate(rate, argument="fps")
    assert named.value.argument == "fps"
    assert str(named.value) == f"fps {text}: expected frames per second, at least 0.000010"
