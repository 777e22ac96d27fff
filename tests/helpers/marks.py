"""Marks of parametrized tests."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet

T = TypeVar("T")


def slow_except(values: Iterable[T], quick: Container[T]) -> list[T | ParameterSet]:
    """``values`` for ``pytest.mark.parametrize``, of which all but the ``quick`` ones carry the mark ``slow``."""
    return [value if value in quick else pytest.param(value, marks=pytest.mark.slow) for value in values]
