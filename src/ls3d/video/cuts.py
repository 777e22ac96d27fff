"""Hard cuts between shots, found on thumbnails while the video streams by.

A cut is a jump of the picture that stands out from the changes just before and after it: fast motion changes every
frame, a flash comes back at once, a cut does neither. Repeated frames, as in animation on twos and threes, count as
no change at all: the nearest real changes are what a jump is compared with.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import av
import numpy as np

from ls3d.video.pixels import layout_of
from ls3d.video.reader import Frame

#: Least mean difference of two thumbnails, in percent of the range, that may be a cut.
DEFAULT_THRESHOLD = 4.0

#: Changes on either side of a jump that it is compared with, at most; decisions come so many frames late.
REACH = 3

_WIDTH, _HEIGHT = 48, 27
_PROMINENCE = 2.5  # how many times the nearest changes a cut must exceed
_STILL = 0.1  # percent; below it a frame is a repeated one


@dataclass(frozen=True, eq=False)
class ScannedFrame:
    """A frame, and whether a hard cut comes after it."""

    frame: Frame
    cut_after: bool


def find_cuts(frames: Iterable[Frame], threshold: float = DEFAULT_THRESHOLD) -> Iterator[ScannedFrame]:
    """Pass frames on with the cuts between them, ``REACH`` + 1 frames late.

    Args:
        frames: consecutive frames.
        threshold: least difference of a cut, in percent of the range; 0 finds none.
    """
    if threshold <= 0:
        yield from (ScannedFrame(frame, False) for frame in frames)
        return
    pending: deque[Frame] = deque()
    before: deque[float] = deque(maxlen=REACH)
    ahead: deque[float] = deque()  # ahead[0] lies between the first two pending frames
    last: np.ndarray | None = None
    for frame in frames:
        thumbnail = _thumbnail(frame.picture)
        if last is not None:
            ahead.append(100 * float(np.abs(thumbnail - last).mean()))
        pending.append(frame)
        last = thumbnail
        if len(ahead) > REACH:
            yield ScannedFrame(pending.popleft(), _is_cut(before, ahead, threshold))
            before.append(ahead.popleft())
    while pending:
        yield ScannedFrame(pending.popleft(), bool(ahead) and _is_cut(before, ahead, threshold))
        if ahead:
            before.append(ahead.popleft())


def _is_cut(before: Sequence[float], ahead: Sequence[float], threshold: float) -> bool:
    """Whether ``ahead[0]`` is a cut, given the changes before and after it."""
    change, *after = ahead
    nearest = [next((c for c in side if c > _STILL), 0.0) for side in (reversed(before), after)]
    return change >= threshold and change >= _PROMINENCE * max(nearest)


def _thumbnail(picture: av.VideoFrame) -> np.ndarray:
    """Mean luma and chroma on a coarse grid, ``(3, h, w)`` float32 in [0, 1]; gray pictures have luma alone."""
    gray = layout_of(picture.format.name).family == "gray"
    small = picture.reformat(_WIDTH, _HEIGHT, "gray" if gray else "yuv444p", interpolation="AREA")
    planes = [np.frombuffer(memoryview(p), np.uint8).reshape(_HEIGHT, -1)[:, :_WIDTH] for p in small.planes]
    return np.stack(planes).astype(np.float32) / 255
