"""What ``train`` needs from one kind of training; ``training.enhancement`` and ``training.recognition``
implement it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch.utils.data import DataLoader

from ls3d.training.processes import Processes

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule


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
