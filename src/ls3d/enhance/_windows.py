"""Windows: each source frame with its neighbors in the same shot, and the output frames to make from them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

from ls3d.enhance._timeline import OutputClock, Slot
from ls3d.video import Frame, ScannedFrame


@dataclass(frozen=True)
class Window:
    """A source frame with its neighbors in the same shot.

    Attributes:
        before: previous frames, in order; fewer than wanted at the start of a shot.
        frame: the frame.
        after: next frames, in order; fewer than wanted at the end of a shot.
        until: start time of the next frame, even if it belongs to another shot.
        slots: output frames to make, from ``frame`` up to the next one.
        cut_after: whether a hard cut separates the frame from the next one.
        is_last: whether it is the last frame of the source.
    """

    before: tuple[Frame, ...]
    frame: Frame
    after: tuple[Frame, ...]
    until: Fraction
    slots: tuple[Slot, ...]
    cut_after: bool
    is_last: bool

    @property
    def shot(self) -> tuple[Frame, ...]:
        """All frames of the window, which belong to one shot, in order; ``frame`` is at ``position``."""
        return (*self.before, self.frame, *self.after)

    @property
    def position(self) -> int:
        """Index of ``frame`` in ``shot``."""
        return len(self.before)


def windows(
    scanned: Iterator[ScannedFrame], before: int, after: int, first: Fraction, end: Fraction | None, clock: OutputClock
) -> Iterator[Window]:
    """Group frames into windows.

    Args:
        scanned: frames and the cuts between them.
        before: number of previous frames wanted.
        after: number of next frames wanted; ``max(1, after)`` frames are read ahead.
        first: time of the first frame that gets a window; earlier ones are only neighbors.
        end: where the last frame's window ends at the latest, None for its own end.
        clock: numbers the output frames.
    """
    past: deque[Frame] = deque(maxlen=before)
    ahead = deque(islice(scanned, max(1, after) + 1))
    while ahead:
        current = ahead.popleft()
        frame = current.frame
        if frame.time >= first:
            until = ahead[0].frame.time if ahead else frame.time + frame.duration
            until = until if end is None else min(until, end)
            following = tuple(islice(_same_shot(current, ahead), after))
            slots = clock.slots(frame.time, until, 1 + frame.duplicates)
            yield Window(tuple(past), frame, following, until, slots, current.cut_after, is_last=not ahead)
        past.append(frame)
        if current.cut_after:
            past.clear()
        ahead.extend(islice(scanned, 1))


def _same_shot(current: ScannedFrame, following: Iterable[ScannedFrame]) -> Iterator[Frame]:
    for scanned in following:
        if current.cut_after:
            return
        yield scanned.frame
        current = scanned
