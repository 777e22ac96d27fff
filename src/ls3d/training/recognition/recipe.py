"""The recipe of a classification: sections, checks, and the recipe for a folder of videos without a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from ls3d.data.clip_times import ClipTiming
from ls3d.models import ClipFormat, Network, RecognitionNet
from ls3d.nn import LS3DConv3d
from ls3d.training.recipe.sections import BaseRecipe, OptimizationSection, Section

if TYPE_CHECKING:
    from ls3d.training.recognition.task import ClassificationTask

#: Lowest and highest value.
Range = tuple[float, float]

_LARGEST_SIZE = 4096


class ClassificationData(Section):
    """The videos, and how clips are taken from them.

    Attributes:
        root: a folder with ``LABEL/VIDEO`` or ``GROUP/LABEL/VIDEO``, a CSV file, or a file of decoded videos; see
            ``ls3d.data.labeled.open_labeled_set``.
        validation: groups that are validated on, or the share of the videos of each class. None takes the group
            ``val``, ``valid`` or ``validation`` if there is one, otherwise a tenth of the videos.
        unused: groups that are neither trained nor validated on. None takes the group ``test`` if there is one.
        frames: frames of a clip.
        fps: frames per second of a clip, independent of the frame rate of a video.
        size: height and width of a clip in pixels.
        share: range of the height and width of the region that a training clip shows, as a share of the largest region
            with its aspect ratio.
        shift: largest distance of that region from the center of the frame, as a share of what is possible.
        test_share: as ``share``, for validation and test.
        speed: range of the random factor by which a training clip covers more time.
        flip: whether half of the training clips are mirrored.
        color: largest random change of brightness and contrast of a training clip, as a share.
        subtract_mean: whether the mean of the frames of a clip is subtracted from each of them, which leaves what
            moves.
        clips: clips of each video in the validation.
        decoded_rate: frames per second that are decoded once and kept in memory; None decodes every clip anew.
        short_side: larger frames are scaled down to this shorter side when they are decoded; None keeps their size.
        workers: processes that load clips; 0 loads them in the training process.
    """

    root: Path
    validation: list[str] | float | None = None
    unused: list[str] | None = None
    frames: int = Field(default=16, gt=0, le=1024)
    fps: float = Field(default=15.0, gt=0, le=1000)
    size: tuple[int, int] = (112, 112)
    share: Range = (0.7, 1.0)
    shift: float = Field(default=1.0, ge=0, le=1)
    test_share: float = Field(default=0.875, gt=0, le=1)
    speed: Range = (1.0, 1.0)
    flip: bool = True
    color: float = Field(default=0.0, ge=0, lt=1)
    subtract_mean: bool = False
    clips: int = Field(default=1, gt=0, le=1000)
    decoded_rate: float | None = Field(default=None, gt=0, le=1000)
    short_side: int | None = Field(default=None, gt=0, le=_LARGEST_SIZE)
    workers: int = Field(default=0, ge=0, le=256)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.validation, float) and not 0 < self.validation < 1:
            raise ValueError(f"validation {self.validation} is not a share between 0 and 1")
        if not 0 < self.share[0] <= self.share[1] <= 1:
            raise ValueError(f"share {self.share} is not a range from low to high within (0, 1]")
        if not 0 < self.speed[0] <= self.speed[1]:
            raise ValueError(f"speed {self.speed} is not a range from low to high")
        if not 1 <= min(self.size) <= max(self.size) <= _LARGEST_SIZE:
            raise ValueError(f"size {self.size} is not a height and a width of 1 to {_LARGEST_SIZE} pixels")
        return self

    @property
    def timing(self) -> ClipTiming:
        """The times of the frames of a clip."""
        return ClipTiming(self.frames, self.fps)

    @property
    def clip_format(self) -> ClipFormat:
        """What the weights file records of the clips."""
        return ClipFormat(self.frames, self.fps, self.size, self.test_share, self.subtract_mean)


class ClassificationOptimization(OptimizationSection):
    """The optimizer and the loss. ``OptimizationSection`` explains the keys that are not listed here.

    Attributes:
        optimizer: SGD with Nesterov momentum, or AdamW.
        momentum: of SGD.
        schedule: of the rate after the warm-up: cosine to zero, divided by ten at each of ``milestones``, or constant
            with a linear decay over the last ``decay`` of the steps.
        milestones: shares of the steps, increasing.
        label_smoothing: share of the target that is divided among all classes.
        mixup: parameter of the beta distribution from which the weights of two mixed clips are drawn
            (arXiv:1710.09412); 0 mixes none.
        accumulate: parts of a batch whose gradients are added up; saves memory. Batch normalization sees single parts.
        layer_decay: factor of the rate from each stage of the network to the one before it; 1 for equal rates.
        frozen_norms: whether the batch normalizations keep the statistics and the parameters that they begin with.
    """

    batch_size: int = Field(default=16, gt=0, le=65_536)
    learning_rate: float = Field(default=0.01, gt=0)
    clip_gradient: float = Field(default=40.0, gt=0)
    ema: float = Field(default=0.0, ge=0, lt=1)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    schedule: Literal["cosine", "steps", "linear"] = "cosine"
    milestones: list[float] = Field(default=[1 / 3, 2 / 3])
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    mixup: float = Field(default=0.0, ge=0)
    accumulate: int = Field(default=1, gt=0, le=4096)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    frozen_norms: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate is {self.accumulate}, which does not divide batch_size, {self.batch_size}")
        if self.milestones != sorted(self.milestones) or not all(0 < share < 1 for share in self.milestones):
            raise ValueError(f"milestones {self.milestones} are not increasing shares between 0 and 1")
        return self

    def rate(self, step: int) -> float:
        """The learning rate at ``step``, as a fraction of ``learning_rate``."""
        if self.schedule == "linear":
            return super().rate(step)
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        if self.schedule == "steps":
            return float(0.1 ** sum(step >= share * self.steps for share in self.milestones))
        progress = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class BaseClassificationRecipe(BaseRecipe):
    """What all recipes that train networks to name the class of a video have.

    Attributes:
        data: the videos.
        optimization: the optimizer and the loss.
    """

    data: ClassificationData
    optimization: ClassificationOptimization

    @property
    def accumulate(self) -> int:
        """Parts of a batch."""
        return self.optimization.accumulate


class ClassificationRecipe(BaseClassificationRecipe):
    """A recipe that trains a network to name the class of a video.

    Attributes:
        kind: always ``"classification"``.
    """

    kind: Literal["classification"]

    @model_validator(mode="after")
    def _check_network(self) -> Self:
        network = self.model.outline()
        name = self.model.name
        if not isinstance(network, RecognitionNet) or network.traits.modalities != ("clip",):
            raise ValueError(f"the model {name} is for {network.traits.task}, the recipe's kind is {self.kind}")
        if network.traits.clip_length not in (None, self.data.frames):
            raise ValueError(f"data.frames is {self.data.frames}, {name} needs {network.traits.clip_length}")
        has_offsets = any(isinstance(layer, LS3DConv3d) for layer in network.modules())
        if self.optimization.offset_limit and not has_offsets:
            raise ValueError(f"optimization.offset_limit is set, but {name} has no LS3DConv3d to bound")
        return self

    def training_task(self, network: Network) -> ClassificationTask:
        """How to train ``network``, which was built from ``model``."""
        # Imports Lightning, which takes seconds.
        from ls3d.training.recognition.task import ClassificationTask

        assert isinstance(network, RecognitionNet)
        return ClassificationTask(self, network)
