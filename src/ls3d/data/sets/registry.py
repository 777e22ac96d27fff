"""The table of data sets, and helpers for the functions that read them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ls3d.data.clips import FileClip, ImageClip
from ls3d.data.lookup import look_up
from ls3d.errors import InputError
from ls3d.video.names import is_image

#: Reads the clips of a data set from its folder, in the order of the official list.
ClipReader = Callable[[Path], list[FileClip]]
_ClipReader = TypeVar("_ClipReader", bound=ClipReader)


@dataclass(frozen=True)
class DataSet:
    """A data set.

    Attributes:
        name: the key in ``DATA_SETS``.
        title: its name in papers.
        source: where to get it.
        layout: which files are expected in its folder.
        read: returns the clips in a folder, none if the folder does not hold the data set.
        clips: number of clips of the complete set, None if there is no official number.
        frames: number of frames of the complete set, None if there is no official number.
    """

    name: str
    title: str
    source: str
    layout: str
    read: ClipReader
    clips: int | None = None
    frames: int | None = None

    def open(self, root: str | os.PathLike[str]) -> list[FileClip]:
        """The clips in the order of the official list.

        Args:
            root: folder of the data set.

        Raises:
            InputError: the folder does not hold the data set, or a file of it is missing.
        """
        folder = Path(root)
        clips = self.read(folder) if folder.is_dir() else []
        if not clips:
            raise InputError(
                f"{root} does not hold {self.title} (source: {self.source}; expected layout: {self.layout})"
            )
        return clips


#: Every data set by name.
DATA_SETS: dict[str, DataSet] = {}


def register_data_set(
    name: str, title: str, source: str, layout: str, clips: int | None = None, frames: int | None = None
) -> Callable[[_ClipReader], _ClipReader]:
    """Decorate the function that reads a data set; ``DataSet`` explains the arguments."""

    def register(read: _ClipReader) -> _ClipReader:
        DATA_SETS[name] = DataSet(name, title, source, layout, read, clips, frames)
        return read

    return register


def get_data_set(name: str) -> DataSet:
    """Look up a data set.

    Raises:
        InputError: there is none of this name.
    """
    return look_up(DATA_SETS, name, "data set")


def folders_in(root: Path) -> list[Path]:
    """The folders directly below ``root``, sorted by name."""
    return sorted(path for path in root.iterdir() if path.is_dir())


def images_in(folder: Path) -> list[Path]:
    """The images in a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if is_image(path))


def read_frame_folders(root: Path, subfolder: str = "") -> list[FileClip]:
    """One clip for every folder in ``root`` that has images, directly or in its ``subfolder``."""
    clips: list[FileClip] = []
    for folder in folders_in(root):
        frames = folder / subfolder
        paths = images_in(frames) if frames.is_dir() else []
        if paths:
            clips.append(ImageClip(folder.name, paths))
    return clips


def read_list(path: Path) -> list[str]:
    """The words of an official list; none if the file does not exist.

    Raises:
        InputError: it is not a text file.
    """
    try:
        return path.read_text().split() if path.is_file() else []
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file; expected a list of clips") from error


def image_clip(name: str, paths: Sequence[Path]) -> ImageClip:
    """A clip of images that must all exist.

    Raises:
        InputError: one of them does not exist.
    """
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path} is missing; the clip {name} needs it")
    return ImageClip(name, paths)
