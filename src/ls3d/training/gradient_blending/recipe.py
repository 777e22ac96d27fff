"""The recipe of a training with Gradient-Blending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from ls3d.data.flow import FlowMethod
from ls3d.data.multimodal_clips import Missing, MultimodalFormat
from ls3d.models import Network
from ls3d.models.recognition.fusion import JOINT, LateFusionNet
from ls3d.training.recipe.sections import Section
from ls3d.training.recognition.recipe import BaseClassificationRecipe, ClassificationData

if TYPE_CHECKING:
    from ls3d.training.gradient_blending.task import GradientBlendingTask


class MultimodalData(ClassificationData):
    """The videos, and how clips are taken from them. ``ClassificationData`` explains the keys that are not listed here.

    Attributes:
        flow: how optical flow is computed.
        flow_rate: frames per second at which the flow of whole videos is computed once and kept in the user's cache
            folder; None computes that of each clip.
        missing: whether a video without sound is left out or masked: its loss counts in the other heads only.
    """

    flow: FlowMethod = "dis"
    flow_rate: float | None = Field(default=None, gt=0, le=1000)
    missing: Missing = "drop"


class BlendingSection(Section):
    """How the losses of the heads are weighted.

    Attributes:
        weights: ``"offline"`` measures them once, in trainings from the initial weights to the end; ``"online"``
            measures them at the beginning of each super-epoch, in trainings from the weights that are reached. Numbers
            by head are fixed weights: ``{joint: 1}`` is naive joint training.
        epochs: epochs of a super-epoch, and of each training that measures; None is the whole training.
        held_out: share of the training videos on which overfitting is measured. They are not trained on, whatever
            the weights, so that all trainings have the same videos; 0 with fixed weights trains on all.
    """

    weights: Literal["offline", "online"] | dict[str, float] = Field(default={JOINT: 1.0})
    epochs: int | None = Field(default=None, gt=0, le=1_000_000)
    held_out: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.weights, dict):
            if min(self.weights.values(), default=0) < 0 or not sum(self.weights.values()) > 0:
                raise ValueError(f"weights {self.weights} are not positive numbers")
            return self
        if not self.held_out:
            raise ValueError(f"held_out is 0, but {self.weights} weights are measured on held-out videos")
        if self.weights == "online" and self.epochs is None:
            raise ValueError("epochs is unset; online weights need the length of a super-epoch")
        return self


class GradientBlendingRecipe(BaseClassificationRecipe):
    """A recipe that trains a network for several modalities, each with its own loss.

    Attributes:
        kind: always ``"gradient_blending"``.
        data: the videos.
        blending: how the losses are weighted.
    """

    kind: Literal["gradient_blending"]
    data: MultimodalData
    blending: BlendingSection = BlendingSection()

    @model_validator(mode="after")
    def _check_network(self) -> Self:
        network = self.model.outline()
        if not isinstance(network, LateFusionNet):
            raise ValueError(f"the model {self.model.name} is no late fusion of networks, such as late_fusion is")
        self.check_offset_limit(network)
        for modality in network.traits.modalities:
            self.check_clip_length(network.tower(modality))
        weights = self.blending.weights
        if isinstance(weights, str) and len(network.heads) == 1:
            raise ValueError("blending.weights needs model.arguments.unimodal_heads=true, and more than one modality")
        if isinstance(weights, dict) and (unknown := set(weights) - set(network.heads)):
            raise ValueError(f"blending.weights: the model has no head {', '.join(sorted(unknown))}")
        if self.optimization.mixup or self.optimization.cutmix:
            raise ValueError("optimization.mixup and cutmix: clips of several modalities can't be mixed")
        if self.optimization.precise_norms:
            raise ValueError("optimization.precise_norms is not supported with several modalities")
        if self.precision == "16-mixed":
            raise ValueError("precision 16-mixed is not supported with several losses; expected bf16-mixed")
        return self

    @property
    def super_epoch(self) -> int:
        """Steps of a super-epoch, and of each training that measures."""
        epochs = self.blending.epochs
        return self.optimization.steps if epochs is None else epochs * self.steps_per_epoch

    def super_epoch_of(self, step: int) -> int:
        """Number of the super-epoch of a step; offline weights have a single one."""
        return step // self.super_epoch if self.blending.weights == "online" else 0

    def clip_format(self, network: LateFusionNet) -> MultimodalFormat:
        """What is read of each video."""
        data = self.data
        return MultimodalFormat(
            network.traits.modalities, data.timing, data.size, data.flow, data.flow_rate, data.missing
        )

    def training_task(self, network: Network) -> GradientBlendingTask:
        """How to train ``network``, which was built from ``model``."""
        # Imports Lightning, which takes seconds.
        from ls3d.training.gradient_blending.task import GradientBlendingTask

        assert isinstance(network, LateFusionNet)
        return GradientBlendingTask(self, network)
