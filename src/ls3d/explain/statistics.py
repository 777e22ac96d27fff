"""How the spread of the samples depends on motion: what the LS3D paper shows in figures 1 and 3, as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ls3d.explain.trace import Trace
from ls3d.ops import bilateral_motion

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

    def correlation(self) -> float:
        """Spearman's rank correlation of motion and spread; NaN if one of them is constant."""
        first, second = _ranks(self.motion), _ranks(self.spread)
        if not first.std() or not second.std():
            return float("nan")
        return float(np.corrcoef(first, second)[0, 1])


def spread_against_motion(
    traces: Iterable[Trace],
    *,
    pixels: int = 200,
    seed: int = 0,
    motion: Callable[[int], Tensor] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SpreadStatistics:
    """Measure spread and motion at random pixels.

    Args:
        traces: of one or several output frames; each is dropped before the next is made.
        pixels: number of pixels of each output frame.
        seed: of the choice of pixels.
        motion: returns the true motion ``(2, H, W)``, (dy, dx) in pixels, for the number of the trace; by default it is
            found by matching, see ``Trace.motion``.
        progress: called with the number of pixels that are measured and the number of the trace.
    """
    generator = torch.Generator().manual_seed(seed)
    found: list[tuple[float, float]] = []
    for number, traced in enumerate(traces):
        lengths = (traced.motion() if motion is None else motion(number)).norm(dim=0)
        height, width = traced.output.shape[-2:]
        for place in torch.randint(height * width, (pixels,), generator=generator).tolist():
            y, x = divmod(place, width)
            points = traced.samples(x, y, limit=None)
            found.append((float(lengths[y // traced.scale, x // traced.scale]), points.spread()))
            if progress is not None:
                progress(len(found), number)
    lengths_and_spreads = np.array(found, dtype=np.float64).reshape(-1, 2)
    return SpreadStatistics(lengths_and_spreads[:, 0], lengths_and_spreads[:, 1])


def _ranks(values: FloatArray) -> FloatArray:
    """The rank of each value; equal values have the mean of their ranks."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    ranks: FloatArray = (last - (counts - 1) / 2)[index]
    return ranks
