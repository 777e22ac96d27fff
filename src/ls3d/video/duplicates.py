"""Duplicates in animation, where each drawing is shown for two, three or four frames.

A duplicate differs from the frame before it by the codec's noise only, and by much less than one drawing from the next.
Duplicates are dropped, and the drawing's duration covers them. A drawing that is shown for longer is a still, whose
frames are all kept: to spread the next movement over it would change the scene.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import takewhile

import av
import numpy as np

from ls3d.video.filtered_source import FilteredSource
from ls3d.video.pixels import Plane, layout_of, planes_of
from ls3d.video.source import Frame, Source

#: Seconds that a drawing may be shown for: four frames of film. Longer ones are stills.
_LONGEST = Fraction(1, 6)

# Differences between frames are mean absolute differences of blocks in 8-bit codes, the mean of the blocks that differ
# most: a moving mouth is small. On flat drawings coded by x264 at rate factors of 18 to 34, duplicates differ by up to
# 12, drawings by 22 and more.
_BLOCK = 8
_BLOCKS = 4
_TOLERANCE = 12.0
_FRACTION = 1 / 3  # of the smaller one of the changes before and after the drawing


class WithoutDuplicates(FilteredSource):
    """The frames of a source without duplicates. Implements ``ls3d.video.Source``.

    Args:
        base: the source.
        start: time in seconds; frames before it are ignored, and the first one after it is not a duplicate.
        end: time in seconds; frames from there on are ignored. None for the end of the source.
    """

    def __init__(self, base: Source, start: Fraction = Fraction(0), end: Fraction | None = None) -> None:
        super().__init__(base, base.info, start)
        self._end = end
        self._max_frames = round(base.info.rate * _LONGEST)

    def _filtered(self, frames: Iterator[Frame], from_beginning: bool) -> Iterator[Frame]:
        """See ``FilteredSource``; frames are certain after the first change, or after the first still."""
        certain = from_beginning
        drawing = _Drawing()
        for frame in takewhile(self._is_wanted, frames):
            change = drawing.change_to(frame)
            if change is not None and change > _TOLERANCE:
                if certain:
                    yield from drawing.finished(change)
                certain = True
                drawing = _Drawing(change)
            drawing.add(frame, change)
            if len(drawing.frames) > self._max_frames:
                yield from drawing.flushed()
                certain = True
        if certain:
            yield from drawing.finished(None)

    def _is_wanted(self, frame: Frame) -> bool:
        return self._end is None or frame.time < self._end


class _Drawing:
    """Consecutive frames that may show the same drawing.

    Args:
        change_before: the difference between its first frame and the one before; None if there is none.

    Attributes:
        frames: those that were added and not returned yet.
    """

    def __init__(self, change_before: float | None = None) -> None:
        self.frames: list[Frame] = []
        self._last: Frame | None = None
        self._change_before = change_before
        self._largest = 0.0
        self._is_still = False

    def change_to(self, frame: Frame) -> float | None:
        """The difference between the last frame and the next one; None without a last frame."""
        if self._last is None:
            return None
        change = difference(self._last.picture, frame.picture)
        if self._last.alpha is None or frame.alpha is None:
            return change
        depth = layout_of(frame.picture.format.name).depth
        return max(change, _difference(self._last.alpha, frame.alpha) / float(1 << (depth - 8)))

    def add(self, frame: Frame, change: float | None) -> None:
        """Add a frame that differs from the last one by ``change``."""
        if self._last is not None and change is not None:
            self._largest = max(self._largest, change)
        self.frames.append(frame)
        self._last = frame

    def flushed(self) -> list[Frame]:
        """All frames: the drawing is shown for so long that it is a still."""
        self._is_still = True
        frames, self.frames = self.frames, []
        return frames

    def finished(self, change_after: float | None) -> list[Frame]:
        """The frames that are kept, given the difference between the last one and the next."""
        changes = [change for change in (self._change_before, change_after) if change is not None]
        if self._is_still or len(self.frames) < 2 or not changes or self._largest > _FRACTION * min(changes):
            return self.frames
        first, last = self.frames[0], self.frames[-1]
        return [
            replace(
                first,
                duration=last.time + last.duration - first.time,
                undecodable_packets=sum(frame.undecodable_packets for frame in self.frames),
                retimed=any(frame.retimed for frame in self.frames),
                duplicates=len(self.frames) - 1,
            )
        ]


def difference(first: av.VideoFrame, second: av.VideoFrame) -> float:
    """How much two planar pictures of the same layout and size differ where they differ most, in 8-bit codes."""
    depth = layout_of(first.format.name).depth
    planes = zip(planes_of(first), planes_of(second), strict=True)
    largest = max(_difference(a, b) for a, b in planes)
    return largest / float(1 << (depth - 8))


def _difference(first: Plane, second: Plane) -> float:
    """The mean of the largest mean absolute differences of blocks."""
    absolute = np.maximum(first, second) - np.minimum(first, second)  # unsigned samples
    height, width = absolute.shape
    rows = np.add.reduceat(absolute, range(0, height, _BLOCK), axis=0, dtype=np.uint32)
    sums = np.add.reduceat(rows, range(0, width, _BLOCK), axis=1).ravel()
    largest = np.partition(sums, max(0, sums.size - _BLOCKS))[-_BLOCKS:]
    return float(largest.mean()) / _BLOCK**2
