"""The training of one enhancement network: its module, its clips and its callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback

from ls3d.data.windows import FixedWindows
from ls3d.models.network import EnhancementNetwork
from ls3d.training.enhancement.loaders import held_out_windows, make_loaders
from ls3d.training.enhancement.module import EnhancementModule
from ls3d.training.enhancement.pairs import TrainingPairs
from ls3d.training.enhancement.picture_log import PictureLog
from ls3d.training.enhancement.recipe import EnhancementRecipe
from ls3d.training.processes import SINGLE, Processes
from ls3d.training.task import Loaders


class EnhancementTask:
    """Implements ``TrainingTask`` for enhancement networks.

    Args:
        recipe: what to train.
        network: built from the recipe.
        pairs: inputs and targets for the network.
    """

    def __init__(self, recipe: EnhancementRecipe, network: EnhancementNetwork, pairs: TrainingPairs) -> None:
        self.recipe = recipe
        self.network = network
        self.pairs = pairs

    def module(self, processes: Processes = SINGLE) -> EnhancementModule:
        """The network with its losses and optimizer."""
        recipe = self.recipe
        return EnhancementModule(self.network, self.pairs, recipe.optimization, recipe.seed, recipe.compile, processes)

    def loaders(self, samples_used: Callable[[], int], processes: Processes = SINGLE) -> Loaders:
        """Random windows of the training clips, and the windows of ``held_out_windows``."""
        return make_loaders(self.recipe, self.network.traits, self.pairs.window, samples_used, processes)

    def callbacks(self) -> list[Callback]:
        """Pictures of the validation."""
        return [PictureLog()]

    def metadata(self) -> dict[str, Any]:
        """None."""
        return {}

    def held_out_windows(self) -> FixedWindows | None:
        """The windows that are validated on, None if no clip is held out."""
        return held_out_windows(self.recipe, self.network.traits, self.pairs.window)
