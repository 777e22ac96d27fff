"""Which videos of a training set are held out to measure overfitting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from ls3d.data.labeled import LabeledVideo
from ls3d.errors import InputError

#: Random orders of the groups, of which the one that keeps the shares of the classes best is taken.
_TRIALS = 100


def hold_out(
    videos: Sequence[LabeledVideo], share: float, seed: int
) -> tuple[tuple[LabeledVideo, ...], tuple[LabeledVideo, ...]]:
    """Divide videos into those that are trained on and those that are held out.

    Groups, such as people, are not divided if there is more than one. Otherwise, the same share of each class is held
    out, of a class with several videos at least one.

    Args:
        videos: to divide.
        share: of the videos that is held out.
        seed: of the choice.

    Raises:
        InputError: no video is left to train on or to hold out.
    """
    rng = np.random.default_rng((seed, len(videos)))
    groups = sorted({video.group for video in videos})
    chosen = _groups(rng, videos, groups, share) if len(groups) > 1 else _of_each_class(rng, videos, share)
    training = tuple(video for video in videos if video.name not in chosen)
    held_out = tuple(video for video in videos if video.name in chosen)
    if not held_out or not training:
        raise InputError(f"{len(videos)} training videos are too few to hold out some of them: no class has two")
    return training, held_out


def _of_each_class(rng: np.random.Generator, videos: Sequence[LabeledVideo], share: float) -> set[str]:
    chosen: set[str] = set()
    for label in sorted({video.label for video in videos}):
        names = sorted(video.name for video in videos if video.label == label)
        count = min(max(1, round(share * len(names))), len(names) - 1)
        chosen.update(names[index] for index in rng.permutation(len(names))[:count])
    return chosen


def _groups(rng: np.random.Generator, videos: Sequence[LabeledVideo], groups: list[str], share: float) -> set[str]:
    """The names of the videos of whole groups, as close to the share and the distribution of classes as possible."""
    best: tuple[float, Collection[str]] = (np.inf, ())
    for _ in range(_TRIALS):
        order = [groups[index] for index in rng.permutation(len(groups))]
        for count in range(1, len(groups)):
            distance = _distance(videos, set(order[:count]), share)
            if distance < best[0]:
                best = (distance, order[:count])
    return {video.name for video in videos if video.group in best[1]}


def _distance(videos: Sequence[LabeledVideo], held_out: set[str], share: float) -> float:
    """By how many videos holding out some groups differs from holding out the same share of each class."""
    total = Counter(video.label for video in videos)
    found = Counter(video.label for video in videos if video.group in held_out)
    return sum(abs(found[label] - share * count) for label, count in total.items())
