"""The recipe of a classification: sections and checks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from ls3d.data.clip_times import ClipTiming
from ls3d.models import ClipFormat, Network, RecognitionNet
from ls3d.training.recipe.sections import BaseRecipe, OptimizationSection, Section
from ls3d.training.recognition.lengths import Lengths, with_lengths

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
        lengths: of the training, its warm-up and its milestones, in epochs or steps, as papers state them. ``steps``,
            ``warm_up`` and ``milestones`` follow from them; if ``steps`` is given too, the lengths are scaled to it.
        reference_batch: clips in the batch that ``learning_rate`` is meant for. With another ``batch_size``, the rate
            is changed in proportion (arXiv:1706.02677, section 2.1). None leaves it as it is.
        optimizer: SGD, or AdamW.
        momentum: of SGD.
        nesterov: whether the momentum of SGD is Nesterov's.
        bias_factor: biases and the parameters of normalizations learn at this times the rate; 2 in Caffe's networks.
        schedule: of the rate after the warm-up: cosine to zero; full-cosine, which also counts the steps of the
            warm-up (SlowFast); multiplied by ``step_factor`` at each of ``milestones``; or constant with a linear
            decay over the last ``decay`` of the steps.
        milestones: shares of the steps, increasing.
        step_factor: see ``schedule``.
        warm_up_start: the rate at the beginning of the warm-up, as a fraction of ``learning_rate``.
        clip_gradient: largest norm of the gradient; 0 is no limit.
        label_smoothing: share of the target that is divided among all classes.
        mixup: parameter of the beta distribution from which the weights of two mixed clips are drawn
            (arXiv:1710.09412); 0 mixes none.
        cutmix: likewise, for clips that show another clip in a rectangle (arXiv:1905.04899). With both, each batch is
            mixed in one of the two ways, chosen at random.
        accumulate: parts of a batch whose gradients are added up; saves memory. Batch normalization sees single parts.
        layer_decay: factor of the rate over a fifth of the network's depth, towards the input; 1 for equal rates.
        frozen_norms: whether the batch normalizations keep the statistics and the parameters that they begin with.
        precise_norms: before each validation and at the end, the running statistics of the batch normalizations are
            replaced by their means over this number of batches (SlowFast has 200); 0 keeps the moving averages.
    """

    batch_size: int = Field(default=16, gt=0, le=65_536)
    lengths: Lengths | None = None
    learning_rate: float = Field(default=0.01, gt=0)
    reference_batch: int | None = Field(default=None, gt=0)
    clip_gradient: float = Field(default=40.0, ge=0)
    ema: float = Field(default=0.0, ge=0, lt=1)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    bias_factor: float = Field(default=1.0, gt=0)
    schedule: Literal["cosine", "full-cosine", "steps", "linear"] = "cosine"
    milestones: list[float] = Field(default=[1 / 3, 2 / 3])
    step_factor: float = Field(default=0.1, gt=0, le=1)
    warm_up_start: float = Field(default=0.0, ge=0, le=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    mixup: float = Field(default=0.0, ge=0)
    cutmix: float = Field(default=0.0, ge=0)
    accumulate: int = Field(default=1, gt=0, le=4096)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    frozen_norms: bool = False
    precise_norms: int = Field(default=0, ge=0, le=1_000_000)

    @model_validator(mode="before")
    @classmethod
    def _apply_lengths(cls, values: Any) -> Any:
        return with_lengths(values, cls.model_fields["batch_size"].default)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate is {self.accumulate}, which does not divide batch_size, {self.batch_size}")
        if self.milestones != sorted(self.milestones) or not all(0 < share < 1 for share in self.milestones):
            raise ValueError(f"milestones {self.milestones} are not increasing shares between 0 and 1")
        if self.precise_norms and self.frozen_norms:
            raise ValueError("precise_norms is set, but frozen_norms keeps the statistics")
        return self

    @property
    def scaled_rate(self) -> float:
        """The learning rate for ``batch_size``."""
        return self.learning_rate * (self.batch_size / self.reference_batch if self.reference_batch else 1.0)

    def rate(self, step: int) -> float:
        """The learning rate at ``step``, as a fraction of ``scaled_rate``."""
        if self.schedule == "linear":
            return super().rate(step)
        if step >= self.warm_up:
            return self._decayed(step)
        end = self._decayed(self.warm_up) if self.schedule == "full-cosine" else 1.0
        return self.warm_up_start + (end - self.warm_up_start) * ((step + 1) / self.warm_up)

    def _decayed(self, step: int) -> float:
        if self.schedule == "steps":
            # Rounding must not delay a milestone.
            return float(self.step_factor ** sum(step >= share * self.steps - 1e-6 for share in self.milestones))
        start = 0 if self.schedule == "full-cosine" else self.warm_up
        progress = (step - start) / max(1, self.steps - start)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class BaseClassificationRecipe(BaseRecipe):
    """What all recipes that train networks to name the class of a video have.

    Attributes:
        data: the videos.
        optimization: the optimizer and the loss.
        grad_checkpointing: compute activations again in the backward pass: less memory, more time, equal gradients.
    """

    data: ClassificationData
    optimization: ClassificationOptimization
    grad_checkpointing: bool = False

    @property
    def accumulate(self) -> int:
        """Parts of a batch."""
        return self.optimization.accumulate

    def check_clip_length(self, network: RecognitionNet) -> None:
        """Raise ``ValueError`` if ``network`` takes clips of another number of frames."""
        length = network.traits.clip_length
        if length not in (None, self.data.frames):
            raise ValueError(f"data.frames is {self.data.frames}, {network.name} needs {length}")


class ClassificationRecipe(BaseClassificationRecipe):
    """A recipe that trains a network to name the class of a video.

    Attributes:
        kind: always ``"classification"``.
        strategy: what each of several processes keeps: all parameters (``"ddp"``), or a part of them (``"fsdp"``), for
            networks that are too large for one GPU. Changes the memory, and results by rounding errors.
    """

    kind: Literal["classification"]
    strategy: Literal["ddp", "fsdp"] = "ddp"

    @property
    def is_sharded(self) -> bool:
        """Whether each process keeps only a part of the parameters."""
        return self.strategy == "fsdp"

    @model_validator(mode="after")
    def _check_strategy(self) -> Self:
        if self.is_sharded and (self.optimization.ema or self.compile):
            raise ValueError("strategy fsdp can't be combined with optimization.ema or compile")
        return self

    @model_validator(mode="after")
    def _check_network(self) -> Self:
        network = self.model.outline()
        if not isinstance(network, RecognitionNet) or network.traits.modalities != ("clip",):
            raise ValueError(
                f"the model {self.model.name} is for {network.traits.task}, the recipe's kind is {self.kind}"
            )
        self.check_clip_length(network)
        self.check_offset_limit(network)
        return self

    def training_task(self, network: Network) -> ClassificationTask:
        """How to train ``network``, which was built from ``model``."""
        # Imports Lightning, which takes seconds.
        from ls3d.training.recognition.task import ClassificationTask

        assert isinstance(network, RecognitionNet)
        return ClassificationTask(self, network)
