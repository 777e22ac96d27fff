"""Reading the frames of planned segments from a source that can be read from any position."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain

from ls3d.enhance._plan import Segmentation, SegmentPlan
from ls3d.enhance._windows import Window
from ls3d.errors import InputError
from ls3d.video import Frame, ScannedFrame, Source

log = logging.getLogger(__name__)


class SegmentReader:
    """Reads the windows of planned segments.

    The windows depend on nothing but the source, the segmentation and the plan. Segments that follow one another are
    read on without seeking, which saves time.

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
        """The windows of several segments, and with the last window of a segment its plan."""
        for plan in plans:
            for window in self.windows(plan):
                yield window, plan if window.frame.time == plan.last.time else None

    def windows(self, plan: SegmentPlan) -> Iterator[Window]:
        """The windows of a segment.

        Raises:
            InputError: the planned frames are not in the source any more.
        """
        cuts = frozenset(plan.cuts)
        scanned = (ScannedFrame(frame, frame.time in cuts) for frame in self._frames(plan))
        clock = self._segmentation.clock(plan.begin)
        for window in self._segmentation.windows(scanned, plan.first.time, clock):
            if window.frame.time > plan.last.time:
                break
            yield window
            if window.frame.time == plan.last.time:
                self._check_end(window, plan)
                return
        raise InputError(
            f"{self._source.info.name}: the frame at {float(plan.last.time):.3f} s can't be decoded again; "
            "the source has changed, or is damaged"
        )

    def _frames(self, plan: SegmentPlan) -> Iterator[Frame]:
        """Frames from the start of the context on."""
        start = plan.marks[0].time
        known = [frame for frame in self._recent if frame.time >= start]
        if not known or known[0].time != start:
            known = []
            self._following = self._segmentation.read(self._source, plan.marks)
        for frame in chain(known, self._following):
            self._recent.append(frame)
            yield frame

    def _check_end(self, window: Window, plan: SegmentPlan) -> None:
        if window.frame.mark() != plan.last or window.until != plan.until:
            log.warning(
                "%s: the frame at %.3f s was decoded differently the second time, so the result can't be reproduced",
                self._source.info.name,
                float(plan.last.time),
            )
