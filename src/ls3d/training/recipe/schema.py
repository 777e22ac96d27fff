"""Recipes: what to train, on what, how; one YAML file each, every value may be overridden as ``key=value``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ls3d.errors import InputError, require

require("pydantic", "train")
require("yaml", "train")

import yaml  # noqa: E402
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator  # noqa: E402

from ls3d.training.recipe.inheritance import read_with_bases  # noqa: E402


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ModelSection(_Section):
    """The network: a registered name, its arguments, and weights to start from."""

    name: str
    arguments: dict[str, Any] = {}
    weights: Path | None = None


class DataSection(_Section):
    """The clips: where they lie, how samples are cut from them and made worse.

    ``set`` is a key of ``ls3d.data.training_sets.TRAINING_SETS``, ``size`` the height and width that its frames are
    brought to before anything else; ``held_out`` names the clips that are kept for validation, or says how many.
    ``degradation`` is for super-resolution, ``sigma`` (a range, in 8-bit values) for denoising.
    """

    root: Path
    set: str = "folder"
    size: tuple[int, int] | None = None
    cache: Path | None = None
    held_out: list[str] | int = []
    crop: int = Field(128, gt=0)
    scale: tuple[float, float] = (0.5, 1.0)
    candidates: int = Field(2, gt=0)
    degradation: Literal["bi", "bd"] = "bi"
    sigma: tuple[float, float] = (5.0, 55.0)
    workers: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _ranges_rise(self) -> DataSection:
        if not 0 < self.scale[0] <= self.scale[1] or not 0 <= self.sigma[0] <= self.sigma[1]:
            raise ValueError(f"scale {self.scale} or sigma {self.sigma} is not a range from low to high")
        if self.size and min(self.size) < 1:
            raise ValueError(f"size {self.size} is not a height and a width")
        return self


class AdversarialSection(_Section):
    """Adversarial losses from step ``start`` on: the weights of the 2D and the 3D one beside the pixels' loss.

    ``width`` is that of the discriminators, which learn at ``learning_rate``.
    """

    weight_2d: float = Field(0.005, ge=0)
    weight_3d: float = Field(0.005, ge=0)
    learning_rate: float = Field(1e-4, gt=0)
    start: int = Field(0, ge=0)
    width: int = Field(64, gt=0)

    @model_validator(mode="after")
    def _one_at_least(self) -> AdversarialSection:
        if self.weight_2d == self.weight_3d == 0:
            raise ValueError("both weights are 0; without adversarial losses leave the section out")
        return self


class OptimizationSection(_Section):
    """The optimiser: AdamW, linear warm-up, constant rate, linear decay to zero over the last part.

    The offset predictors of ``nn.LS3DConv3d`` layers learn at ``offset_factor`` times the rate. Every ``offset_every``
    steps (0: never) their offsets are logged, with a warning beyond ``offset_warning`` pixels; ``offset_limit`` bounds
    them, for the trained network, too.
    """

    steps: int = Field(gt=0)
    batch_size: int = Field(4, gt=0)
    learning_rate: float = Field(3e-4, gt=0)
    offset_factor: float = Field(0.1, ge=0)
    offset_every: int = Field(100, ge=0)
    offset_warning: float = Field(32.0, gt=0)
    offset_limit: float | None = Field(None, gt=0)
    warm_up: int = Field(100, ge=0)
    decay: float = Field(0.3, ge=0, le=1)
    weight_decay: float = Field(1e-4, ge=0)
    clip_gradient: float = Field(1.0, gt=0)
    ema: float = Field(0.999, ge=0, lt=1)
    loss: Literal["l1", "charbonnier"] = "l1"
    coarse_loss: float = Field(0.0, ge=0)
    adversarial: AdversarialSection | None = None

    def rate(self, step: int) -> float:
        """The learning rate at ``step``, as a part of ``learning_rate``."""
        rising = (step + 1) / self.warm_up if self.warm_up else 1.0
        tail = self.decay * self.steps
        falling = (self.steps - step) / tail if tail else 1.0
        return max(0.0, min(1.0, rising, falling))


class Recipe(_Section):
    """Everything that a training run depends on.

    ``channels_last`` and ``compile`` (``torch.compile``) change its speed and the last bits of its numbers.
    """

    task: Literal["interpolation", "super-resolution", "denoising"] = "interpolation"
    model: ModelSection
    data: DataSection
    optimization: OptimizationSection
    seed: int = 0
    steps_per_epoch: int = Field(100, gt=0)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    channels_last: bool = False
    compile: bool = False
    half_weights: bool = False
    output: Path
    facts: dict[str, Any] = {}

    @model_validator(mode="after")
    def _discriminators_are_not_scaled(self) -> Recipe:
        if self.optimization.adversarial and self.precision == "16-mixed":
            raise ValueError("adversarial losses need precision 32-true or bf16-mixed, not 16-mixed")
        return self


def load_recipe(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and its bases, and apply ``section.key=value`` overrides; values are read as YAML.

    Without ``output`` the run lies in ``runs/FOLDER_NAME``, after the recipe's file.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the file or a base of it is not YAML, an override is not ``key=value``, or a key or value is not
            a recipe's.
    """
    values = read_with_bases(path)
    values.setdefault("output", f"runs/{Path(path).resolve().parent.name}_{Path(path).stem}")
    for override in overrides:
        _override(values, override)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            raise InputError(f"{path}: {message}") from error
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {key}: {message}, got {first['input']!r}") from error


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"{override!r} is not an override; expected section.key=value")
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise InputError(f"{override!r}: {section} is not a section of the recipe")
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{override!r}: the value is not YAML") from error
