"""Which training a file belongs to: the recipe, the clips and the version of ls3d that it was made with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ls3d._version import __version__
from ls3d.data.clips import DecodedClip
from ls3d.errors import InputError

#: Keys of a recipe that change where and how fast it is trained, but not what.
_WITHOUT_EFFECT = ("output", "accelerator", "strategy", "data.cache", "data.workers")
_SAMPLED_CLIPS = 16
_MOST_SHOWN = 4


class OtherTrainingError(InputError):
    """A folder holds a training of another recipe, or on other clips."""


def identity(recipe: Mapping[str, Any], data: str) -> dict[str, Any]:
    """Return what a training state records.

    Args:
        recipe: ``BaseRecipe.conditions()``.
        data: digest of the clips.
    """
    return {"recipe": dict(recipe), "data": data, "version": __version__}


def digest_clips(training: Sequence[DecodedClip], held_out: Sequence[DecodedClip]) -> str:
    """Return a digest of the names of all clips, and of the size and the first frame of some of them.

    Not of all frames, since reading large training sets takes hours.
    """
    digest = hashlib.sha256()
    for clips in (training, held_out):
        digest.update("\n".join(clip.name for clip in clips).encode(errors="surrogateescape") + b"\0")
        step = max(1, len(clips) // _SAMPLED_CLIPS)
        for clip in clips[::step]:
            frames = clip.frames
            digest.update(f"{frames.shape}".encode())
            digest.update(frames[0].tobytes())
    return digest.hexdigest()


def require_same_recipe(folder: Path, found: Any, wanted: Mapping[str, Any]) -> None:
    """Check that the training in a folder is that of a recipe.

    Args:
        folder: where it is.
        found: the recipe that is recorded there.
        wanted: ``BaseRecipe.conditions()``.

    Raises:
        OtherTrainingError: the recipes differ; the message names the keys.
    """
    differences = list(_differences(found if isinstance(found, Mapping) else {}, wanted))
    if differences:
        shown = ", ".join(differences[:_MOST_SHOWN])
        more = f" and {len(differences) - _MOST_SHOWN} more" if len(differences) > _MOST_SHOWN else ""
        raise OtherTrainingError(f"{folder} holds a training of another recipe: {shown}{more}")


def require_same_data(folder: Path, found: Any, wanted: str) -> None:
    """Check that the training in a folder used the clips that the recipe has now.

    Raises:
        OtherTrainingError: the clips have changed.
    """
    if found != wanted:
        raise OtherTrainingError(f"{folder} holds a training on other clips than those that data.root has now")


def is_same_recipe(found: Any, wanted: Mapping[str, Any]) -> bool:
    """Whether two recipes train the same network."""
    return isinstance(found, Mapping) and not any(_differences(found, wanted))


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """Yield ``"optimization.steps 100, now 200"`` for every key whose value differs."""
    first, second = dict(_flat(found)), dict(_flat(wanted))
    for key in sorted(first.keys() | second.keys()):
        if key not in _WITHOUT_EFFECT and first.get(key) != second.get(key):
            yield f"{key} {_show(first.get(key))} (now {_show(second.get(key))})"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _show(value: Any) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
