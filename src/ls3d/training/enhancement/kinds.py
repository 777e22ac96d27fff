"""The three kinds of recipes for enhancement networks (sections 4.2 to 4.4 of the LS3D-Conv paper)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ls3d.models import EnhancementNetwork, EnhancementTraits, Network
from ls3d.training.enhancement.pairs import DenoisingPairs, InterpolationPairs, SuperResolutionPairs, TrainingPairs
from ls3d.training.enhancement.recipe import DenoisingData, EnhancementRecipe, SuperResolutionData

if TYPE_CHECKING:
    from ls3d.training.enhancement.task import EnhancementTask


class InterpolationRecipe(EnhancementRecipe):
    """New frames between two (section 4.2)."""

    kind: Literal["interpolation"]

    def training_task(self, network: Network) -> EnhancementTask:
        """Two frames of a clean window are the input, the three between them the target."""
        return _task(self, network, InterpolationPairs())


class SuperResolutionRecipe(EnhancementRecipe):
    """Larger frames (section 4.3)."""

    kind: Literal["super-resolution"]
    data: SuperResolutionData

    def _check_traits(self, traits: EnhancementTraits) -> None:
        if traits.scale != self.data.degradation.scale:
            raise ValueError(
                f"the model enlarges {traits.scale} times, "
                f"data.degradation makes {self.data.degradation.scale} times smaller"
            )

    def training_task(self, network: Network) -> EnhancementTask:
        """A shrunk window is the input, the clean one the target."""
        assert isinstance(network, EnhancementNetwork)
        return _task(self, network, SuperResolutionPairs(network.traits, self.data.degradation))


class DenoisingRecipe(EnhancementRecipe):
    """Cleaner frames (section 4.4)."""

    kind: Literal["denoising"]
    data: DenoisingData

    def training_task(self, network: Network) -> EnhancementTask:
        """A noisy window is the input, the clean one the target."""
        assert isinstance(network, EnhancementNetwork)
        return _task(self, network, DenoisingPairs(network.traits, self.data.sigma))


def _task(recipe: EnhancementRecipe, network: Network, pairs: TrainingPairs) -> EnhancementTask:
    # Imports Lightning, which takes seconds.
    from ls3d.training.enhancement.task import EnhancementTask

    assert isinstance(network, EnhancementNetwork)
    return EnhancementTask(recipe, network, pairs)
