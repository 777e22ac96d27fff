"""The steps that a call of ``ls3d.enhance.enhance`` asks for. This module imports nothing heavy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from ls3d.enhance._arguments import (
    NoiseLevel,
    NothingToDoError,
    check_interpolation,
    exact_factor,
    read_noise_level,
)
from ls3d.enhance._size import SizeRequest, requested_size
from ls3d.errors import InputError

if TYPE_CHECKING:
    from ls3d.models import EnhancementNetwork

    Model = str | os.PathLike[str] | EnhancementNetwork


@dataclass(frozen=True)
class Models:
    """The networks of the steps, as far as they are given.

    Attributes:
        denoising: its name, its weights file, or the network itself; None for the default.
        super_resolution: likewise.
        interpolation: likewise.
    """

    denoising: Model | None = None
    super_resolution: Model | None = None
    interpolation: Model | None = None


@dataclass(frozen=True)
class WantedSteps:
    """What is done to a video. Values that change nothing (noise of 0, a scale or factor of 1) leave a step out.

    Attributes:
        level: noise to remove; None for no denoising.
        size: of the output; None for no enlargement.
        factor: output frames for each source frame, unless ``fps`` is not None.
        fps: frames per second.
        slow_motion: whether the source's frame rate is kept.
        models: the networks.
    """

    level: NoiseLevel | None
    size: SizeRequest | None
    factor: Fraction
    fps: Fraction | float | None
    slow_motion: bool
    models: Models

    @property
    def interpolates(self) -> bool:
        """Whether there are new frames."""
        return self.fps is not None or self.factor != 1

    @classmethod
    def of(
        cls,
        models: Models,
        sigma: float | str | None,
        size: tuple[Fraction | float | None, int | None, int | None, tuple[int, int] | None],
        factor: Fraction | float | None,
        fps: Fraction | float | None = None,
        slow_motion: bool = False,
    ) -> WantedSteps:
        """Check the arguments of ``ls3d.enhance.enhance``, which explains them.

        Args:
            models: its networks.
            sigma: its noise level.
            size: its ``scale``, ``width``, ``height`` and ``fit``.
            factor: its factor.
            fps: its frame rate.
            slow_motion: its argument of this name.

        Raises:
            InputError: one is out of range, several exclude each other, no step is asked for, or a network is given for
                a step that isn't.
        """
        asked = {
            "denoising": sigma is not None,
            "super_resolution": any(value is not None for value in size),
            "interpolation": slow_motion or factor is not None or fps is not None,
        }
        if not any(asked.values()):
            raise NothingToDoError("nothing to do: expected a noise level, a size, a factor or a frame rate")
        for step, is_asked in asked.items():
            model = vars(models)[step]
            if model is not None and not is_asked:
                raise InputError(f"{model}: no {step.replace('_', '-')} is asked for", argument=f"{step}_model")
        check_interpolation(factor, fps, slow_motion)
        level = None if sigma is None else read_noise_level(sigma)
        wanted = requested_size(*size)
        default = 2 if slow_motion else 1
        return cls(
            level=None if level == 0 else level,
            size=None if wanted is not None and wanted.scale == 1 else wanted,
            factor=exact_factor(default if factor is None else factor),
            fps=fps,
            slow_motion=slow_motion,
            models=models,
        )
