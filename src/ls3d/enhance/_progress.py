"""Progress of a job, from counts of finished frames."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from ls3d.enhance._segments import Segment
from ls3d.progress import Progress, ProgressCallback, format_duration

log = logging.getLogger(__name__)

#: The duration of the run is logged after this number of frames, or earlier if that takes long.
_ESTIMATED_AFTER = 8
_FEWEST = 3
_LONG = 10.0  # seconds


class ProgressMeter:
    """Turns finished frames into ``Progress``.

    Args:
        total: number of source frames, None if it is unknown.
        callback: is called after every source frame.
        resumed: segments that an earlier run finished.
        segment_frames: maximum number of source frames in a segment; the estimated duration is logged before.
    """

    def __init__(
        self,
        total: int | None,
        callback: ProgressCallback | None,
        resumed: Iterable[Segment] = (),
        segment_frames: int = _ESTIMATED_AFTER + 1,
    ) -> None:
        counts = [segment.counts for segment in resumed]
        self._total = total
        self._callback = callback
        self._done_before = sum(count.frames_in for count in counts)
        self._written_before = sum(count.frames_out for count in counts)
        self._done = self._done_before
        self._written = self._written_before
        self._start = time.monotonic()
        self._first = 0.0  # seconds until the first frame was finished
        self._estimated_after = max(1, min(_ESTIMATED_AFTER, segment_frames - 1))
        if total is not None:
            self._estimated_after = min(self._estimated_after, total - self._done_before - 1)
        self._is_estimated = self._estimated_after < 1

    def step(self, written: int) -> None:
        """Count a finished source frame and the output frames that were made from it."""
        self._done += 1
        self._written += written
        if self._done_now == 1:
            self._first = self.seconds()
        self.show("frames")
        if not self._is_estimated:
            self._log_estimate()

    def show(self, phase: str) -> None:
        """Call the callback."""
        if self._callback is None:
            return
        seconds = self.seconds()
        fps = (self._written - self._written_before) / seconds if seconds > 0 else 0.0
        remaining = None
        if self._total is not None and self._done_now:
            remaining = max(0, self._total - self._done) * self._seconds_per_frame(seconds)
        estimate = None if remaining is None else seconds + remaining
        self._callback(Progress(self._done, self._total, self._written, fps, remaining, phase, estimate))

    @property
    def _done_now(self) -> int:
        """Source frames that this run has finished."""
        return self._done - self._done_before

    def _seconds_per_frame(self, seconds: float) -> float:
        """After these seconds; the first frame, which takes longer than others, counts only as long as it is alone."""
        if self._done_now == 1:
            return seconds
        return (seconds - self._first) / (self._done_now - 1)

    def _log_estimate(self) -> None:
        """Log how long this run takes, once it is known."""
        seconds = self.seconds()
        takes_long = self._done_now >= _FEWEST and seconds > _LONG
        if self._done_now < self._estimated_after and not takes_long:
            return
        self._is_estimated = True
        per_frame = self._seconds_per_frame(seconds)
        if self._total is None:
            log.info("estimated time: %.3g s for each source frame, whose number is unknown", per_frame)
            return
        whole = seconds + max(0, self._total - self._done) * per_frame
        frames = self._total - self._done_before
        log.info("estimated time: %s (%.3g s for each of %d frames)", format_duration(whole), per_frame, frames)

    def seconds(self) -> float:
        """Duration of this run."""
        return time.monotonic() - self._start
