"""The constants of ``bilateral_motion``: what is compared, how far the search goes, and what a motion costs.

Both backends read them, so that they find the same motion. All lengths are in pixels of a pyramid level.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

#: Radius of the square window whose mean is removed from the first three of the six features.
MEAN_RADIUS = 3

#: Radius of the square window over which the difference of the frames is averaged.
WINDOW_RADIUS = 3

#: Distance of the four neighbors whose motion is tried first.
NEIGHBOR = 3

#: Cost of a pixel of motion, against the motion of the coarser level and against the center of the grid search.
PENALTY = 0.002

#: Where a texture repeats, several motions fit. The best one around no motion is taken instead of a larger one if it
#: costs less than this share of the other's cost, and TOLERANCE.
SHARE = 0.85
TOLERANCE = 0.001

_COARSEST_RADIUS = 8
_LARGEST_REST_RADIUS = 3
_LEAST_LEVELS = 4
_COARSEST_SIDE = 45


def search_radii(levels: int) -> tuple[int, ...]:
    """Radius of the grid search at each level, the coarsest first; the finest level is at half the size.

    Raises:
        ValueError: there is not at least one level.
    """
    if levels < 1:
        raise ValueError(f"levels is {levels}, expected at least 1")
    return tuple(max(1, _COARSEST_RADIUS >> k) for k in range(levels))


def rest_radii(levels: int) -> tuple[int, ...]:
    """Radius of the grid search around no motion at each level, the coarsest first, where there is none: 0."""
    return (0, *(min(_LARGEST_REST_RADIUS, levels - k) for k in range(1, levels)))


def default_levels(height: int, width: int) -> int:
    """Four levels, and more for frames from 720 rows on, so that the reach of the search grows with the frame."""
    levels = _LEAST_LEVELS
    while min(height, width) >> levels > _COARSEST_SIDE:
        levels += 1
    return levels


def half_size(height: int, width: int) -> tuple[int, int]:
    """Size of the next coarser level; an odd last row or column counts as a whole one."""
    return (height + 1) // 2, (width + 1) // 2


def check_times(times: Sequence[float]) -> None:
    """Raise ``ValueError`` for a time outside the interval."""
    if any(not 0 <= time <= 1 for time in times):
        raise ValueError(f"times are {list(times)}, expected values from 0 to 1")


def too_large(kernel: str, first: Tensor) -> str | None:
    """Why a kernel with 32-bit positions can't take the frames ``(N, 3, H, W)``, in a sentence; None when it can."""
    height, width = half_size(first.shape[2], first.shape[3])
    if height * width < 2**28:
        return None
    return f"the {kernel} counts the features of a frame with 32 bits, and these frames have more"
