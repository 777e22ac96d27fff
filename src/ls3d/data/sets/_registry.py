"""The register of data sets, and the sentence for one that isn't there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ls3d.data.footage import Footage, ImageFootage
from ls3d.errors import InputError
from ls3d.video.images import IMAGE_SUFFIXES

Opener = Callable[[Path], list[Footage]]
_Opener = TypeVar("_Opener", bound=Opener)


@dataclass(frozen=True)
class DataSet:
    """What is known of a data set.

    Attributes:
        name: the key in ``DATA_SETS``.
        title: its name in papers.
        source: where to get it.
        layout: how it must lie below its folder.
        open: from the folder to the clips, in the order of the official list.
        clips: how many clips the complete set has; None where there is no official number.
        frames: how many frames they have together, likewise.
    """

    name: str
    title: str
    source: str
    layout: str
    open: Opener
    clips: int | None = None
    frames: int | None = None


DATA_SETS: dict[str, DataSet] = {}


def data_set(
    name: str, title: str, source: str, layout: str, clips: int | None = None, frames: int | None = None
) -> Callable[[_Opener], _Opener]:
    """Decorate the function that opens a data set; see ``DataSet`` for the arguments."""

    def register(opener: _Opener) -> _Opener:
        DATA_SETS[name] = DataSet(name, title, source, layout, opener, clips, frames)
        return opener

    return register


def open_data_set(name: str, root: str | os.PathLike[str]) -> list[Footage]:
    """The clips of a data set.

    Args:
        name: a key of ``DATA_SETS``.
        root: the folder it lies in.

    Raises:
        InputError: no such data set, or nothing of it lies there; the message says where it comes from and
            how it must lie.
    """
    if name not in DATA_SETS:
        raise InputError(f"no data set is called {name!r}; there are {', '.join(sorted(DATA_SETS))}")
    known, folder = DATA_SETS[name], Path(root)
    clips = known.open(folder) if folder.is_dir() else []
    if not clips:
        raise InputError(f"{root} does not hold {known.title}: it comes from {known.source} and lies as {known.layout}")
    return clips


def images_in(folder: Path) -> list[Path]:
    """The images in a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def frame_folders(root: Path, below: str = "") -> list[Footage]:
    """Every folder in ``root`` as a clip, its frames being the images in it or in its folder ``below``."""
    clips: list[Footage] = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        inner = folder / below
        paths = images_in(inner) if inner.is_dir() else []
        if paths:
            clips.append(ImageFootage(folder.name, paths))
    return clips


def listed(root: Path, list_file: str) -> list[str]:
    """The lines of an official list, without blanks; none where the list isn't there."""
    path = root / list_file
    return path.read_text().split() if path.is_file() else []


def existing(root: Path, names: list[Path], clip: str) -> list[Path]:
    """The files ``names`` below ``root``.

    Raises:
        InputError: one of them isn't there.
    """
    paths = [root / name for name in names]
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path} is missing, which the clip {clip} needs")
    return paths
