"""Mixing each clip of a batch with another one: mixup (arXiv:1710.09412) and CutMix (arXiv:1905.04899)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

Box = tuple[slice, slice]


@dataclass(frozen=True)
class Mixture:
    """How the clips of a batch are mixed.

    Attributes:
        order: for each clip, the index of the other one.
        weight: of the clip itself and of its label.
        box: rows and columns that show the other clip (CutMix); None blends the clips (mixup).
    """

    order: np.ndarray
    weight: float
    box: Box | None = None

    def mix(self, clips: Tensor, others: Tensor) -> Tensor:
        """Mix clips ``(N, C, T, H, W)`` with the other ones."""
        if self.box is None:
            return clips.lerp(others, 1 - self.weight)
        mixed = clips.clone()
        rows, columns = self.box
        mixed[..., rows, columns] = others[..., rows, columns]
        return mixed


def draw_mixture(
    rng: np.random.Generator, count: int, size: tuple[int, int], mixup: float, cutmix: float
) -> Mixture | None:
    """Draw how to mix a batch.

    Args:
        rng: source of randomness.
        count: clips in the batch.
        size: height and width of the clips.
        mixup: parameter of the beta distribution of the weights; 0 for no mixup.
        cutmix: likewise. With both, one of the two is drawn.

    Returns:
        None if neither is asked for.
    """
    if not mixup and not cutmix:
        return None
    cuts = bool(cutmix) and (not mixup or rng.random() < 0.5)
    weight = float(rng.beta(cutmix, cutmix) if cuts else rng.beta(mixup, mixup))
    order = rng.permutation(count)
    if not cuts:
        return Mixture(order, weight)
    box = _draw_box(rng, size, 1 - weight)
    area = (box[0].stop - box[0].start) * (box[1].stop - box[1].start)
    return Mixture(order, 1 - area / (size[0] * size[1]), box)


def _draw_box(rng: np.random.Generator, size: tuple[int, int], share: float) -> Box:
    """A rectangle with the frame's aspect ratio and this share of its area; what is outside the frame is cut off."""
    spans = []
    for length in size:
        side = round(length * share**0.5)
        start = int(rng.integers(length)) - side // 2
        spans.append(slice(max(0, start), min(length, start + side)))
    return spans[0], spans[1]
