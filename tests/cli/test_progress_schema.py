"""docs/progress.schema.json describes every line of ``--progress json``, and has no attribute that lines lack."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from helpers.videos import Clip
from jsonschema import Draft202012Validator

from ls3d.enhance import EnhanceReport, Progress

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads((ROOT / "docs" / "progress.schema.json").read_text())


def lines_of(*arguments: object, stop: bool = False) -> list[dict[str, Any]]:
    """What ``ls3d`` writes; with ``stop``, it is terminated after the first state of the job."""
    command = [sys.executable, "-m", "ls3d", *map(str, arguments), "--progress", "json"]
    found: list[dict[str, Any]] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            found.append(json.loads(line))
            if stop and "done" in found[-1]:
                process.terminate()
                stop = False
    return found


def kinds(lines: list[dict[str, Any]]) -> set[str]:
    """Check all lines; the names of their definitions."""
    Draft202012Validator(SCHEMA).validate(lines[0])
    found = set()
    for line in lines:
        matching = [
            name
            for name in ("message", "progress", "report", "interruption", "failure", "summary")
            if Draft202012Validator({**SCHEMA, "oneOf": [{"$ref": f"#/$defs/{name}"}]}).is_valid(line)
        ]
        assert len(matching) == 1, line
        found.add(matching[0])
    return found


def test_the_schema_is_valid_and_complete() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    definitions = SCHEMA["$defs"]
    assert set(definitions["progress"]["properties"]) - {"source"} == {field.name for field in fields(Progress)}
    report = definitions["report"]["properties"]["report"]["properties"]
    assert set(report) == {field.name for field in fields(EnhanceReport)}


def test_a_list_with_a_damaged_file(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    Clip(4).write(folder / "a.mp4")
    (folder / "b.mp4").write_bytes(b"no video")
    lines = lines_of("interpolate", folder, tmp_path / "out", "--model", "blend")
    assert kinds(lines) == {"message", "progress", "report", "failure", "summary"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")
def test_a_terminated_job(tmp_path: Path) -> None:
    source = Clip(400, size=(96, 128)).write(tmp_path / "in.mp4")
    lines = lines_of("interpolate", source, tmp_path / "out.mp4", "--model", "bilateral", stop=True)
    assert kinds(lines) >= {"progress", "interruption"}
