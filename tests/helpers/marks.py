"""Marks of parametrized tests."""

from __future__ import annotations

from collections.abc import Container, Iterable

import pytest
from _pytest.mark import ParameterSet


def slow_except(names: Iterable[str], quick: Container[str]) -> list[str | ParameterSet]:
    """``names`` for ``pytest.mark.parametrize``, of which all but the ``quick`` ones carry the mark ``slow``."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]
