"""How jobs report their progress to a bar, a web page, a log, or a program that reads JSON."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

_JSON_INTERVAL = 0.2  # seconds between two states


@dataclass(frozen=True)
class Progress:
    """The state of a job.

    Attributes:
        done: finished units of work (source frames, clips, runs, ...), those of earlier runs included.
        total: number of units, None if it is unknown.
        written: output frames, for jobs that write frames.
        fps: output frames per second of this run.
        remaining: estimated seconds until the job is finished, None if unknown.
        phase: what is being done: ``"frames"``, ``"joining"``, the name of a clip, ...
        estimate: estimated seconds that this run takes from its beginning to its end, None if unknown.
    """

    done: int
    total: int | None
    written: int = 0
    fps: float = 0.0
    remaining: float | None = None
    phase: str = "frames"
    estimate: float | None = None


ProgressCallback = Callable[[Progress], None]


class JsonProgress:
    """A progress callback that passes states on as dictionaries: a few per second, the first and last of each phase.

    ``finish`` passes on the last state of the last phase.

    ``docs/progress.schema.json`` describes them.

    Args:
        write: gets the dictionaries.
    """

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self._write = write
        self._latest = float("-inf")
        self._phase: str | None = None
        self._left_out: Progress | None = None  # the newest state, if it came too soon after the one before

    def __call__(self, state: Progress) -> None:
        """Report a state."""
        if state.phase != self._phase:
            self.finish()
        now = time.monotonic()
        if state.phase != self._phase or now - self._latest >= _JSON_INTERVAL or state.done == state.total:
            self._latest = now
            self._phase = state.phase
            self._left_out = None
            self._write(asdict(state))
        else:
            self._left_out = state

    def finish(self) -> None:
        """Pass on the newest state, unless that is done."""
        if self._left_out is not None:
            state, self._left_out = self._left_out, None
            self._write(asdict(state))


class JsonMessages(logging.Handler):
    """A log handler that passes messages on as dictionaries, each only once.

    Args:
        write: gets the dictionaries.
        messages: those that have been passed on before; new ones are added.
    """

    def __init__(self, write: Callable[[dict[str, Any]], None], messages: set[str]) -> None:
        super().__init__(logging.INFO)
        self._write = write
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a message on."""
        message = record.getMessage()
        if message not in self._messages:
            self._messages.add(message)
            self._write({record.levelname.lower(): message})


def format_duration(seconds: float | None) -> str:
    """Hours, minutes and seconds."""
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
