"""The training of one recognition network: its module, its videos, and what its weights file records of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback

from ls3d.errors import InputError
from ls3d.inference.classifier import preprocessing_of
from ls3d.models import RecognitionNet
from ls3d.training.processes import SINGLE, Processes
from ls3d.training.recognition.defaults import has_sides
from ls3d.training.recognition.loaders import make_loaders, open_split
from ls3d.training.recognition.module import ClassificationModule
from ls3d.training.recognition.precise_norms import PreciseNorms
from ls3d.training.recognition.recipe import BaseClassificationRecipe
from ls3d.training.task import Loaders

log = logging.getLogger(__name__)


class ClassificationTask:
    """Implements ``TrainingTask`` for recognition networks.

    Args:
        recipe: what to train.
        network: built from the recipe.

    Raises:
        InputError: the videos do not fit the recipe.
    """

    def __init__(self, recipe: BaseClassificationRecipe, network: RecognitionNet) -> None:
        self.recipe = recipe
        self.network = network
        self.preprocessing = preprocessing_of(network)
        self.split = open_split(recipe.data)
        classes = self.split.classes
        if network.num_classes != len(classes):
            raise InputError(
                f"model.arguments.num_classes is {network.num_classes}, but {recipe.data.root} has {len(classes)} "
                "classes"
            )
        if recipe.data.flip and has_sides(classes):
            log.warning("classes are named left or right, and half of the clips are mirrored: set data.flip=false")

    def module(self, processes: Processes = SINGLE) -> ClassificationModule:
        """The network with its loss and optimizer."""
        self.network.set_grad_checkpointing(self.recipe.grad_checkpointing)
        return ClassificationModule(self.network, self.recipe, self.preprocessing, processes)

    def loaders(self, samples_used: Callable[[], int], processes: Processes = SINGLE) -> Loaders:
        """Random clips of the training videos, and evenly spaced ones of the validation videos."""
        return make_loaders(self.recipe, self.split, samples_used, processes)

    def callbacks(self) -> list[Callback]:
        """What recomputes the statistics of normalizations, if the recipe asks for it."""
        return [PreciseNorms(self.recipe, self.split)] if self.recipe.optimization.precise_norms else []

    def metadata(self) -> dict[str, Any]:
        """The classes, the format of clips and their normalization: what is needed to classify a video."""
        return {
            "classes": list(self.split.classes),
            "clip": self.recipe.data.clip_format.to_dict(),
            "preprocessing": self.preprocessing.to_dict(),
        }
