"""The videos of a classification recipe: which are trained on, which are held out, and the batches made from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ls3d.data.decoded import decode_set
from ls3d.data.labeled import LabeledSet, LabeledVideo, open_labeled_set
from ls3d.data.labeled_clips import Augmentation, FixedViews, LabeledViews, RandomClips
from ls3d.data.windows import RunningSampler
from ls3d.errors import InputError
from ls3d.training.processes import SINGLE, Processes
from ls3d.training.recognition.recipe import BaseClassificationRecipe, ClassificationData
from ls3d.training.task import Loaders, training_loader

_VALIDATION_GROUPS = frozenset({"val", "valid", "validation"})
_TEST_GROUPS = frozenset({"test", "testing"})
_DEFAULT_SHARE = 0.1

#: Videos in a batch of the validation.
_VALIDATION_BATCH = 8


@dataclass(frozen=True)
class Split:
    """The videos of a recipe.

    Attributes:
        classes: names of the classes.
        training: videos that are trained on.
        validation: videos that are validated on.
        unreadable: names of the files that were left out, each with the reason.
    """

    classes: tuple[str, ...]
    training: tuple[LabeledVideo, ...]
    validation: tuple[LabeledVideo, ...]
    unreadable: dict[str, str]


class ViewBatch(TypedDict):
    """Several clips ``(N, V, 3, T, h, w)`` of each video, None if no video can be decoded; labels ``(N,)``."""

    clips: Tensor | None
    label: Tensor
    unreadable: str


def open_split(data: ClassificationData) -> Split:
    """Open the videos of a recipe and divide them.

    Raises:
        InputError: there are no videos, a group has none, or nothing is left to train on.
    """
    labeled = open_labeled_set(data.root, data.short_side)
    groups = {video.group for video in labeled.videos}
    unused = groups & _TEST_GROUPS if data.unused is None else set(data.unused)
    labeled.of_groups(unused)  # an unknown group is an error
    labeled = labeled.without_groups(unused)
    if data.decoded_rate is not None:
        labeled = decode_set(labeled, data.decoded_rate)
    chosen = data.validation if data.validation is not None else sorted(groups & _VALIDATION_GROUPS) or _DEFAULT_SHARE
    if isinstance(chosen, float):
        validation = _share_of_each_class(labeled, chosen)
    else:
        validation = labeled.of_groups(chosen).videos
    held_out = {video.name for video in validation}
    training = tuple(video for video in labeled.videos if video.name not in held_out)
    if not training:
        raise InputError(f"{labeled.source} has no video to train on besides those of data.validation and data.unused")
    return Split(labeled.classes, training, validation, labeled.unreadable)


def _share_of_each_class(labeled: LabeledSet, share: float) -> tuple[LabeledVideo, ...]:
    """Evenly spaced videos of each class: neighbors in the sorted names are often parts of one recording."""
    chosen: list[LabeledVideo] = []
    for label in range(len(labeled.classes)):
        videos = [video for video in labeled.videos if video.label == label]
        count = min(max(1, round(share * len(videos))), len(videos) - 1)
        chosen += [videos[(2 * n + 1) * len(videos) // (2 * count)] for n in range(count)]
    return tuple(sorted(chosen, key=lambda video: video.name))


def make_loaders(
    recipe: BaseClassificationRecipe, split: Split, samples_used: Callable[[], int], processes: Processes = SINGLE
) -> Loaders:
    """The training and the validation loader.

    Args:
        recipe: what to train.
        split: its videos.
        samples_used: see ``TrainingTask.loaders``.
        processes: see ``TrainingTask.loaders``.

    Raises:
        InputError: a batch can't be divided evenly among the processes.
    """
    data = recipe.data
    batch = recipe.optimization.batch_size // recipe.accumulate
    processes.share_size(batch, "optimization.batch_size / optimization.accumulate")  # which checks it
    training = training_loader(_random_clips(recipe, split), recipe, batch, data.workers, samples_used, processes)
    validation = None
    if split.validation:
        views = FixedViews(split.validation, data.timing, data.size, data.test_share, data.clips)
        shown = processes.validated(len(split.validation))
        validation = DataLoader(views, _VALIDATION_BATCH, sampler=shown, collate_fn=collate_views)
    return Loaders(training, validation, digest_split(split))


def make_norm_loader(recipe: BaseClassificationRecipe, split: Split, processes: Processes = SINGLE) -> DataLoader[Any]:
    """The batches over which the statistics of normalizations are computed: always the first ones of the training.

    Args:
        recipe: what to train; ``optimization.precise_norms`` is the number of batches.
        split: its videos.
        processes: among which each batch is divided.
    """
    batch = recipe.optimization.batch_size // recipe.accumulate
    count = recipe.optimization.precise_norms * batch
    sampler = RunningSampler(count, lambda: 0, batch, processes.rank, processes.count)
    clips = _random_clips(recipe, split)
    return DataLoader(clips, batch // processes.count, sampler=sampler, num_workers=recipe.data.workers)


def _random_clips(recipe: BaseClassificationRecipe, split: Split) -> RandomClips:
    data = recipe.data
    augmentation = Augmentation(data.share, data.shift, data.speed, data.flip)
    return RandomClips(split.training, data.timing, data.size, augmentation, recipe.seed)


def collate_views(samples: Sequence[LabeledViews]) -> ViewBatch:
    """Make a batch of the videos that could be decoded."""
    readable = [(sample["clips"], sample["label"]) for sample in samples if sample["clips"] is not None]
    unreadable = "\n".join(sample["unreadable"] for sample in samples if sample["unreadable"])
    if not readable:
        return {"clips": None, "label": torch.zeros(0, dtype=torch.long), "unreadable": unreadable}
    clips = torch.stack([clip for clip, _ in readable])
    return {"clips": clips, "label": torch.tensor([label for _, label in readable]), "unreadable": unreadable}


def digest_split(split: Split) -> str:
    """Return a digest of the names, labels and durations of all videos."""
    digest = hashlib.sha256("\n".join(split.classes).encode(errors="surrogateescape"))
    for videos in (split.training, split.validation):
        digest.update(b"\0")
        for video in videos:
            digest.update(
                f"{video.name}\t{video.label}\t{video.frames.duration:.3f}\n".encode(errors="surrogateescape")
            )
    return digest.hexdigest()
