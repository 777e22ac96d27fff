"""docs/models.md is up to date."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
from helpers.scripts import load_script

from ls3d.models import Task, list_models

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "models.md").read_text()
AGAIN = "run python scripts/model_table.py"
#: One network in eight; a slow test counts all.
COUNTED = list_models()[::8]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("model_table")


def test_every_network_has_a_row(script: ModuleType) -> None:
    listed = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert listed == [name for task in get_args(Task) for name in script.names(task)], AGAIN
    assert sorted(listed) == list_models()


@pytest.mark.parametrize("name", COUNTED)
def test_row_is_what_the_script_counts(script: ModuleType, name: str) -> None:
    assert script.row(name) in PAGE.splitlines(), AGAIN


@pytest.mark.slow
def test_page_is_what_the_script_writes(script: ModuleType) -> None:
    assert script.page() == PAGE, AGAIN
