"""``ls3d serve`` in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path


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
