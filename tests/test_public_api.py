"""The public names, commands and networks are those that are recorded."""

from __future__ import annotations

import difflib

from helpers.scripts import load_script


def test_nothing_public_has_changed() -> None:
    script = load_script("record_public_api")
    recorded = script.FILE.read_text(encoding="utf-8").splitlines()
    difference = list(difflib.unified_diff(recorded, script.text().splitlines(), lineterm="", n=0))
    assert not difference, "\n".join(["run scripts/record_public_api.py if this is meant:", *difference])
