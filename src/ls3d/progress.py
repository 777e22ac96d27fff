"""How jobs report their progress to a bar, a web page or a log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


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


def format_duration(seconds: float | None) -> str:
    """Hours, minutes and seconds."""
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
