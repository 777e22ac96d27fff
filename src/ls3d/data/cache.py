"""Training clips, decoded or rendered once and kept on disk.

Training reads every clip hundreds of times and decoding is slow, so each clip is decoded into one ``.npy`` file in a
cache folder and mapped into memory from there. A clip that can't be decoded is left out, with a warning.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from ls3d.data.clips import DecodedClip, FileClip, Pixels, resize_frame
from ls3d.data.rendered import mirrored, occluding_scene, render
from ls3d.data.training_sets import open_training_set
from ls3d.errors import InputError
from ls3d.files import atomic_write, cache_folder

log = logging.getLogger(__name__)

#: Height and width of the textures that are cut from frames, in pixels.
_TEXTURE_SIDE = 128

#: Rendered clips: frames, height and width, and pixels that the fastest layer moves from the first to the last frame.
_RENDERED_FRAMES = 9
_RENDERED_SIDE = 256
_RENDERED_SPEED = 40.0


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


def render_clips(
    clips: Sequence[DecodedClip], count: int, cache: str | os.PathLike[str] | None = None
) -> list[CachedClip]:
    """Render clips of sprites that move in front of a background, and of each other, with textures cut from ``clips``.

    They show occlusions and large motion more often than footage does. Clip ``i`` depends only on ``i`` and on the
    names, sizes and first frames of ``clips``.

    Args:
        clips: of at least 128 x 128 pixels; smaller ones are not used.
        count: how many to render; 9 frames of 256 x 256 pixels each.
        cache: as for ``open_clips``.

    Raises:
        InputError: no clip is large enough.
    """
    sources = [clip for clip in clips if min(clip.frames.shape[1:3]) >= _TEXTURE_SIDE]
    if count and not sources:
        raise InputError(f"no clip has {_TEXTURE_SIDE} x {_TEXTURE_SIDE} pixels, from which textures are cut")
    digest = hashlib.sha256()
    for clip in sources:
        digest.update(f"{clip.name}|{clip.frames.shape}|".encode(errors="surrogateescape") + clip.frames[0].tobytes())
    folder = (Path(cache) if cache else _default_cache()) / f"rendered-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)

    def render_clip(number: int) -> CachedClip:
        target = folder / f"{number}.npy"
        if not target.exists():
            with atomic_write(target) as temporary, temporary.open("wb") as file:
                np.save(file, _render_clip(sources, number))
        return CachedClip(f"rendered {number}", target)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(render_clip, range(count)))


def _render_clip(sources: Sequence[DecodedClip], number: int) -> Pixels:
    """The frames ``(T, H, W, 3)`` of one rendered clip."""
    rng = np.random.default_rng(number)

    def draw_texture() -> torch.Tensor:
        frames = sources[int(rng.integers(len(sources)))].frames
        frame = frames[rng.integers(len(frames))]
        y, x = rng.integers(np.subtract(frame.shape[:2], _TEXTURE_SIDE) + 1)
        texture = torch.from_numpy(np.array(frame[y : y + _TEXTURE_SIDE, x : x + _TEXTURE_SIDE]))
        return mirrored(texture.permute(2, 0, 1).float() / 255)

    size = (_RENDERED_SIDE, _RENDERED_SIDE)
    scene = occluding_scene(torch.Generator().manual_seed(number), size, _RENDERED_SPEED, draw_texture)
    frames = render(scene, torch.linspace(0, 1, _RENDERED_FRAMES).tolist(), size)
    pixels: Pixels = (frames * 255).round().to(torch.uint8).permute(1, 2, 3, 0).contiguous().numpy()
    return pixels


def _default_cache() -> Path:
    return cache_folder() / "clips"


def _decoded_file(clip: FileClip, folder: Path, size: tuple[int, int] | None) -> Path:
    """The ``.npy`` file with the frames of a clip; the clip is decoded if there is none yet."""
    target = folder / f"{Path(clip.name).stem}-{files_key(clip.paths, size)}.npy"
    if not target.exists():
        with atomic_write(target) as temporary:
            _decode(clip, size, temporary)
    return target


def files_key(paths: Sequence[Path], size: tuple[int, int] | None = None) -> str:
    """What changes with the path, size or modification time of any of the files, and with ``size``.

    Raises:
        OSError: a file is missing.
    """
    parts = []
    for path in paths:
        status = path.stat()
        parts.append(f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}")
    if size:
        parts.append(f"{size[0]}x{size[1]}")
    return hashlib.sha256("|".join(parts).encode(errors="surrogateescape")).hexdigest()[:16]


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
