"""A queue whose jobs need no processes, and a whole server in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("gradio") is None:
    collect_ignore_glob = ["test_*.py"]


@dataclass
class Server:
    """A running ``ls3d serve``.

    Attributes:
        address: of the page.
        process: the server.
        temporary: its folder for temporary files, which is TMPDIR.
        log: what it has written so far.
    """

    address: str
    process: subprocess.Popen[str]
    temporary: Path
    log: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1].strip("/"))

    def files(self) -> set[Path]:
        """All files of jobs."""
        return {path for path in self.temporary.glob("ls3d-serve-*/**/*") if path.is_file() and path.name != "lock"}


def start_server(temporary: Path, *options: str) -> Server:
    """Start ``ls3d serve`` on a free port and wait until it can be reached."""
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1", "COLUMNS": "500"}
    command = [sys.executable, "-m", "ls3d", "serve", "--port", "0", "--device", "cpu", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert process.stdout is not None
    log: list[str] = []
    for line in process.stdout:
        log.append(line)
        if found := re.search(r"ls3d is at (\S+)", line):
            threading.Thread(target=log.extend, args=[process.stdout], daemon=True).start()
            return Server(found[1], process, temporary, log)
    raise AssertionError("".join(log))


def stop_server(server: Server) -> None:
    """Stop it as Ctrl-C does; nothing of it remains."""
    server.process.send_signal(signal.SIGINT)
    server.process.wait(60)
    assert not list(server.temporary.glob("ls3d-serve-*"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = start_server(tmp_path_factory.mktemp("server"), "--max-size", "2", "--max-pixels", "60000")
    yield running
    stop_server(running)


class FakeProcess:
    """Does jobs in no time, or when it is allowed to, in place of ``ls3d.web.processes.JobProcess``."""

    started: list[str]  # folders of jobs, in the order in which they were started
    may_end: threading.Event

    def __init__(self) -> None:
        self.timed_out = False
        self._killed = False

    @property
    def ended(self) -> bool:
        return False

    def run(self, task: str, handle: Callable[[dict[str, Any]], None], timeout: float) -> None:
        from ls3d.web.requests import Task

        read = Task.from_json(task)
        self.started.append(read.folder.name)
        handle({"done": 1, "total": 2, "written": 2, "fps": 1.0, "remaining": 1.0, "phase": "frames", "estimate": 2.0})
        while not self.may_end.wait(0.01):
            if self._killed:
                return
        read.target.write_bytes(b"0123456789")
        handle({"report": {"frames_in": 1}})

    def kill(self) -> None:
        self._killed = True

    def close(self) -> None:
        self.kill()


@pytest.fixture
def fake_process(monkeypatch: pytest.MonkeyPatch) -> type[FakeProcess]:
    """Jobs end at once."""
    FakeProcess.started = []
    FakeProcess.may_end = threading.Event()
    FakeProcess.may_end.set()
    monkeypatch.setattr("ls3d.web.jobs.JobProcess", FakeProcess)
    return FakeProcess
