"""The search plan of ``bilateral_motion``: what is compared, how far the search goes, and what a motion costs.

Both backends read these values, so that they find the same motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Radius of the local mean that is removed from the first three features.
MEAN_RADIUS = 3

#: Weight of the last three features, the colors themselves.
COLOR_WEIGHT = 0.3

#: Cost of a pixel of motion against the motion of the coarser level, and against the center of the search.
PENALTY = 0.002

#: Levels that are searched where the caller doesn't say how many: 1/16, 1/8, 1/4 and 1/2 of the size.
DEFAULT_LEVELS = 4


@dataclass(frozen=True)
class Level:
    """How one level of the pyramid is searched; lengths in pixels of the level.

    Attributes:
        radius: steps of the grid search to each side of its center.
        step: distance between two positions of the grid search.
        box: radius of the square window over which the difference of the frames is averaged.
        neighbor: distance of the four neighbors whose motion is tried first.
    """

    radius: int
    step: float
    box: int
    neighbor: int


_FINEST = Level(radius=1, step=0.5, box=3, neighbor=3)
_FINE = Level(radius=1, step=1.0, box=3, neighbor=2)
_COARSE = Level(radius=2, step=1.0, box=3, neighbor=2)
_COARSEST = Level(radius=4, step=1.0, box=2, neighbor=2)


def plan(levels: int) -> tuple[Level, ...]:
    """The levels from coarse to fine; the last is at half the size.

    Raises:
        ValueError: there is not at least one level.
    """
    if levels < 1:
        raise ValueError(f"levels is {levels}, expected at least 1")
    finer = (_FINEST, _FINE, _COARSE)
    return (_COARSEST, *(finer[min(k, len(finer) - 1)] for k in reversed(range(levels - 1))))


def half_size(height: int, width: int) -> tuple[int, int]:
    """Size of the next coarser level; an odd row or column counts as a whole one."""
    return (height + 1) // 2, (width + 1) // 2


def check_times(times: Sequence[float]) -> None:
    """Raise ``ValueError`` for a time outside the interval."""
    if any(not 0 <= time <= 1 for time in times):
        raise ValueError(f"times are {list(times)}, expected values from 0 to 1")
