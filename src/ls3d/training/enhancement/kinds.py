"""The three kinds of recipes for enhancement networks (sections 4.2 to 4.4 of the LS3D-Conv paper)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from ls3d.models import EnhancementNetwork, EnhancementTraits, Network
from ls3d.training.enhancement.pairs import DenoisingPairs, InterpolationPairs, SuperResolutionPairs, TrainingPairs
from ls3d.training.enhancement.recipe import DenoisingData, EnhancementRecipe, SuperResolutionData

if TYPE_CHECKING:
    from ls3d.training.enhancement.task import EnhancementTask


class _PairsRecipe(EnhancementRecipe):
    """A recipe that trains on pairs of input and target."""

    @abstractmethod
    def pairs(self, traits: EnhancementTraits) -> TrainingPairs:
        """The pairs for a network with these traits."""

    def training_task(self, network: Network) -> EnhancementTask:
        """How to train ``network``, which was built from ``model``."""
        # Imports Lightning, which takes seconds.
        from ls3d.training.enhancement.task import EnhancementTask

        assert isinstance(network, EnhancementNetwork)
        return EnhancementTask(self, network, self.pairs(network.traits))


class InterpolationRecipe(_PairsRecipe):
    """New frames between two (section 4.2)."""

    kind: Literal["interpolation"]

    def pairs(self, traits: EnhancementTraits) -> InterpolationPairs:
        """Two frames of a clean window, and those between them."""
        return InterpolationPairs(traits)


class SuperResolutionRecipe(_PairsRecipe):
    """Larger frames (section 4.3)."""

    kind: Literal["super-resolution"]
    data: SuperResolutionData

    def _check_traits(self, traits: EnhancementTraits) -> None:
        if traits.scale != self.data.degradation.scale:
            raise ValueError(
                f"the model enlarges {traits.scale} times, "
                f"data.degradation makes {self.data.degradation.scale} times smaller"
            )

    def pairs(self, traits: EnhancementTraits) -> SuperResolutionPairs:
        """A shrunk window, and the clean one."""
        return SuperResolutionPairs(traits, self.data.degradation)


class DenoisingRecipe(_PairsRecipe):
    """Cleaner frames (section 4.4)."""

    kind: Literal["denoising"]
    data: DenoisingData

    def pairs(self, traits: EnhancementTraits) -> DenoisingPairs:
        """A noisy window, and the clean one."""
        return DenoisingPairs(traits, self.data.sigma)
