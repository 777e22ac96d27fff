"""Training clips, decoded once and kept on disk.

Training reads every clip hundreds of times and decoding is slow, so each clip is decoded into one ``.npy`` file in a
cache folder and mapped into memory from there. A clip that can't be decoded is left out, with a warning.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ls3d.data.clips import FileClip, Pixels, resize_frame
from ls3d.data.training_sets import open_training_set
from ls3d.errors import InputError
from ls3d.files import atomic_write

log = logging.getLogger(__name__)


class CachedClip:
    """A clip whose decoded frames are in a file. Implements ``DecodedClip``.

    The file is mapped into memory only while its frames are in use: Vimeo-90K has more clips than a process can map
    files.

    Args:
        name: see ``Clip.name``.
        path: a ``.npy`` file with frames ``(T, H, W, 3)``, uint8 RGB.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path

    @property
    def frames(self) -> Pixels:
        """``(T, H, W, 3)`` uint8 RGB, memory-mapped."""
        frames: Pixels = np.load(self.path, mmap_mode="r")
        return frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Pixels:
        frame: Pixels = self.frames[index]
        return frame


def open_clips(
    root: str | os.PathLike[str],
    cache: str | os.PathLike[str] | None = None,
    training_set: str = "folder",
    size: tuple[int, int] | None = None,
) -> list[CachedClip]:
    """Open the clips of a training set, sorted by name, and decode those that are not in the cache yet.

    Clips that can't be decoded are left out, with a warning.

    Args:
        root: folder of the training set.
        cache: folder for the decoded frames, by default ``$XDG_CACHE_HOME/ls3d/clips``.
        training_set: a key of ``ls3d.data.training_sets.TRAINING_SETS``; "folder" is searched recursively.
        size: height and width to which frames are resized (bicubic, antialiased) before they are cached.

    Raises:
        InputError: the folder does not exist, or holds no clip that can be decoded.
    """
    found = open_training_set(training_set, root)
    folder = Path(cache) if cache else _default_cache()
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for clip in found:
        try:
            clips.append(CachedClip(clip.name, _decoded_file(clip, folder, size)))
        except (InputError, FileNotFoundError) as error:
            log.warning("left out: %s", error)
    if not clips:
        raise InputError(f"{root} holds no clip that can be decoded")
    return clips


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ls3d" / "clips"


def _decoded_file(clip: FileClip, folder: Path, size: tuple[int, int] | None) -> Path:
    """The ``.npy`` file with the frames of a clip; the clip is decoded if there is none yet."""
    target = folder / f"{Path(clip.name).stem}-{_cache_key(clip, size)}.npy"
    if not target.exists():
        with atomic_write(target) as temporary:
            _decode(clip, size, temporary)
    return target


def _cache_key(clip: FileClip, size: tuple[int, int] | None) -> str:
    """Changes with the path, size or modification time of any file of the clip, and with ``size``."""
    parts = []
    for path in clip.paths:
        status = path.stat()
        parts.append(f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}")
    if size:
        parts.append(f"{size[0]}x{size[1]}")
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def _decode(clip: FileClip, size: tuple[int, int] | None, target: Path) -> None:
    """Write all frames of a clip, ``(T, H, W, 3)``, to a ``.npy`` file; only one frame is in memory at a time."""
    count = 0
    shape: tuple[int, ...] = ()
    with target.open("wb") as file:
        for frame in clip:
            pixels = np.ascontiguousarray(resize_frame(frame, size) if size else frame)
            if count == 0:
                shape = pixels.shape
                _write_header(file, (0, *shape))
            if pixels.shape != shape:
                raise InputError(f"{clip.name} has frames of different sizes")
            file.write(pixels.data)
            count += 1
        if count == 0:
            raise InputError(f"{clip.name} has no frame that can be decoded")
        file.seek(0)
        _write_header(file, (count, *shape))  # as long as the first: numpy leaves room for the length to grow


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
