"""Planning: one decoding pass divides the source into segments that can be made independently, in any order.

A segment ends at a hard cut once it has ``min_frames`` source frames, and anywhere once it has ``max_frames``. A plan
holds all that a segment depends on besides the job, so segments can be made in any order and in any process.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import takewhile
from typing import Any

from ls3d.enhance._timeline import OutputClock, Timeline
from ls3d.enhance._windows import Window, windows
from ls3d.errors import InputError
from ls3d.video import Frame, Mark, ScannedFrame, Source, TimeRange, find_cuts
from ls3d.video.cuts import CUT_LOOKAHEAD

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Segmentation:
    """How a source is divided into segments, and at which times output frames are shown.

    Attributes:
        span: the part of the source that is wanted.
        timeline: the times of output frames.
        time_base: seconds per tick of the output.
        cut_threshold: of the cut detector; 0 disables it.
        max_frames: maximum number of source frames in a segment.
        min_frames: minimum number of source frames in a segment that ends at a cut.
        frames_before: frames that the network needs before the current one.
        frames_after: frames that the network needs after it.
        every_tick: whether every tick needs a frame, as in formats that store no times.
    """

    span: TimeRange
    timeline: Timeline
    time_base: Fraction
    cut_threshold: float
    max_frames: int
    min_frames: int
    frames_before: int
    frames_after: int
    every_tick: bool = False

    @property
    def context_length(self) -> int:
        """Number of frames before a segment that its frames depend on, by way of the cut detector or the network."""
        return max(CUT_LOOKAHEAD, self.frames_before)

    @property
    def lookahead(self) -> int:
        """Number of frames that are read beyond the end of a segment."""
        return max(1, self.frames_after)

    def read(self, source: Source, marks: Sequence[Mark] = (), start: Fraction | None = None) -> Iterator[Frame]:
        """The wanted frames of the source, from the first marked one on, or from the time ``start``."""
        end = self.span.end
        frames = source.frames(marks, self.span.start if start is None else start)
        return frames if end is None else takewhile(lambda frame: frame.time < end, frames)

    def windows(self, scanned: Iterator[ScannedFrame], first: Fraction, clock: OutputClock) -> Iterator[Window]:
        """Windows of the frames from the time ``first`` on."""
        return windows(scanned, self.frames_before, self.frames_after, first, self.span.end, clock)

    def clock(self, earliest: int, index: int) -> OutputClock:
        """Numbers output frames from the tick ``earliest`` and the source frame with this number on."""
        return OutputClock(self.timeline, self.span, self.time_base, earliest, self.every_tick, index)


@dataclass(frozen=True)
class SegmentPlan:
    """A segment that can be made.

    Attributes:
        index: position among the segments, from 0.
        first: first source frame.
        last: last source frame.
        until: start time of the next segment, or end of the video.
        context: the source frames before the first one, fewer than ``Segmentation.context_length`` at the beginning.
        cuts: times of the frames that are followed by a hard cut, among context, segment and the frames read ahead.
        begin: the first tick that the segment's output frames may have.
        end: the tick at which the next segment begins, or the video ends.
        first_index: number of the first source frame, counted from the start of the span.
        frames_in: number of source frames, including duplicates.
        undecodable_packets: packets that could not be decoded.
        retimed_frames: source frames whose own timestamps could not be used.
        is_last: whether the video ends with this segment.
    """

    index: int
    first: Mark
    last: Mark
    until: Fraction
    context: tuple[Mark, ...]
    cuts: tuple[Fraction, ...]
    begin: int
    end: int
    first_index: int
    frames_in: int
    undecodable_packets: int
    retimed_frames: int
    is_last: bool

    @property
    def cut_count(self) -> int:
        """Number of hard cuts in the segment, including the one at its end."""
        return sum(self.first.time <= time <= self.last.time for time in self.cuts)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The frames by which the segment's beginning is found in the source."""
        return (*self.context, self.first)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON; ``from_dict`` reads it."""
        values = asdict(self)
        values["context"] = [_mark_to_list(mark) for mark in self.context]
        values["first"] = _mark_to_list(self.first)
        values["last"] = _mark_to_list(self.last)
        values["until"] = str(self.until)
        values["cuts"] = [str(time) for time in self.cuts]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SegmentPlan:
        """Read what ``to_dict`` wrote."""
        read = {
            "context": tuple(_mark_from_list(mark) for mark in values["context"]),
            "first": _mark_from_list(values["first"]),
            "last": _mark_from_list(values["last"]),
            "until": Fraction(values["until"]),
            "cuts": tuple(Fraction(time) for time in values["cuts"]),
        }
        return cls(**{**values, **read})


def _mark_to_list(mark: Mark) -> list[str]:
    return [str(mark.time), mark.digest]


def _mark_from_list(values: Sequence[str]) -> Mark:
    time, digest = values
    return Mark(Fraction(time), digest)


def plan_segments(
    source: Source, segmentation: Segmentation, known: SegmentPlan | None = None
) -> Iterator[SegmentPlan]:
    """Plan all segments in one decoding pass.

    Args:
        source: is read once.
        segmentation: where segments end.
        known: the plan to begin with, from an earlier pass over the same source; it is yielded again.

    Raises:
        InputError: no wanted frame can be decoded, or the known segment isn't in the source any more.
    """
    return (plan for _, plan in scan_segments(source, segmentation, known) if plan is not None)


def scan_segments(
    source: Source, segmentation: Segmentation, known: SegmentPlan | None = None
) -> Iterator[tuple[Window, SegmentPlan | None]]:
    """As ``plan_segments``, for sources that can be read only once.

    Yields:
        Every window, and with the last window of a segment the segment's plan.
    """
    scan = _Scan(source, segmentation, known)
    clock = segmentation.clock(scan.begin, scan.first_index)
    for window in segmentation.windows(scan.frames(), scan.start, clock):
        yield window, scan.add(window, clock)
    if scan.last_plan is None:
        start = float(segmentation.span.start)
        raise InputError(f"{source.info.name}: no frame after {start:g} s can be decoded")


class _Scan:
    """The state of a pass over a source.

    Attributes:
        begin: tick at which the current segment begins.
        first_index: number of its first frame.
        start: time of its first frame, or of an earlier point.
        last_plan: the plan that was finished last.
    """

    def __init__(self, source: Source, segmentation: Segmentation, known: SegmentPlan | None) -> None:
        self.begin = 0 if known is None else known.begin
        self.first_index = 0 if known is None else known.first_index
        self.start = segmentation.span.start if known is None else known.first.time
        self.last_plan: SegmentPlan | None = None
        self._index = 0 if known is None else known.index
        self._context = () if known is None else known.context
        self._source = source
        self._segmentation = segmentation
        self._known = known
        self._totals = _Totals()
        self._recent: deque[Frame] = deque(maxlen=segmentation.context_length + segmentation.lookahead)
        self._cuts: list[Fraction] = []

    def frames(self) -> Iterator[ScannedFrame]:
        """Read the source, and record the latest frames and the cuts."""
        marks = () if self._known is None else self._known.marks
        frames = self._segmentation.read(self._source, marks)
        for scanned in find_cuts(frames, self._segmentation.cut_threshold):
            frame, cut_after = scanned.frame, scanned.cut_after
            if self._known is not None and frame.time < self.start:
                cut_after = frame.time in self._known.cuts  # the detector has not seen enough frames yet
            self._recent.append(frame)
            if cut_after:
                self._cuts.append(frame.time)
            yield ScannedFrame(frame, cut_after)

    def add(self, window: Window, clock: OutputClock) -> SegmentPlan | None:
        """Add a window to the current segment; the segment's plan if it ends with this window."""
        totals = self._totals
        totals.add(window)
        if self._segmentation.timeline.keeps_gap(window.frame.time, window.until):
            log.warning("nothing is shown from %g s to %g s, as in the source", window.frame.time, window.until)
        limit = self._segmentation.min_frames if window.cut_after else self._segmentation.max_frames
        if totals.frames_in < limit and not window.is_last:
            return None
        assert totals.first is not None
        plan = SegmentPlan(
            index=self._index,
            first=totals.first,
            last=window.frame.mark(),
            until=window.until,
            context=self._context,
            cuts=tuple(self._cuts),
            begin=self.begin,
            end=clock.finish(window.until),
            first_index=self.first_index,
            frames_in=totals.frames_in,
            undecodable_packets=totals.undecodable_packets + (self._source.undecodable_at_end if window.is_last else 0),
            retimed_frames=totals.retimed_frames,
            is_last=window.is_last,
        )
        self._start_next(plan)
        return plan

    def _start_next(self, plan: SegmentPlan) -> None:
        past = [frame for frame in self._recent if frame.time <= plan.last.time]
        self._context = tuple(frame.mark() for frame in past[-self._segmentation.context_length :])
        self._cuts = [time for time in self._cuts if time >= self._context[0].time]
        self._index += 1
        self.begin = plan.end
        self.first_index += plan.frames_in
        self.last_plan = plan
        self._totals = _Totals()


@dataclass
class _Totals:
    """Sums over the windows of a segment."""

    first: Mark | None = None
    frames_in: int = 0
    undecodable_packets: int = 0
    retimed_frames: int = 0

    def add(self, window: Window) -> None:
        if self.first is None:
            self.first = window.frame.mark()
        self.frames_in += 1 + window.frame.duplicates
        self.undecodable_packets += window.frame.undecodable_packets
        self.retimed_frames += window.frame.retimed
