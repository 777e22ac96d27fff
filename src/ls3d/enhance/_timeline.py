"""The times of output frames, as exact fractions, and their ticks in the output file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, Protocol

from ls3d.video import TimeRange

#: Between frames further apart than this, in seconds, nothing is shown at a constant rate: the source's gap is kept.
MAX_HELD = 60

_MAX_DENOMINATOR = 2**31 - 1  # of a time base in FFmpeg


class OutputTime(NamedTuple):
    """The time of an output frame.

    Attributes:
        time: in seconds on the source's clock.
        position: between two source frames: 0 at the first, 1 at the second.
    """

    time: Fraction
    position: Fraction


class Timeline(Protocol):
    """Places output frames on the source's clock."""

    def between(self, first: Fraction, second: Fraction, index: int, count: int = 1) -> list[OutputTime]:
        """The output frames in ``[first, second)``: the times of the source frames ``index`` and ``index + count``."""
        ...

    def keeps_gap(self, first: Fraction, second: Fraction) -> bool:
        """Whether output frames that would be shown between these times are left out, because there are too many."""
        ...

    def end(self, time: Fraction) -> Fraction:
        """The end of the last output frame that begins before ``time``."""
        ...

    def rate(self, source: Fraction) -> Fraction:
        """The nominal frame rate of the output for a source with this one."""
        ...

    def time_base(self, source: Fraction) -> Fraction:
        """A time base that represents the times of all output frames for a source with this one."""
        ...


@dataclass(frozen=True)
class Multiply:
    """Output frame k is shown ``k / factor`` intervals after the first source frame: variable rates stay variable.

    An interval lasts from one source frame to the next. ``n`` source frames become ``ceil(n * factor)`` output frames.

    Attributes:
        factor: at least 1.
    """

    factor: Fraction

    def between(self, first: Fraction, second: Fraction, index: int, count: int = 1) -> list[OutputTime]:
        """See ``Timeline``."""
        begin = math.ceil(index * self.factor)
        end = math.ceil((index + count) * self.factor)
        positions = [(k / self.factor - index) / count for k in range(begin, end)]
        return [OutputTime(first + (second - first) * position, position) for position in positions]

    def keeps_gap(self, first: Fraction, second: Fraction) -> bool:
        """See ``Timeline``; false, since gaps are divided, not filled."""
        return False

    def end(self, time: Fraction) -> Fraction:
        """See ``Timeline``."""
        return time

    def rate(self, source: Fraction) -> Fraction:
        """See ``Timeline``."""
        return source * self.factor

    def time_base(self, source: Fraction) -> Fraction:
        """See ``Timeline``; microseconds if FFmpeg can't represent the exact one."""
        exact = source / self.factor.numerator
        return exact if exact.denominator <= _MAX_DENOMINATOR else Fraction(1, 1_000_000)


@dataclass(frozen=True)
class Constant:
    """Exactly ``fps`` output frames per second, starting at ``origin``.

    A gap of more than ``MAX_HELD`` seconds between two source frames is kept: only its first output frame is made.
    """

    fps: Fraction
    origin: Fraction

    def between(self, first: Fraction, second: Fraction, index: int, count: int = 1) -> list[OutputTime]:
        """See ``Timeline``."""
        if self.keeps_gap(first, second):
            return [OutputTime(self.origin + math.ceil((first - self.origin) * self.fps) / self.fps, Fraction(0))]
        begin, end = (math.ceil((time - self.origin) * self.fps) for time in (first, second))
        times = [self.origin + n / self.fps for n in range(begin, end)]
        return [OutputTime(time, (time - first) / (second - first)) for time in times]

    def keeps_gap(self, first: Fraction, second: Fraction) -> bool:
        """See ``Timeline``."""
        return second - first > MAX_HELD and (second - first) * self.fps > 1

    def end(self, time: Fraction) -> Fraction:
        """See ``Timeline``."""
        return self.origin + math.ceil((time - self.origin) * self.fps) / self.fps

    def rate(self, source: Fraction) -> Fraction:
        """See ``Timeline``."""
        return self.fps

    def time_base(self, source: Fraction) -> Fraction:
        """See ``Timeline``; many ticks per frame, so that the first frame's time is precise."""
        return 1 / (self.fps * max(1, math.ceil(90_000 / self.fps)))


@dataclass(frozen=True)
class Slot:
    """An output frame that is to be made.

    Attributes:
        position: between two source frames, in [0, 1).
        pts: its time in the output, in ticks.
    """

    position: Fraction
    pts: int


class OutputClock:
    """Converts times to ticks, which strictly increase even if several frames fall into one tick.

    Args:
        timeline: the times of output frames.
        span: the part of the source that the output shows.
        time_base: seconds per tick.
        earliest: the first tick that is not taken yet.
        every_tick: whether every tick needs a frame, as in formats without times: frames are repeated up to the next.
        index: number of the next source frame, counted from the start of the span.
    """

    def __init__(
        self,
        timeline: Timeline,
        span: TimeRange,
        time_base: Fraction,
        earliest: int = 0,
        every_tick: bool = False,
        index: int = 0,
    ) -> None:
        self._every_tick = every_tick
        self._timeline = timeline
        self._span = span
        self._time_base = time_base
        self._earliest = earliest
        self._index = index

    def slots(self, first: Fraction, second: Fraction, count: int = 1) -> tuple[Slot, ...]:
        """The output frames between the next source frame and another one, given the times of these.

        Args:
            first: time of the next source frame.
            second: time of the other one.
            count: how many frames later that is; more than 1 if those between them were dropped.
        """
        outputs = self._timeline.between(first, second, self._index, count)
        self._index += count
        if not self._every_tick or second - first > MAX_HELD:
            return tuple(self._slot(output) for output in outputs)
        ends = [self._ticks(output.time) for output in outputs[1:]] + [self._ticks(second)]
        return tuple(slot for output, end in zip(outputs, ends, strict=True) for slot in self._repeated(output, end))

    def finish(self, until: Fraction) -> int:
        """The tick at which the last output frame before ``until`` ends; none is shown earlier from now on."""
        self._earliest = max(self._ticks(self._timeline.end(until)), self._earliest)
        return self._earliest

    def _repeated(self, output: OutputTime, end: int) -> list[Slot]:
        """The output frame at every tick before ``end``, at least once."""
        slot = self._slot(output)
        self._earliest = max(self._earliest, end)
        return [slot, *(Slot(slot.position, pts) for pts in range(slot.pts + 1, end))]

    def _slot(self, output: OutputTime) -> Slot:
        pts = max(self._ticks(output.time), self._earliest)
        self._earliest = pts + 1
        return Slot(output.position, pts)

    def _ticks(self, time: Fraction) -> int:
        return round((time - self._span.start) * self._span.stretch / self._time_base)
