"""Detection of hard cuts between shots, on thumbnails, while the frames are read.

A cut is a change of the picture that stands out from the changes just before and after it: fast motion changes every
frame, a flash is undone by the next frame, a cut is neither. Between scenes of little contrast, such as dark ones, a
smaller change is enough, but it must stand out more. Repeated frames, as in animation on twos and threes, are
skipped in this comparison: a change is compared with the nearest real changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt

from ls3d.video.pixels import layout_of
from ls3d.video.source import Frame

#: Minimum mean absolute difference of two thumbnails at a cut, in percent of the range.
DEFAULT_THRESHOLD = 4.0

#: Number of changes before and after a possible cut that it is compared with.
CUT_LOOKAHEAD = 3

# Size of a thumbnail.
_WIDTH = 48
_HEIGHT = 27

#: A cut must be at least this many times as large as the nearest changes.
_PROMINENCE = 2.5

#: A cut between scenes whose contrast (mean absolute deviation, in percent of the range) is below this one may be
#: smaller than the threshold in proportion, down to the smallest fraction of it.
_FULL_CONTRAST = 12.0
_SMALLEST_FRACTION = 0.125
_FLAT = 0.5  # pictures of less contrast are flat, and the threshold is the same for them

#: How many times as large as the nearest changes such a cut must be.
_DARK_PROMINENCE = 5.0

#: Changes up to this, in percent of the range, are those of repeated frames.
_REPEATED = 0.1


@dataclass(frozen=True, eq=False)
class ScannedFrame:
    """A frame, and whether a hard cut separates it from the next one."""

    frame: Frame
    cut_after: bool


def find_cuts(frames: Iterable[Frame], threshold: float = DEFAULT_THRESHOLD) -> Iterator[ScannedFrame]:
    """Find the cuts between frames.

    A frame is yielded once the ``CUT_LOOKAHEAD`` + 1 frames after it have been read.

    Args:
        frames: consecutive frames.
        threshold: minimum mean absolute difference at a cut, in percent of the range; 0 finds no cuts.
    """
    if threshold <= 0:
        yield from (ScannedFrame(frame, False) for frame in frames)
        return
    pending: deque[Frame] = deque()
    before: deque[float] = deque(maxlen=CUT_LOOKAHEAD)
    ahead: deque[float] = deque()  # ahead[0] is the change between the first two pending frames
    contrasts: deque[float] = deque()  # the larger one of both frames, for each change ahead
    previous: npt.NDArray[np.float32] | None = None
    for frame in frames:
        thumbnail = _thumbnail(frame.picture)
        if previous is not None:
            ahead.append(100 * float(np.abs(thumbnail - previous).mean()))
            contrasts.append(max(_contrast(previous), _contrast(thumbnail)))
        pending.append(frame)
        previous = thumbnail
        if len(ahead) > CUT_LOOKAHEAD:
            yield ScannedFrame(pending.popleft(), _is_cut(before, ahead, threshold, contrasts.popleft()))
            before.append(ahead.popleft())
    while pending:
        is_cut = bool(ahead) and _is_cut(before, ahead, threshold, contrasts.popleft())
        yield ScannedFrame(pending.popleft(), is_cut)
        if ahead:
            before.append(ahead.popleft())


def _is_cut(before: Sequence[float], ahead: Sequence[float], threshold: float, contrast: float) -> bool:
    """Whether the change ``ahead[0]`` is a cut, given the changes ``before`` and after it and the scenes' contrast."""
    change, *after = ahead
    nearest = max(_first_real_change(reversed(before)), _first_real_change(after))
    if change >= threshold:
        return change >= _PROMINENCE * nearest
    if contrast < _FLAT:
        return False
    fraction = min(1.0, max(contrast / _FULL_CONTRAST, _SMALLEST_FRACTION))
    return change >= threshold * fraction and change >= _DARK_PROMINENCE * max(nearest, _REPEATED)


def _contrast(thumbnail: npt.NDArray[np.float32]) -> float:
    """Mean absolute deviation of a thumbnail's luma, in percent of the range."""
    luma = thumbnail[0]
    return 100 * float(np.abs(luma - luma.mean()).mean())


def _first_real_change(changes: Iterable[float]) -> float:
    return next((change for change in changes if change > _REPEATED), 0.0)


def _thumbnail(picture: av.VideoFrame) -> npt.NDArray[np.float32]:
    """Mean luma and chroma on a coarse grid, ``(3, h, w)`` in [0, 1]; gray pictures have luma only, ``(1, h, w)``."""
    gray = layout_of(picture.format.name).family == "gray"
    small = picture.reformat(_WIDTH, _HEIGHT, "gray" if gray else "yuv444p", interpolation="AREA")
    planes = [np.frombuffer(memoryview(p), np.uint8).reshape(_HEIGHT, -1)[:, :_WIDTH] for p in small.planes]
    return np.stack(planes).astype(np.float32) / np.float32(255)
