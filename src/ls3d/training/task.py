"""What ``train`` needs from one kind of training; ``training.enhancement`` and ``training.recognition``
implement it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from ls3d.data.windows import RunningSampler
from ls3d.training.processes import Processes

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule

    from ls3d.training.recipe.sections import BaseRecipe


@dataclass(frozen=True)
class Loaders:
    """The batches of a training.

    Attributes:
        training: one epoch.
        validation: None validates nothing.
        data: digest of the clips.
    """

    training: DataLoader[Any]
    validation: DataLoader[Any] | None
    data: str


def training_loader(
    samples: Dataset[Any],
    recipe: BaseRecipe,
    batch: int,
    workers: int,
    samples_used: Callable[[], int],
    processes: Processes,
) -> DataLoader[Any]:
    """The loader of one process for one epoch.

    Args:
        samples: are numbered for all processes and epochs.
        recipe: what is trained.
        batch: samples that all processes use before gradients are computed; a multiple of their number.
        workers: processes that load samples; 0 loads them in the training process.
        samples_used: see ``TrainingTask.loaders``.
        processes: among which each batch is divided.
    """
    epoch = recipe.steps_per_epoch * recipe.optimization.batch_size
    return DataLoader(
        samples,
        batch // processes.count,
        sampler=RunningSampler(epoch, samples_used, batch, processes.rank, processes.count),
        # Where there is nothing to pin memory for, torch warns.
        pin_memory=recipe.accelerator != "cpu" and torch.cuda.is_available(),
        num_workers=workers,
        persistent_workers=workers > 0,
    )


class TrainingTask(Protocol):
    """A network, its samples and its loss; a recipe's ``training_task`` builds it."""

    def module(self, processes: Processes = ...) -> LightningModule:
        """The network with its losses and optimizer, trained by ``processes``."""
        ...

    def loaders(self, samples_used: Callable[[], int], processes: Processes = ...) -> Loaders:
        """The loaders of one process.

        Args:
            samples_used: returns how many samples training has used so far; called at the beginning of each epoch, so
                that a resumed training continues with the next samples. All processes together have used them.
            processes: among which each batch is divided.

        Raises:
            InputError: the data do not fit the recipe.
        """
        ...

    def callbacks(self) -> list[Callback]:
        """Callbacks of this kind of training, besides those that every training has."""
        ...

    def metadata(self) -> dict[str, Any]:
        """Entries of the weights file's metadata, besides those that every training has."""
        ...
