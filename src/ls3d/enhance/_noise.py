"""Measuring the noise of a video before a job, to find out whether it must be denoised."""

from __future__ import annotations

import logging
import statistics
from fractions import Fraction

import torch

from ls3d.inference import estimate_sigma
from ls3d.video import Source, TimeRange, to_rgb

log = logging.getLogger(__name__)

_SAMPLES = 8  # frames that are measured

#: Less noise than this, in [0, 255], is not seen. Rounding to 8 bits and fine detail measure up to about 1.
_VISIBLE = 1.5


def has_noise(source: Source, span: TimeRange) -> bool:
    """Whether a video has visible noise: the median level of some frames, evenly spaced, decides.

    Args:
        source: a source that can be read several times; others are taken for noisy.
        span: the part that is wanted.
    """
    info = source.info
    if not info.seekable:
        log.info("%s can be read only once, so its noise can't be measured beforehand; it is denoised", info.name)
        return True
    levels = [level for time in _times(info.duration, span) if (level := _level(source, time)) is not None]
    if not levels:
        return True
    level = statistics.median(levels)
    noisy = level >= _VISIBLE
    result = "it is denoised" if noisy else "too little to be seen, so it is not denoised"
    log.info("%s: noise of %.1f (standard deviation, of 255; in %d frames): %s", info.name, level, len(levels), result)
    return noisy


def _times(duration: Fraction | None, span: TimeRange) -> list[Fraction]:
    """The middles of equal parts of the span; only its beginning if its end is unknown."""
    ends = [end for end in (duration, span.end) if end is not None]
    if not ends or min(ends) <= span.start:
        return [span.start]
    part = (min(ends) - span.start) / _SAMPLES
    return [span.start + part * (2 * number + 1) / 2 for number in range(_SAMPLES)]


def _level(source: Source, time: Fraction) -> float | None:
    """The noise of the first frame from a time on; None if there is none."""
    frame = next(source.frames(start=time), None)
    if frame is None:
        return None
    return 255 * estimate_sigma(to_rgb(frame.picture, source.info.color, torch.device("cpu")))
