"""A queue whose jobs need no processes, and a whole server in a process of its own."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers.web_server import Server, start_server, stop_server

if importlib.util.find_spec("gradio") is None:
    collect_ignore_glob = ["test_*.py"]


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
