"""Sections that recipes of every kind have, and the base class of all recipes.

Names are resolved when a recipe is built: a misspelt network, argument or key is an error before anything is trained.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import nn

from ls3d.errors import InputError
from ls3d.models import Network
from ls3d.models.outline import make_outline
from ls3d.nn import LS3DConv3d

if TYPE_CHECKING:
    from ls3d.training.task import TrainingTask


_MOST_PARAMETERS = 4_000_000_000
_MOST_STEPS = 1_000_000_000


class Section(BaseModel):
    """A part of a recipe. Keys that it does not have are errors."""

    model_config = ConfigDict(
        extra="forbid", protected_namespaces=(), arbitrary_types_allowed=True, allow_inf_nan=False
    )


class ModelSection(Section):
    """The network to train.

    Attributes:
        name: as ``ls3d.models.create_model`` takes it.
        arguments: those of the network's builder.
        weights: a weights file of the same network to start from; None starts from random weights.
    """

    name: str
    arguments: dict[str, Any] = {}
    weights: Path | None = None

    def outline(self) -> Network:
        """The network on the meta device, without memory for its weights.

        Raises:
            InputError: there is no such network, or it takes no such argument.
        """
        network = make_outline(self.name, self.arguments)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        if parameters > _MOST_PARAMETERS:
            raise InputError(f"{self.name} would have {parameters:,} parameters, more than {_MOST_PARAMETERS:,}")
        return network


class OptimizationSection(Section):
    """AdamW with linear warm-up, a constant rate, and linear decay to zero at the end.

    Attributes:
        steps: optimizer steps of the whole training.
        batch_size: samples in a step.
        learning_rate: the constant rate.
        offset_factor: the offset predictors of ``nn.LS3DConv3d`` layers learn at this times ``learning_rate``.
        offset_every: steps between two logs of the offsets; 0 logs none.
        offset_warning: offsets longer than this, in pixels of the layer's feature map, cause a warning.
        offset_limit: bound of the offsets in the same unit, kept in the weights file; None is no bound.
        warm_up: steps of the warm-up.
        decay: share of the steps over which the rate decays.
        weight_decay: of AdamW.
        clip_gradient: largest norm of the gradient.
        ema: decay of the moving average of the weights, which is validated and saved; 0 is no average.
    """

    steps: int = Field(gt=0, le=_MOST_STEPS)
    batch_size: int = Field(default=4, gt=0, le=4096)
    learning_rate: float = Field(default=3e-4, gt=0)
    offset_factor: float = Field(default=0.1, ge=0)
    offset_every: int = Field(default=100, ge=0, le=_MOST_STEPS)
    offset_warning: float = Field(default=32.0, gt=0)
    offset_limit: float | None = Field(default=None, gt=0)
    warm_up: int = Field(default=100, ge=0, le=_MOST_STEPS)
    decay: float = Field(default=0.3, ge=0, le=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    clip_gradient: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.999, ge=0, lt=1)

    def rate(self, step: int) -> float:
        """The learning rate at ``step``, as a fraction of ``learning_rate``."""
        rising = (step + 1) / self.warm_up if self.warm_up else 1.0
        decay_steps = self.decay * self.steps
        falling = (self.steps - step) / decay_steps if decay_steps else 1.0
        return max(0.0, min(1.0, rising, falling))


class BaseRecipe(Section):
    """What recipes of every kind have.

    Attributes:
        model: the network.
        optimization: how long and how fast it learns.
        seed: of initial weights, samples and noise.
        steps_per_epoch: steps between two validations and checkpoints.
        precision: as Lightning names it.
        accelerator: ``"auto"`` is the GPU where there is one.
        channels_last: keep weights channels-last. Changes the speed, and results by rounding errors.
        compile: train through ``torch.compile``. Changes the speed, and results by rounding errors.
        half_weights: save the weights as float16.
        output: the folder of checkpoints, logs and weights.
        metadata: further entries of the weights file's metadata: license, training data, ...
    """

    model: ModelSection
    optimization: OptimizationSection
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    steps_per_epoch: int = Field(default=100, gt=0, le=_MOST_STEPS)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    channels_last: bool = False
    compile: bool = False
    half_weights: bool = False
    output: Path
    metadata: dict[str, Any] = {}

    @field_validator("accelerator")
    @classmethod
    def _has_accelerator(cls, accelerator: str) -> str:
        if accelerator == "gpu" and not torch.cuda.is_available():
            raise ValueError("there is no GPU that torch can use; expected cpu or auto")
        return accelerator

    @property
    def is_sharded(self) -> bool:
        """Whether each process keeps only a part of the parameters."""
        return False

    @property
    def accumulate(self) -> int:
        """Parts of a batch whose gradients are added up."""
        return 1

    def check_offset_limit(self, network: nn.Module) -> None:
        """Raise ``ValueError`` if offsets are to be bounded, but ``network`` has none."""
        has_offsets = any(isinstance(layer, LS3DConv3d) for layer in network.modules())
        if self.optimization.offset_limit and not has_offsets:
            raise ValueError(f"optimization.offset_limit is set, but {self.model.name} has no LS3DConv3d to bound")

    @abstractmethod
    def training_task(self, network: Network) -> TrainingTask:
        """How to train ``network``, which was built from ``model``."""

    def conditions(self) -> dict[str, Any]:
        """JSON-able values of everything but ``metadata``, as the weights file records them."""
        return self.model_dump(mode="json", exclude={"metadata"})
