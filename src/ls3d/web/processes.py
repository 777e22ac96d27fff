"""``JobProcess``: a process that does one job, and is started before there is one."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

_LONGEST_LINE = 1 << 20  # characters


class JobProcess:
    """A process for one job (``ls3d.web.worker``). It loads torch before it gets the job."""

    def __init__(self) -> None:
        # In a session of its own, Ctrl-C in the terminal reaches the server only.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ls3d.web.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self.timed_out = False

    def run(self, task: str, handle: Callable[[dict[str, Any]], None], timeout: float) -> None:
        """Do a job and wait for its end.

        Args:
            task: one line of JSON.
            handle: gets each line that the process writes.
            timeout: seconds after which the process is killed; then ``timed_out`` is set.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(min(timeout, threading.TIMEOUT_MAX), self._time_out)
        timer.daemon = True
        timer.start()
        try:
            self._process.stdin.write(task + "\n")
            self._process.stdin.flush()
            while line := self._process.stdout.readline(_LONGEST_LINE):
                values = json.loads(line)
                if not isinstance(values, dict):
                    raise ValueError(line)
                handle(values)
        except (OSError, ValueError):  # it was killed, or wrote something else
            self._process.kill()
        finally:
            timer.cancel()
            self.close()

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """Kill the process and wait for its end. Any thread may do so while ``run`` waits."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Kill the process and close its pipes."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what was not flushed
                if pipe is not None:
                    pipe.close()

    def _time_out(self) -> None:
        self.timed_out = True
        self._process.kill()
