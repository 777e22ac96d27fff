"""examples/client.py against a whole server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from helpers.videos import Clip, decode
from helpers.web_server import Server

CLIENT = Path(__file__).parents[2] / "examples" / "client.py"


def run(server: Server, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CLIENT), server.address, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_example_client(server: Server, tmp_path: Path) -> None:
    source = Clip(4).write(tmp_path / "in.mp4")
    done = run(server, source, tmp_path / "out.mp4", "factor=2")
    assert "4 frames became 8" in done.stdout, done.stderr
    assert len(decode(tmp_path / "out.mp4")) == 8
    refused = run(server, source, tmp_path / "none.mp4", "factor=200")
    assert refused.returncode == 1
    assert refused.stderr.startswith("factor: ")
    assert not (tmp_path / "none.mp4").exists()
