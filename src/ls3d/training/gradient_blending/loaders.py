"""The batches of a training with Gradient-Blending."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ls3d.data.labeled import LabeledVideo
from ls3d.data.labeled_clips import Augmentation
from ls3d.data.multimodal_clips import (
    FixedMultimodalViews,
    MultimodalFormat,
    MultimodalViews,
    RandomMultimodalClips,
)
from ls3d.training.gradient_blending.recipe import GradientBlendingRecipe
from ls3d.training.processes import Processes
from ls3d.training.recognition.loaders import Split, digest_split
from ls3d.training.task import Loaders, training_loader

#: Videos in a batch of a validation or a measurement.
_VIEWED = 8


class MultimodalViewBatch(TypedDict):
    """Several clips of each video.

    Attributes:
        inputs: by modality, ``(N, V, ...)``; None if no video can be read.
        present: by modality, which videos have it, ``(N,)`` bool.
        label: ``(N,)``.
        unreadable: one line for each video that can't be read: its name, a tab and the reason.
    """

    inputs: dict[str, Tensor] | None
    present: dict[str, Tensor]
    label: Tensor
    unreadable: str


def collate_views(samples: Sequence[MultimodalViews]) -> MultimodalViewBatch:
    """Make a batch of the videos that can be read."""
    found = [(sample["inputs"], sample) for sample in samples if sample["inputs"] is not None]
    unreadable = "\n".join(sample["unreadable"] for sample in samples if sample["unreadable"])
    labels = torch.tensor([sample["label"] for _, sample in found], dtype=torch.long)
    if not found:
        return {"inputs": None, "present": {}, "label": labels, "unreadable": unreadable}
    names = found[0][0]
    return {
        "inputs": {name: torch.stack([inputs[name] for inputs, _ in found]) for name in names},
        "present": {name: torch.tensor([sample["present"][name] for _, sample in found]) for name in names},
        "label": labels,
        "unreadable": unreadable,
    }


def random_clips(
    recipe: GradientBlendingRecipe, videos: Sequence[LabeledVideo], format: MultimodalFormat, seed: int
) -> RandomMultimodalClips:
    """The training clips of a recipe."""
    data = recipe.data
    return RandomMultimodalClips(videos, format, Augmentation(data.share, data.shift, data.speed, data.flip), seed)


def view_loader(
    recipe: GradientBlendingRecipe,
    videos: Sequence[LabeledVideo],
    format: MultimodalFormat,
    shown: Sequence[int] | None = None,
) -> DataLoader[Any]:
    """Evenly spaced clips of videos, in batches of ``MultimodalViewBatch``.

    Args:
        recipe: what is trained.
        videos: the videos.
        format: what is read of each.
        shown: indices of the videos that are loaded; None for all.
    """
    data = recipe.data
    views = FixedMultimodalViews(videos, format, data.test_share, data.clips)
    return DataLoader(
        views,
        _VIEWED,
        sampler=shown,
        collate_fn=collate_views,
        num_workers=data.workers,
    )


def make_loaders(
    recipe: GradientBlendingRecipe,
    split: Split,
    format: MultimodalFormat,
    samples_used: Callable[[], int],
    processes: Processes,
) -> Loaders:
    """The training and the validation loader.

    Args:
        recipe: what is trained.
        split: its videos, without those that are held out for measurements.
        format: what is read of each.
        samples_used: see ``TrainingTask.loaders``.
        processes: see ``TrainingTask.loaders``.

    Raises:
        InputError: a batch can't be divided evenly among the processes.
    """
    batch = recipe.optimization.batch_size // recipe.accumulate
    processes.share_size(batch, "optimization.batch_size / optimization.accumulate")  # which checks it
    samples = random_clips(recipe, split.training, format, recipe.seed)
    training = training_loader(samples, recipe, batch, recipe.data.workers, samples_used, processes)
    validation = None
    if split.validation:
        validation = view_loader(recipe, split.validation, format, processes.validated(len(split.validation)))
    return Loaders(training, validation, digest_split(split))
