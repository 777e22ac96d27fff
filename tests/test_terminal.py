"""What reaches a terminal: no control sequences from names, no markup, nothing that its encoding doesn't have."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from ls3d.terminal import console, one_line, printable

ROOT = Path(__file__).parents[1]
HOSTILE = "\x1b]0;title\x07 \x9b1m \u202eevil\u2066 \x00\x7f [red]x[/y] :smile: \udcff"


def test_controls_become_escapes() -> None:
    shown = printable(HOSTILE)
    assert shown.isprintable()
    assert shown.startswith(r"\x1b]0;title\x07 \x9b1m \u202eevil\u2066 \x00\x7f [red]x[/y]")
    assert printable("héllo 日本 👩‍👩‍👧\n\tx") == "héllo 日本 👩‍👩‍👧\n\tx"
    assert one_line("a\nb\tc") == r"a\nb\tc"


def test_consoles_show_text_as_it_is() -> None:
    output = io.StringIO()
    shown = console(file=output, force_terminal=True, width=200)
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE)
    shown.print(HOSTILE, soft_wrap=True)
    shown.print(table)
    text = re.sub(r"\x1b\[[0-9;]*m", "", output.getvalue())
    assert all(line.isprintable() for line in text.splitlines())
    assert text.count("[red]x[/y] :smile:") >= 2


def test_every_console_comes_from_one_place() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        assert path.name == "terminal.py" or not re.search(r"\bConsole\(", path.read_text()), path


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_narrow_encodings(encoding: str) -> None:
    command = [sys.executable, "-m", "ls3d", "models"]
    result = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert result.returncode == 0, result.stderr
    assert b"vfi_ls3d_plus_m" in result.stdout
