"""The weights of Gradient-Blending, from measured losses (arXiv:1905.12681, section 3.3)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass

from ls3d.errors import InputError

log = logging.getLogger(__name__)

#: Smaller changes of the overfitting, in nats, count as this: they are within the noise of the losses, and the weights
#: are proportional to the inverse of their squares.
SMALLEST_OVERFITTING = 0.01


@dataclass(frozen=True)
class Measurement:
    """The losses of a head before and after a training.

    Attributes:
        training: mean loss of videos that are trained on.
        held_out: mean loss of videos that are not.
    """

    training: tuple[float, float]
    held_out: tuple[float, float]

    @property
    def overfitting(self) -> float:
        """The increase of the difference between both losses, ΔO."""
        before, after = (held_out - training for training, held_out in zip(self.training, self.held_out, strict=True))
        return after - before

    @property
    def generalization(self) -> float:
        """The decrease of the held-out loss, ΔG."""
        return self.held_out[0] - self.held_out[1]


def blend_weights(
    measurements: Mapping[str, Measurement], previous: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return the weights that minimize the ratio of overfitting to generalization: w = ΔG / ΔO², divided by their sum.

    They are optimal if the heads overfit independently of each other. A head whose held-out loss has not decreased gets
    0. If none has decreased, the weights stay as they are.

    Args:
        measurements: by head.
        previous: the weights before; None stands for equal ones.

    Raises:
        InputError: a loss is not finite.
    """
    shares = {name: _share(name, measured) for name, measured in measurements.items()}
    total = sum(shares.values())
    if total > 0:
        return {name: share / total for name, share in shares.items()}
    kept = dict(previous) if previous is not None else dict.fromkeys(measurements, 1 / len(measurements))
    log.warning("no held-out loss has decreased; the weights stay %s", show(kept))
    return kept


def overfitting_ratio(weights: Mapping[str, float], measurements: Mapping[str, Measurement]) -> float:
    """The ratio of overfitting to generalization of a blend, if the heads overfit independently of each other."""
    overfitting = math.hypot(*(weight * measurements[name].overfitting for name, weight in weights.items()))
    generalization = abs(sum(weight * measurements[name].generalization for name, weight in weights.items()))
    return overfitting / generalization if generalization else math.inf


def show(weights: Mapping[str, float]) -> str:
    """The weights as text."""
    return ", ".join(f"{name} {weight:.3f}" for name, weight in weights.items())


def _share(name: str, measured: Measurement) -> float:
    """ΔG / ΔO², or 0."""
    if not all(math.isfinite(loss) for loss in (*measured.training, *measured.held_out)):
        raise InputError(f"a loss of {name} is not finite: {measured}")
    if measured.generalization <= 0:
        log.info("the held-out loss of %s has not decreased (%+.4f): its weight is 0", name, -measured.generalization)
        return 0.0
    overfitting = abs(measured.overfitting)
    if overfitting < SMALLEST_OVERFITTING:
        log.warning("the overfitting of %s is %.2g, taken for %g", name, overfitting, SMALLEST_OVERFITTING)
    return measured.generalization / max(overfitting, SMALLEST_OVERFITTING) ** 2
