"""What ``train`` needs from one kind of training; ``training.enhancement`` and ``training.recognition``
implement it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch.utils.data import DataLoader

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

    def module(self) -> LightningModule:
        """The network with its losses and optimizer."""
        ...

    def loaders(self, samples_used: Callable[[], int]) -> Loaders:
        """The loaders.

        Args:
            samples_used: returns how many samples training has used so far; called at the beginning of each epoch, so
                that a resumed training continues with the next samples.

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
