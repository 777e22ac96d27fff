"""Reading the frames of planned segments from a source that can be read from any position."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from ls3d.enhance._plan import Segmentation, SegmentPlan
from ls3d.enhance._windows import Window
from ls3d.errors import InputError
from ls3d.video import Frame, Mark, ScannedFrame, Source

log = logging.getLogger(__name__)


class SegmentReader:
    """Reads the windows of planned segments.

    The windows depend on nothing but the source, the segmentation and the plan. Consecutive segments are read without
    seeking, which saves time. A damaged file may decode differently each time, because FFmpeg's decoding threads
    conceal errors with what other threads have decoded so far; then a warning says that the result can't be reproduced.

    Args:
        source: seekable.
        segmentation: by which the segments were planned.
    """

    def __init__(self, source: Source, segmentation: Segmentation) -> None:
        self._source = source
        self._segmentation = segmentation
        self._following: Iterator[Frame] = iter(())
        self._recent: deque[Frame] = deque(maxlen=segmentation.context_length + segmentation.lookahead)

    def read_all(self, plans: Iterable[SegmentPlan]) -> Iterator[tuple[Window, SegmentPlan | None]]:
        """The windows of several segments, and with the last window of a segment its plan.

        Raises:
            InputError: a segment has no frame in the source any more.
        """
        for plan in plans:
            last: Window | None = None
            for window in self._windows(plan):
                if last is not None:
                    yield last, None
                last = window
            if last is None:
                raise InputError(f"{self._source.info.name} has no frame at {float(plan.first.time):.3f} s any more")
            if last.frame.mark() != plan.last or last.until != plan.until:
                self._warn(plan.last)
            yield last, plan

    def _windows(self, plan: SegmentPlan) -> Iterator[Window]:
        cuts = frozenset(plan.cuts)
        scanned = (ScannedFrame(frame, frame.time in cuts) for frame in self._frames(plan))
        clock = self._segmentation.clock(plan.begin, plan.first_index)
        for window in self._segmentation.windows(scanned, plan.first.time, clock):
            if window.frame.time <= plan.last.time:
                yield window
            if window.frame.time >= plan.last.time:
                return

    def _frames(self, plan: SegmentPlan) -> Iterator[Frame]:
        """Frames from the start of the context on."""
        start = plan.marks[0].time
        known = [frame for frame in self._recent if frame.time >= start]
        if not known or known[0].time != start:
            known = []
            self._recent.clear()
            self._following = self._open(plan)
        yield from known
        for frame in self._following:
            self._recent.append(frame)
            yield frame

    def _open(self, plan: SegmentPlan) -> Iterator[Frame]:
        try:
            frames = self._segmentation.read(self._source, plan.marks)
            return chain(list(islice(frames, 1)), frames)  # the marks are checked when the first frame is read
        except InputError:
            self._warn(plan.first)
            return self._segmentation.read(self._source, start=plan.marks[0].time)

    def _warn(self, mark: Mark) -> None:
        log.warning(
            "%s: around %.3f s, frames are decoded differently each time, so the result can't be reproduced exactly",
            self._source.info.name,
            float(mark.time),
        )
