"""The training of a network for several modalities: its module, its videos, the callback that weights its losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lightning.pytorch import Callback

from ls3d.data.labeled import LabeledVideo
from ls3d.models.recognition.fusion import LateFusionNet
from ls3d.training.gradient_blending.callback import GradientBlending
from ls3d.training.gradient_blending.estimate import Estimator
from ls3d.training.gradient_blending.hold_out import hold_out
from ls3d.training.gradient_blending.loaders import make_loaders
from ls3d.training.gradient_blending.module import GradientBlendingModule, prediction_of
from ls3d.training.gradient_blending.recipe import GradientBlendingRecipe
from ls3d.training.identity import identity
from ls3d.training.processes import SINGLE, Processes
from ls3d.training.recognition.loaders import digest_split
from ls3d.training.recognition.task import ClassificationTask
from ls3d.training.task import Loaders


class GradientBlendingTask(ClassificationTask):
    """Implements ``TrainingTask`` for late fusion.

    Args:
        recipe: what to train.
        network: built from the recipe.

    Raises:
        InputError: the videos do not fit the recipe.
    """

    def __init__(self, recipe: GradientBlendingRecipe, network: LateFusionNet) -> None:
        super().__init__(recipe, network)
        self.blended = recipe
        self.fused = network
        self.format = recipe.clip_format(network)
        self.held_out: tuple[LabeledVideo, ...] = ()
        if recipe.blending.held_out:
            training, self.held_out = hold_out(self.split.training, recipe.blending.held_out, recipe.seed)
            self.split = replace(self.split, training=training)
        self.blending: GradientBlending | None = None
        self._processes = SINGLE

    def module(self, processes: Processes = SINGLE) -> GradientBlendingModule:
        """The network with its losses and optimizer."""
        self._processes = processes
        return GradientBlendingModule(self.fused, self.blended, self.preprocessing, processes)

    def loaders(self, samples_used: Callable[[], int], processes: Processes = SINGLE) -> Loaders:
        """Random clips of the training videos, and evenly spaced ones of the validation videos."""
        return make_loaders(self.blended, self.split, self.format, samples_used, processes)

    def callbacks(self) -> list[Callback]:
        """The callback that measures the weights, unless they are fixed."""
        if isinstance(self.blended.blending.weights, dict):
            return []
        estimator = Estimator(self.blended, self.split.training, self.held_out, self.preprocessing)
        training = identity(self.blended.conditions(), digest_split(self.split))
        self.blending = GradientBlending(self.blended, estimator, training, self._processes)
        return [self.blending]

    def metadata(self) -> dict[str, Any]:
        """What is needed to classify a video, and the weights of the losses."""
        fixed = self.blended.blending.weights
        history: list[dict[str, Any]] = [{"weights": fixed}] if self.blending is None else self.blending.history
        kept = ("super_epoch", "step", "weights")
        return {
            **super().metadata(),
            "modalities": list(self.format.modalities),
            "prediction": prediction_of([entry["weights"] for entry in history if "weights" in entry]),
            "blending": [{key: entry[key] for key in kept if key in entry} for entry in history],
        }
