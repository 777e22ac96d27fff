"""Progress of a job, from counts of finished frames."""

from __future__ import annotations

import time
from collections.abc import Iterable

from ls3d.enhance._segments import Segment
from ls3d.progress import Progress, ProgressCallback


class ProgressMeter:
    """Turns finished frames into ``Progress``.

    Args:
        total: number of source frames, None if it is unknown.
        callback: is called after every source frame.
        resumed: segments that an earlier run finished.
    """

    def __init__(self, total: int | None, callback: ProgressCallback | None, resumed: Iterable[Segment] = ()) -> None:
        counts = [segment.counts for segment in resumed]
        self._total = total
        self._callback = callback
        self._done_before = sum(count.frames_in for count in counts)
        self._written_before = sum(count.frames_out for count in counts)
        self._done = self._done_before
        self._written = self._written_before
        self._start = time.monotonic()

    def step(self, written: int) -> None:
        """Count a finished source frame and the output frames that were made from it."""
        self._done += 1
        self._written += written
        self.show("frames")

    def show(self, phase: str) -> None:
        """Call the callback."""
        if self._callback is None:
            return
        seconds = self.seconds()
        done_now = self._done - self._done_before
        fps = (self._written - self._written_before) / seconds if seconds > 0 else 0.0
        remaining = None
        if self._total is not None and done_now:
            remaining = max(0, self._total - self._done) * seconds / done_now
        self._callback(Progress(self._done, self._total, self._written, fps, remaining, phase))

    def seconds(self) -> float:
        """Duration of this run."""
        return time.monotonic() - self._start
