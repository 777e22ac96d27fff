"""How the spread of the samples depends on motion: what the LS3D paper shows in figures 1 and 3, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ls3d.explain.trace import Trace

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SpreadStatistics:
    """Spread of the samples and motion at pixels of one or several output frames.

    Attributes:
        motion: ``(P,)``, length of the motion in pixels of the input, from one input frame to the next.
        spread: ``(P,)``, ``SamplingPoints.spread`` in pixels of the input.
    """

    motion: FloatArray
    spread: FloatArray

    @classmethod
    def joined(cls, parts: Sequence[SpreadStatistics]) -> SpreadStatistics:
        """The statistics of the pixels of all parts."""
        return cls(np.concatenate([part.motion for part in parts]), np.concatenate([part.spread for part in parts]))

    def correlation(self) -> float:
        """Spearman's rank correlation of motion and spread; NaN if one of them is constant, or without pixels."""
        if not len(self.motion):
            return float("nan")
        first, second = _ranks(self.motion), _ranks(self.spread)
        if not first.std() or not second.std():
            return float("nan")
        return float(np.corrcoef(first, second)[0, 1])


def measure_spread(
    traced: Trace, *, pixels: int = 200, seed: int = 0, motion: Tensor | None = None
) -> SpreadStatistics:
    """Measure spread and motion at random pixels of an output frame; those without samples are left out.

    Args:
        traced: the output frame.
        pixels: their number, with those that are left out.
        seed: of their choice.
        motion: the true motion ``(2, H, W)``, (dy, dx) in pixels of the input; by default ``traced.motion()``.
    """
    lengths = (traced.motion() if motion is None else motion).norm(dim=0)
    height, width = traced.output.shape[-2:]
    places = torch.randint(height * width, (pixels,), generator=torch.Generator().manual_seed(seed))
    found = []
    for y, x in (divmod(place, width) for place in places.tolist()):
        length = float(lengths[y // traced.scale, x // traced.scale])
        found.append((length, traced.samples(x, y, limit=None).spread()))
    measured = np.array(found).reshape(-1, 2)
    measured = measured[~np.isnan(measured[:, 1])]
    return SpreadStatistics(measured[:, 0], measured[:, 1])


def _ranks(values: FloatArray) -> FloatArray:
    """The rank of each value; equal values have the mean of their ranks."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    ranks: FloatArray = (last - (counts - 1) / 2)[index]
    return ranks
