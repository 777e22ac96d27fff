"""Hard cuts between shots, found on thumbnails while the video streams by.

A cut is a jump of the picture that stands out from the changes just before and after it: fast motion changes
every frame, a flash comes back at once, a cut does neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import numpy as np

from ls3d.video.pixels import layout_of
from ls3d.video.reader import Frame

#: Least mean difference of two thumbnails, in percent of the range, that may be a cut.
DEFAULT_THRESHOLD = 8.0

_WIDTH, _HEIGHT = 48, 27
_PROMINENCE = 2.5  # how many times the neighbouring changes a cut must exceed


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame, and whether a hard cut comes after it."""

    frame: Frame
    cut_after: bool


def find_cuts(frames: Iterable[Frame], threshold: float = DEFAULT_THRESHOLD) -> Iterator[Shot]:
    """Pass frames on, two frames late, with the cuts between them.

    Args:
        frames: consecutive frames.
        threshold: least difference of a cut, in percent of the range; 0 finds none.
    """
    if threshold <= 0:
        yield from (Shot(frame, False) for frame in frames)
        return
    pending: list[Frame] = []
    changes: list[float] = []  # changes[0] is before pending[0]; the rest lie between the pending frames
    last: np.ndarray | None = None
    for frame in frames:
        thumbnail = _thumbnail(frame.picture)
        if last is not None:
            changes.append(100 * float(np.abs(thumbnail - last).mean()))
        pending.append(frame)
        last = thumbnail
        if len(pending) == 3:
            cut = _is_cut(changes[:-2], changes[-2], changes[-1:], threshold)
            yield Shot(pending.pop(0), cut)
            del changes[:-2]
    if len(pending) == 2:
        yield Shot(pending.pop(0), _is_cut(changes[:-1], changes[-1], [], threshold))
    yield from (Shot(frame, False) for frame in pending)


def _is_cut(before: list[float], change: float, after: list[float], threshold: float) -> bool:
    return change >= threshold and all(change >= _PROMINENCE * other for other in (*before[-1:], *after))


def _thumbnail(picture: av.VideoFrame) -> np.ndarray:
    """Mean luma (or green) and chroma on a coarse grid, ``(3, h, w)`` float32 in [0, 1]."""
    gray = layout_of(picture.format.name).family == "gray"
    small = picture.reformat(_WIDTH, _HEIGHT, "gray" if gray else "yuv444p", interpolation="AREA")
    planes = [np.frombuffer(memoryview(p), np.uint8).reshape(_HEIGHT, -1)[:, :_WIDTH] for p in small.planes]
    return np.stack(planes).astype(np.float32) / 255
