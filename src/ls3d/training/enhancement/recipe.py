"""Sections of the recipes for enhancement networks, and their base class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from ls3d.data.degradations import DEGRADATIONS, Degradation, get_degradation
from ls3d.data.training_sets import TRAINING_SETS
from ls3d.models.network import EnhancementNetwork, EnhancementTraits
from ls3d.training.recipe.sections import BaseRecipe, OptimizationSection, Section

_LARGEST_SIZE = 16_384

#: Lowest and highest value.
Range = tuple[float, float]


class DataSection(Section):
    """The clips, and how samples are cut from them.

    Attributes:
        root: the folder of the training set.
        set: a key of ``ls3d.data.training_sets.TRAINING_SETS``.
        size: height and width to which all frames are resized first.
        cache: where decoded frames are kept; None is the user's cache folder.
        held_out: names of the clips that are kept for validation, or their number.
        rendered: number of clips that are rendered from the training clips' textures and trained on, too.
        crop: height and width of a sample in pixels.
        scale: range of the random factor by which a sample is scaled down.
        candidates: number of random crops of which the one with most motion is used.
        workers: processes that load samples; 0 loads them in the training process.
    """

    root: Path
    set: str = "folder"
    size: tuple[int, int] | None = None
    cache: Path | None = None
    held_out: list[str] | int = Field(default=[])
    rendered: int = Field(default=0, ge=0, le=1_000_000)
    crop: int = Field(default=128, gt=0, le=8192)
    scale: Range = (0.5, 1.0)
    candidates: int = Field(default=2, gt=0, le=1000)
    workers: int = Field(default=0, ge=0, le=256)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.set not in TRAINING_SETS:
            raise ValueError(f"no training set is called {self.set!r}; there are {', '.join(TRAINING_SETS)}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale {self.scale} is not a range from low to high")
        if self.size and not 1 <= min(self.size) <= max(self.size) <= _LARGEST_SIZE:
            raise ValueError(f"size {self.size} is not a height and a width of 1 to {_LARGEST_SIZE} pixels")
        return self


def _get_degradation(value: object) -> Degradation:
    if isinstance(value, Degradation):
        return value
    if not isinstance(value, str):
        raise ValueError(f"expected one of {', '.join(DEGRADATIONS)}")
    return get_degradation(value)


class SuperResolutionData(DataSection):
    """The clips, and how they are shrunk.

    Attributes:
        degradation: a key of ``ls3d.data.degradations.DEGRADATIONS`` that makes frames smaller.
    """

    degradation: Annotated[
        Degradation, BeforeValidator(_get_degradation), PlainSerializer(lambda degradation: degradation.name)
    ] = DEGRADATIONS["bi"]

    @model_validator(mode="after")
    def _degradation_shrinks(self) -> Self:
        if self.degradation.scale == 1:
            smaller = [name for name, known in DEGRADATIONS.items() if known.scale > 1]
            raise ValueError(f"degradation {self.degradation.name} does not shrink; expected {' or '.join(smaller)}")
        return self


class DenoisingData(DataSection):
    """The clips, and the noise that is added to them.

    Attributes:
        sigma: range of the noise's standard deviation in units of 8-bit values; each sample has its own.
    """

    sigma: Range = (5.0, 55.0)

    @model_validator(mode="after")
    def _sigma_is_a_range(self) -> Self:
        if not 0 <= self.sigma[0] <= self.sigma[1]:
            raise ValueError(f"sigma {self.sigma} is not a range from low to high")
        return self


class AdversarialSection(Section):
    """Adversarial losses, added to the loss of the pixels.

    Attributes:
        weight_2d: of the loss from the 2D discriminator, which judges single frames; 0 leaves it out.
        weight_3d: of the loss from the 3D discriminator, which judges sequences; 0 leaves it out.
        learning_rate: of the discriminators.
        start: the first step with adversarial losses.
        width: channels of the discriminators' first layer.
    """

    weight_2d: float = Field(default=0.005, ge=0)
    weight_3d: float = Field(default=0.005, ge=0)
    learning_rate: float = Field(default=1e-4, gt=0)
    start: int = Field(default=0, ge=0)
    width: int = Field(default=64, gt=0, le=4096)

    @model_validator(mode="after")
    def _has_a_weight(self) -> Self:
        if self.weight_2d == self.weight_3d == 0:
            raise ValueError("both weights are 0; without adversarial losses leave the section out")
        return self


class EnhancementOptimization(OptimizationSection):
    """The optimizer and the losses.

    Attributes:
        loss: of the pixels: the mean absolute difference, its smooth variant, or the logarithm of each sample's mean
            squared difference, which is what the mean PSNR of many samples measures.
        coarse_loss: weight of the same loss at the coarser scales of the network's ``forward_pyramid``.
        adversarial: None trains without adversarial losses.
    """

    loss: Literal["l1", "charbonnier", "psnr"] = "l1"
    coarse_loss: float = Field(default=0.0, ge=0)
    adversarial: AdversarialSection | None = None


class EnhancementRecipe(BaseRecipe):
    """What the recipes for enhancement networks have in common.

    Attributes:
        kind: the task that the network has to be for.
        data: the clips.
        optimization: the optimizer and the losses.
    """

    kind: Literal["interpolation", "super-resolution", "denoising"]
    data: DataSection
    optimization: EnhancementOptimization

    @model_validator(mode="after")
    def _check_network(self) -> Self:
        network = self.model.outline()
        name = self.model.name
        if not isinstance(network, EnhancementNetwork) or network.traits.task != self.kind:
            raise ValueError(f"the model {name} is for {network.traits.task}, the recipe's kind is {self.kind}")
        multiple = frame_size_multiple(network.traits)
        if self.data.crop % multiple:
            raise ValueError(f"data.crop is {self.data.crop}, {name} needs a multiple of {multiple}")
        self.check_offset_limit(network)
        self._check_traits(network.traits)
        return self

    def _check_traits(self, traits: EnhancementTraits) -> None:
        """Raise ValueError where the network does not fit ``data``."""

    @model_validator(mode="after")
    def _check_precision(self) -> Self:
        # Lightning scales the gradients of the network, but not those of the discriminators.
        if self.optimization.adversarial and self.precision == "16-mixed":
            raise ValueError("adversarial losses need precision 32-true or bf16-mixed, not 16-mixed")
        return self


def frame_size_multiple(traits: EnhancementTraits) -> int:
    """Height and width of the clean frames must be divisible by this."""
    return traits.size_multiple * traits.scale
