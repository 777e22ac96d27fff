"""Labeled videos that are decoded once: in memory, and in one file for machines that can't decode videos.

Frames are kept at a fixed rate and a small size, so that a training on a GPU doesn't wait for a decoder.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ls3d.data.clips import Pixels
from ls3d.data.labeled import LabeledSet, LabeledVideo, warn_of_unreadable
from ls3d.errors import InputError
from ls3d.files import atomic_write

#: Y'CbCr of JPEG (BT.601, full range), as rows for R', G', B'.
_FROM_RGB = np.array(
    [[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]], np.float32
)
_TO_RGB = np.linalg.inv(_FROM_RGB).astype(np.float32)

#: Share of a frame within which a time counts as the middle between two frames.
_TIE = 1e-6


@dataclass(frozen=True, eq=False)
class DecodedFrames:
    """Frames in memory, at a fixed rate. Implements ``TimedFrames``.

    Attributes:
        pixels: ``(n, H, W, 3)`` RGB; frame ``k`` is at the time ``k / rate``.
        rate: frames per second.
        duration: of the video, in seconds.
    """

    pixels: Pixels
    rate: float
    duration: float

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the pixels, computed once."""
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()

    def read(self, times: Sequence[float]) -> Pixels:
        """See ``TimedFrames.read``."""
        # Not np.rint, which rounds ties to even numbers: clips at the same rate would repeat and skip frames.
        indices = np.floor(np.asarray(times) * self.rate + (0.5 + _TIE)).astype(int)
        frames: Pixels = self.pixels[indices.clip(0, len(self.pixels) - 1)]
        return frames


def decode_set(labeled: LabeledSet, rate: float) -> LabeledSet:
    """Decode all videos into memory; those that can't be decoded are left out, with one warning.

    Args:
        labeled: a set; videos that are decoded already stay as they are.
        rate: frames per second to keep.

    Returns:
        The set with ``DecodedFrames``.
    """

    def decode(video: LabeledVideo) -> LabeledVideo | str:
        if isinstance(video.frames, DecodedFrames):
            return video
        duration = video.frames.duration
        try:
            pixels = video.frames.read([k / rate for k in range(max(1, round(duration * rate)))])
        except (InputError, OSError) as error:
            return str(error)
        return replace(video, frames=DecodedFrames(pixels, rate, duration))

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        results = list(threads.map(decode, labeled.videos))
    found = tuple(result for result in results if isinstance(result, LabeledVideo))
    unreadable = {
        video.name: result for video, result in zip(labeled.videos, results, strict=True) if isinstance(result, str)
    }
    if unreadable:
        warn_of_unreadable(unreadable, len(labeled.videos))
    if not found:
        raise InputError(f"{labeled.source} holds no video that can be decoded")
    return replace(labeled, videos=found, unreadable=labeled.unreadable | unreadable)


def save_decoded(labeled: LabeledSet, path: str | os.PathLike[str]) -> None:
    """Write a decoded set to one file, which ``open_labeled_set`` reads without a video decoder.

    Frames are stored as 8-bit Y'CbCr 4:2:0, as differences to the frame before, compressed by LZMA.

    Args:
        labeled: a set from ``decode_set``.
        path: the file, with the suffix ``.npz``.

    Raises:
        InputError: a video is not decoded, or the file has another suffix.
    """
    if Path(path).suffix != ".npz":
        raise InputError(f"{os.fspath(path)}: expected the suffix .npz")
    entries = []
    packed: list[bytes] = []
    for video in labeled.videos:
        if not isinstance(video.frames, DecodedFrames):
            raise InputError(f"{video.name} is not decoded")
        frames = video.frames
        entries.append(
            {
                "name": video.name,
                "label": video.label,
                "group": video.group,
                "shape": list(frames.pixels.shape[:3]),
                "rate": frames.rate,
                "duration": frames.duration,
            }
        )
        packed.append(_pack(frames.pixels))
    header = json.dumps({"classes": labeled.classes, "videos": entries}).encode()
    sizes = np.array([len(part) for part in packed], np.int64)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            header=np.frombuffer(header, np.uint8),
            sizes=sizes,
            frames=np.frombuffer(b"".join(packed), np.uint8),
        )


def load_decoded(path: str | os.PathLike[str]) -> LabeledSet:
    """Read a file that ``save_decoded`` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is another file, or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes())
            ends = np.cumsum(file["sizes"])
            data = file["frames"].tobytes()
        starts = np.concatenate([[0], ends[:-1]])
        parts = [data[start:end] for start, end in zip(starts, ends, strict=True)]
        entries = header["videos"]
        shapes = [tuple(int(side) for side in entry["shape"]) for entry in entries]
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            pixels = list(threads.map(_unpack, parts, shapes))
        videos = tuple(
            LabeledVideo(entry["name"], entry["label"], entry["group"], _frames(entry, frames))
            for entry, frames in zip(entries, pixels, strict=True)
        )
        return LabeledSet(str(path), tuple(header["classes"]), videos)
    except (ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile, lzma.LZMAError) as error:
        raise InputError(f"{os.fspath(path)} is not a file of decoded clips, or is damaged ({error})") from error


def _frames(entry: dict[str, float], pixels: Pixels) -> DecodedFrames:
    return DecodedFrames(pixels, float(entry["rate"]), float(entry["duration"]))


def _pack(pixels: Pixels) -> bytes:
    planes = pixels.astype(np.float32) @ _FROM_RGB.T
    luma = _to_codes(planes[..., 0])
    even = planes[:, : planes.shape[1] // 2 * 2, : planes.shape[2] // 2 * 2, 1:]
    count, height, width, _ = even.shape
    chroma = even.reshape(count, height // 2, 2, width // 2, 2, 2).mean(axis=(2, 4)) + 128
    return lzma.compress(b"".join(_differences(plane).tobytes() for plane in (luma, _to_codes(chroma))), preset=6)


def _unpack(data: bytes, shape: tuple[int, int, int]) -> Pixels:
    count, height, width = shape
    codes = np.frombuffer(lzma.decompress(data), np.uint8)
    luma_size = count * height * width
    luma = _sums(codes[:luma_size].reshape(count, height, width))
    chroma = _sums(codes[luma_size:].reshape(count, height // 2, width // 2, 2))
    full = chroma.repeat(2, axis=1).repeat(2, axis=2)
    full = np.pad(full, ((0, 0), (0, height - full.shape[1]), (0, width - full.shape[2]), (0, 0)), mode="edge")
    planes = np.concatenate([luma[..., None].astype(np.float32), full.astype(np.float32) - 128], axis=-1)
    return _to_codes(planes @ _TO_RGB.T)


def _to_codes(values: npt.NDArray[np.float32]) -> Pixels:
    codes: Pixels = np.rint(values).clip(0, 255).astype(np.uint8)
    return codes


def _differences(planes: Pixels) -> Pixels:
    """Differences modulo 256 to the frame before; in the first frame, to the pixel on the left."""
    result = np.diff(planes, axis=0, prepend=np.zeros_like(planes[:1]))
    result[0, :, 1:] -= planes[0, :, :-1]
    return result


def _sums(differences: Pixels) -> Pixels:
    """Invert ``_differences``."""
    result = differences.copy()
    result[0] = np.cumsum(result[0], axis=1, dtype=np.uint8)
    sums: Pixels = np.cumsum(result, axis=0, dtype=np.uint8)
    return sums
