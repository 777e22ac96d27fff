"""The lengths of a published schedule in epochs or steps, and the steps that follow from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from ls3d.training.recipe.sections import Section


class Lengths(Section):
    """The length of a training, of its warm-up, and its milestones, all in the same unit.

    Attributes:
        epoch: clips in an epoch, if the unit is an epoch; None if it is a step.
        total: length of the training.
        warm_up: length of the warm-up, a part of ``total``.
        milestones: when the rate is reduced.
        every: instead of ``milestones``, reduces the rate each time that this length has passed after the warm-up.
    """

    epoch: int | None = Field(default=None, gt=0)
    total: float = Field(gt=0)
    warm_up: float = Field(default=0.0, ge=0)
    milestones: list[float] | None = None
    every: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.milestones is not None and self.every is not None:
            raise ValueError("milestones and every exclude each other")
        if self.warm_up >= self.total:
            raise ValueError(f"warm_up is {self.warm_up:g}, expected less than total, {self.total:g}")
        return self

    def steps(self, batch: int) -> int:
        """The steps of the training, rounded up."""
        return math.ceil(self.total * (1 if self.epoch is None else self.epoch / batch))

    def schedule(self, steps: int) -> dict[str, Any]:
        """The values of ``ClassificationOptimization`` for a training of so many steps."""
        values: dict[str, Any] = {"steps": steps, "warm_up": round(steps * self.warm_up / self.total)}
        milestones = self.milestones
        if self.every is not None:
            count = math.ceil((self.total - self.warm_up) / self.every) - 1
            milestones = [self.warm_up + self.every * n for n in range(1, count + 1)]
        if milestones is not None:
            values["milestones"] = [milestone / self.total for milestone in milestones]
        return values


def with_lengths(values: Any, default_batch: int) -> Any:
    """Add what follows from ``lengths`` to the unchecked values of a recipe's section, which have precedence."""
    if not isinstance(values, Mapping) or values.get("lengths") is None:
        return values
    try:
        lengths = Lengths.model_validate(values["lengths"])
    except ValidationError:
        return {"steps": 1, **values}  # the check of the field reports it
    batch, steps = values.get("batch_size", default_batch), values.get("steps")
    if not isinstance(steps, int):
        steps = lengths.steps(batch if isinstance(batch, int) and batch > 0 else default_batch)
    return {**lengths.schedule(steps), **values}
