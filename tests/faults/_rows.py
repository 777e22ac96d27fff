"""Rows of the table of faults: what is given to an entry point, and how it must end.

A row names an entry point (a command, or a function of the library), the files that it is given, and the expected exit
status. ``failures`` runs rows in a subprocess that imports ls3d once and forks for every row (``_runner.py``), each
with limits of memory and time, in a folder of its own. Every row must end

* with its status; 2 by default: an error in the input (``docs/exit-codes.md`` lists all);
* with exactly one line on standard error besides notes (``note: ...``), unless the status is 0: a sentence without
  control characters that contains the row's ``says``;
* without a traceback, a signal, or a file that wasn't there before, except for those in ``leaves``.

To add an entry point, write a module ``test_NAME.py`` with a list of rows and a test that calls ``check``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

RUNNER = Path(__file__).with_name("_runner.py")

#: Makes the files of a row in its folder, which is empty before.
Make = Callable[[Path], object]


@dataclass(frozen=True)
class Row:
    """One fault at one entry point.

    Attributes:
        name: what is wrong, unique within its table.
        call: arguments of the command ``ls3d``; or ``("module:function", arguments, ...)`` for a function of the
            library, whose arguments are strings.
        make: makes the files that ``call`` names, relative to the row's folder.
        says: a regular expression that must match in standard error; in standard output for status 0.
        status: the expected exit status.
        leaves: shell patterns of the files that may be new afterwards.
        memory: MiB that the row may take beyond what the imports have taken.
        seconds: of processor time that it may take.
        environment: environment variables.
    """

    name: str
    call: tuple[str, ...]
    make: Make | None = None
    says: str = ""
    status: int = 2
    leaves: tuple[str, ...] = ()
    memory: int = 256
    seconds: float = 30.0
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a row ended: exit status (negative for a signal), outputs, seconds."""

    status: int
    stdout: str
    stderr: str
    seconds: float


def check(rows: Sequence[Row], folder: Path) -> None:
    """Run rows and fail with one line for each that did not end as it must."""
    assert len({row.name for row in rows}) == len(rows), "two rows have the same name"
    found = failures(rows, folder)
    assert not found, f"{len(found)} of {len(rows)} rows failed:\n" + "\n".join(found)


def failures(rows: Sequence[Row], folder: Path) -> list[str]:
    """Run rows in subfolders of ``folder``; return one line for each that did not end as it must."""
    homes = [folder / f"row{number}" for number in range(len(rows))]
    before = []
    for row, home in zip(rows, homes, strict=True):
        home.mkdir(parents=True)
        if row.make is not None:
            row.make(home)
        before.append(_contents(home))
    outcomes = run(rows, homes, folder)
    found = []
    for row, home, contents, outcome in zip(rows, homes, before, outcomes, strict=True):
        mistakes = [*_wrong_outcome(row, outcome), *_wrong_files(row, contents, _contents(home))]
        found += [f"{row.name}: {mistake}" for mistake in mistakes]
    return found


def run(rows: Sequence[Row], homes: Sequence[Path], folder: Path) -> list[Outcome]:
    """Run rows in their folders, one after the other, in one subprocess."""
    plan = [
        {
            "call": row.call,
            "folder": str(home),
            "memory": row.memory << 20,
            "seconds": row.seconds,
            "environment": row.environment,
        }
        for row, home in zip(rows, homes, strict=True)
    ]
    (folder / "plan.json").write_text(json.dumps(plan))
    command = [sys.executable, str(RUNNER), str(folder / "plan.json"), str(folder / "outcomes.json")]
    process = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return [Outcome(**values) for values in json.loads((folder / "outcomes.json").read_text())]


def _wrong_outcome(row: Row, outcome: Outcome) -> list[str]:
    """Return the first thing that is wrong, if any."""
    lines = outcome.stderr.splitlines()
    shown = outcome.stderr if row.status else outcome.stdout
    end = f"{outcome.stderr[-300:]!r}"
    if outcome.status != row.status:
        return [f"status {outcome.status} after {outcome.seconds:.1f} s, expected {row.status}: {end}"]
    if "Traceback" in outcome.stderr:
        return [f"traceback: {end}"]
    sentences = [line for line in lines if not line.startswith("note: ")]
    if row.status and len(sentences) != 1:
        return [f"{len(sentences)} lines on standard error, expected one: {end}"]
    if not all(line.isprintable() for line in lines):
        return [f"control characters: {end}"]
    if not re.search(row.says, shown):
        return [f"says {shown[-300:]!r}, expected {row.says!r}"]
    return []


def _wrong_files(row: Row, before: dict[str, str], after: dict[str, str]) -> list[str]:
    changed = [name for name in before if after.get(name) != before[name]]
    new = [name for name in after if name not in before]
    odd = [name for name in (*changed, *new) if not any(Path(name).match(pattern) for pattern in row.leaves)]
    return [f"changed or left behind: {', '.join(odd)}"] if odd else []


def _contents(folder: Path) -> dict[str, str]:
    """Names and digests of all files in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def write(name: str, content: bytes | str) -> Make:
    """Return a function that writes one file."""

    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return make


def chunks(rows: Sequence[Row], size: int) -> list[Any]:
    """Split a table into parts for ``pytest.mark.parametrize``, so that several workers share it."""
    parts = [rows[first : first + size] for first in range(0, len(rows), size)]
    return [pytest.param(part, id=f"{part[0].name} ... {part[-1].name}") for part in parts]
