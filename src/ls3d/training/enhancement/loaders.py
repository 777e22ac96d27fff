"""The clips of a recipe: which are trained on, which are held out, and the batches made from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import DataLoader

from ls3d.data import cache
from ls3d.data.cache import CachedClip
from ls3d.data.windows import ClipSample, FixedWindows, RandomWindows, RunningSampler
from ls3d.errors import InputError
from ls3d.models import EnhancementNetwork
from ls3d.training.recipe.schema import DataSection, Recipe


def size_multiple(model: EnhancementNetwork) -> int:
    """Of what height and width of clean frames must be multiples."""
    return model.traits.size_multiple * model.traits.scale


def split_clips(data: DataSection) -> tuple[list[CachedClip], list[CachedClip]]:
    """The clips to train on, and those held out.

    Raises:
        InputError: no folder of clips, or ``held_out`` asks for what is not there.
    """
    clips = cache.open_clips(data.root, data.cache, data.set, data.size)
    held_out = _chosen([clip.name for clip in clips], data.held_out, data)
    return [clip for clip in clips if clip.name not in held_out], [clip for clip in clips if clip.name in held_out]


def _chosen(names: list[str], held_out: list[str] | int, data: DataSection) -> set[str]:
    if isinstance(held_out, int):
        if not 0 <= held_out < len(names):
            raise InputError(f"data.held_out is {held_out}, but {data.root} holds {len(names)} clips")
        # Evenly spread over the sorted names: clips of one scene often follow each other.
        return {names[(2 * n + 1) * len(names) // (2 * held_out)] for n in range(held_out)}
    if unknown := set(held_out) - set(names):
        raise InputError(f"data.held_out names {sorted(unknown)}, which {data.root} does not hold")
    return set(held_out)


def held_out_windows(recipe: Recipe, clips: list[CachedClip], frames: int, multiple: int) -> FixedWindows:
    """The windows of held-out clips that are validated on: twice the side of a training crop."""
    return FixedWindows(clips, frames, crop=2 * recipe.data.crop, multiple=multiple)


def loaders(
    recipe: Recipe, frames: int, multiple: int, drawn: Callable[[], int]
) -> tuple[DataLoader[ClipSample], DataLoader[ClipSample] | None]:
    """The training and the validation loader; clips held out are in no training sample.

    Args:
        recipe: what to train.
        frames: frames of a window.
        multiple: of what height and width must be multiples.
        drawn: how many samples training has used so far.

    Raises:
        InputError: the clips or the crop don't fit.
    """
    data, batch = recipe.data, recipe.optimization.batch_size
    if data.crop % multiple:
        raise InputError(f"data.crop is {data.crop}, {recipe.model.name} needs a multiple of {multiple}")
    kept, held_out = split_clips(data)
    windows = RandomWindows(kept, frames, data.crop, data.scale, data.candidates, recipe.seed)
    sampler = RunningSampler(recipe.steps_per_epoch * batch, drawn)
    options: dict[str, Any] = {"num_workers": data.workers, "persistent_workers": data.workers > 0}
    pinned = recipe.accelerator != "cpu" and torch.cuda.is_available()  # torch warns where there is nothing to pin for
    training = DataLoader(windows, batch, sampler=sampler, pin_memory=pinned, **options)
    validation = DataLoader(held_out_windows(recipe, held_out, frames, multiple), 1) if held_out else None
    return training, validation
