"""The clips of a recipe: which are trained on, which are held out, and the batches made from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch.utils.data import DataLoader

from ls3d.data import cache
from ls3d.data.cache import CachedClip
from ls3d.data.windows import FixedWindows, RandomWindows
from ls3d.errors import InputError
from ls3d.models.network import EnhancementTraits
from ls3d.training.enhancement.recipe import DataSection, EnhancementRecipe, frame_size_multiple
from ls3d.training.identity import digest_clips
from ls3d.training.processes import SINGLE, Processes
from ls3d.training.task import Loaders, training_loader


def split_clips(data: DataSection) -> tuple[list[CachedClip], list[CachedClip]]:
    """The clips to train on, and those held out.

    Raises:
        InputError: there is no folder of clips, or ``held_out`` names clips that are not in it.
    """
    clips = cache.open_clips(data.root, data.cache, data.set, data.size)
    held_out = _held_out_names([clip.name for clip in clips], data)
    training = [clip for clip in clips if clip.name not in held_out]
    return training, [clip for clip in clips if clip.name in held_out]


def _held_out_names(names: Sequence[str], data: DataSection) -> set[str]:
    held_out = data.held_out
    if isinstance(held_out, int):
        if not 0 <= held_out < len(names):
            raise InputError(f"data.held_out is {held_out}, but {data.root} holds {len(names)} clips")
        # Evenly spaced in the sorted names: clips of one scene are often next to each other.
        return {names[(2 * n + 1) * len(names) // (2 * held_out)] for n in range(held_out)}
    if unknown := set(held_out) - set(names):
        raise InputError(f"data.held_out names {sorted(unknown)}, which {data.root} does not hold")
    return set(held_out)


def make_loaders(
    recipe: EnhancementRecipe,
    traits: EnhancementTraits,
    window: int,
    samples_used: Callable[[], int],
    processes: Processes = SINGLE,
) -> Loaders:
    """The training and the validation loader; held-out clips are in no training sample.

    Args:
        recipe: what to train.
        traits: those of the network.
        window: frames in a window.
        samples_used: see ``TrainingTask.loaders``.
        processes: see ``TrainingTask.loaders``.

    Raises:
        InputError: the clips do not fit the recipe.
    """
    data = recipe.data
    batch = recipe.optimization.batch_size
    processes.share_size(batch, "optimization.batch_size")  # which checks it
    clips, held_out = split_clips(data)
    if data.rendered:
        clips += cache.render_clips(clips, data.rendered, data.cache)
    samples = RandomWindows(clips, window, data.crop, data.scale, data.candidates, recipe.seed)
    training = training_loader(samples, recipe, batch, data.workers, samples_used, processes)
    validation = None
    if held_out:
        windows = fixed_windows(recipe, held_out, traits, window)
        validation = DataLoader(windows, 1, sampler=processes.validated(len(windows)))
    return Loaders(training, validation, digest_clips(clips, held_out))


def held_out_windows(recipe: EnhancementRecipe, traits: EnhancementTraits, window: int) -> FixedWindows | None:
    """The windows that are validated on, None if no clip is held out; arguments as for ``make_loaders``."""
    _, held_out = split_clips(recipe.data)
    return fixed_windows(recipe, held_out, traits, window) if held_out else None


def fixed_windows(
    recipe: EnhancementRecipe, clips: list[CachedClip], traits: EnhancementTraits, window: int
) -> FixedWindows:
    """Windows with twice the height and width of a training crop."""
    return FixedWindows(clips, window, crop=2 * recipe.data.crop, multiple=frame_size_multiple(traits))
