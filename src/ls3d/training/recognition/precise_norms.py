"""Recomputing the running statistics of batch normalizations before they are used."""

from __future__ import annotations

import lightning.pytorch as lightning
from lightning.pytorch.callbacks import Callback

from ls3d.training.recognition.loaders import Split, make_norm_loader
from ls3d.training.recognition.module import ClassificationModule
from ls3d.training.recognition.recipe import BaseClassificationRecipe


class PreciseNorms(Callback):
    """Recompute the running statistics before each validation and at the end of the training.

    It must follow the callback that averages weights, because the statistics must be those of the averaged weights.

    Args:
        recipe: what is trained.
        split: its videos.
    """

    def __init__(self, recipe: BaseClassificationRecipe, split: Split) -> None:
        self.recipe = recipe
        self.split = split
        self._step: int | None = None

    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Recompute them."""
        self._recompute(trainer, pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Recompute them, unless a validation did after the last step."""
        if self._step != trainer.global_step:
            self._recompute(trainer, pl_module)

    def _recompute(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, ClassificationModule)
        module.recompute_norms(make_norm_loader(self.recipe, self.split, module.processes))
        self._step = trainer.global_step
