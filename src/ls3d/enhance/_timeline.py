"""When output frames are shown: times between two source frames, as exact fractions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

_LARGEST_TICKS = 2**31 - 1


class Timeline(Protocol):
    """Places output frames on the source's clock."""

    def between(self, first: Fraction, second: Fraction) -> list[tuple[Fraction, Fraction]]:
        """Output frames in ``[first, second)``: times, and places (0 to 1) between the two."""
        ...

    def end(self, time: Fraction) -> Fraction:
        """When the last output frame before ``time`` gives way."""
        ...

    def rate(self, source: Fraction) -> Fraction:
        """The output's nominal frame rate."""
        ...

    def time_base(self, source: Fraction) -> Fraction:
        """Ticks fine enough for all output times of a source with these ticks."""
        ...


@dataclass(frozen=True)
class Multiply:
    """``factor`` frames for each source frame, evenly up to the next: variable rates stay variable."""

    factor: int

    def between(self, first: Fraction, second: Fraction) -> list[tuple[Fraction, Fraction]]:
        """See ``Timeline``."""
        places = [Fraction(k, self.factor) for k in range(self.factor)]
        return [(first + (second - first) * place, place) for place in places]

    def end(self, time: Fraction) -> Fraction:
        """See ``Timeline``."""
        return time

    def rate(self, source: Fraction) -> Fraction:
        """See ``Timeline``."""
        return source * self.factor

    def time_base(self, source: Fraction) -> Fraction:
        """See ``Timeline``."""
        return _limited(source / self.factor)


@dataclass(frozen=True)
class Constant:
    """Exactly ``fps`` frames per second, from ``origin`` on."""

    fps: Fraction
    origin: Fraction

    def between(self, first: Fraction, second: Fraction) -> list[tuple[Fraction, Fraction]]:
        """See ``Timeline``."""
        begin, end = (math.ceil((time - self.origin) * self.fps) for time in (first, second))
        times = [self.origin + n / self.fps for n in range(begin, end)]
        return [(time, (time - first) / (second - first)) for time in times]

    def end(self, time: Fraction) -> Fraction:
        """See ``Timeline``."""
        return self.origin + math.ceil((time - self.origin) * self.fps) / self.fps

    def rate(self, source: Fraction) -> Fraction:
        """See ``Timeline``."""
        return self.fps

    def time_base(self, source: Fraction) -> Fraction:
        """See ``Timeline``; many ticks a frame, for the place of the first one."""
        return 1 / (self.fps * max(1, math.ceil(90_000 / self.fps)))


def _limited(ticks: Fraction) -> Fraction:
    """The same ticks, or microseconds where a container can't count so finely."""
    return ticks if ticks.denominator <= _LARGEST_TICKS else Fraction(1, 1_000_000)
