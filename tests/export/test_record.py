"""The table of docs/export.md is that of the recorded results, and nothing that was recorded fails."""

from __future__ import annotations

import json

import pytest
from helpers.scripts import load_script

script = load_script("record_exports")
RESULTS = json.loads(script.RESULTS.read_text())


def test_the_page_has_the_recorded_table() -> None:
    assert f"{script.BEGIN}{script.table(RESULTS)}{script.END}" in script.PAGE.read_text()


@pytest.mark.parametrize("name", RESULTS["networks"])
def test_every_recorded_network_agrees_with_pytorch(name: str) -> None:
    found = RESULTS["networks"][name]
    for method in script.METHODS.keys() & found.keys():
        assert found[method].get("difference", 1.0) <= 1e-4, found[method]
    assert {"compile", "export", "onnx"} <= found.keys()
