"""A folder of images, read as a video of constant frame rate."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av

from ls3d.errors import InputError
from ls3d.video.alpha import has_alpha
from ls3d.video.decoding import first_pictures
from ls3d.video.names import DEFAULT_MAX_PIXELS, is_image
from ls3d.video.opening import open_video
from ls3d.video.pixels import Layout, Plane, layout_of
from ls3d.video.properties import VideoInfo, probe
from ls3d.video.source import Frame, Mark, OnError, conform, conformed_alpha, read_marked

log = logging.getLogger(__name__)


class ImageSequence:
    """Images as a video of constant frame rate, in the natural order of their names (``frame9`` before ``frame10``).

    Implements ``ls3d.video.Source``. The first image determines the size, the one with most colors and bits the pixel
    format.

    Args:
        folder: files whose suffix is not in ``ls3d.video.names.IMAGE_SUFFIXES`` are ignored.
        rate: frames per second.
        on_error: what to do with an image that can't be decoded.
        max_pixels: larger images are not decoded.

    Raises:
        FileNotFoundError: there is no such folder.
        InputError: the folder holds no image, or the first one can't be decoded.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        rate: Fraction = Fraction(25),
        on_error: OnError = "skip",
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        self.folder = Path(folder)
        self.rate = rate
        self.on_error = on_error
        self.max_pixels = max_pixels
        self.paths = images_in_order(self.folder)
        if not self.paths:
            raise InputError(f"{folder} holds no images; expected PNG, TIFF, JPEG, BMP, WebP, PPM or DPX files")
        count = len(self.paths)
        self.info = replace(
            _describe_all(self.paths, max_pixels),
            name=str(folder),
            container="images",
            rate=rate,
            base_rate=rate,
            time_base=1 / rate,
            start=Fraction(0),
            duration=count / rate,
            frames=count,
            streams=(),
            metadata={},
            stream_metadata={},
        )
        self.undecodable_at_end = 0

    def frames(self, after: Sequence[Mark] = (), start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """See ``Source.frames``."""
        first_time = after[0].time if after else start
        frames = self._decode(max(0, math.ceil(first_time * self.rate)))
        if after:
            marked = read_marked(frames, after)
            if marked is None:
                raise InputError(f"{self.folder} has changed since the job began, so the job can't be resumed")
            yield from marked
        yield from frames

    def _decode(self, first: int) -> Iterator[Frame]:
        """The frames from image number ``first`` on, counted from 0."""
        undecodable = 0
        previous: Frame | None = None
        for index, path in enumerate(self.paths[first:], first):
            picture = self._load(path)
            time = index / self.rate
            if picture is not None:
                previous = Frame(time, 1 / self.rate, picture[0], undecodable, alpha=picture[1])
                undecodable = 0
                yield previous
            elif self.on_error == "repeat" and previous is not None:
                yield replace(previous, time=time, undecodable_packets=1)
            else:
                undecodable += 1
        self.undecodable_at_end = undecodable

    def _load(self, path: Path) -> tuple[av.VideoFrame, Plane | None] | None:
        """The picture in a file and its alpha; None if it can't be decoded."""
        try:
            with open_video(path, self.max_pixels) as (container, stream):
                picture = first_pictures(container, stream, str(path)).pictures[0]
            return conform(picture, self.info), conformed_alpha(picture, self.info)
        except InputError:
            if self.on_error == "stop":
                raise
            log.warning("%s can't be decoded as an image", path)
            return None


def _describe_all(paths: Sequence[Path], max_pixels: int) -> VideoInfo:
    """The properties of the first image, with the colors of the one that has most.

    A warning says if there are images of other sizes.
    """
    info = probe(paths[0], max_pixels)
    widest, best = paths[0], _richness(info.color.layout)
    others = 0
    alpha = info.alpha
    for path in paths[1:]:
        try:
            with open_video(path, max_pixels) as (_, stream):
                context = stream.codec_context
                others += (context.width, context.height) != (info.width, info.height)
                pix_fmt = context.pix_fmt or info.color.layout.name
                richness = _richness(layout_of(pix_fmt))
                alpha = alpha or has_alpha(pix_fmt)
        except InputError:
            continue  # it is handled when it is decoded
        if richness > best:
            widest, best = path, richness
    if others:
        size = f"{info.width} x {info.height}"
        log.warning("%d of %d images are not of %s pixels, as the first is: they are scaled", others, len(paths), size)
    info = replace(info, alpha=alpha)
    if widest == paths[0]:
        return info
    rich = probe(widest, max_pixels)
    return replace(info, color=rich.color, tags=rich.tags)


def _richness(layout: Layout) -> tuple[bool, int, int]:
    """A sorting key: whether there is color, how many bits, how fine the chroma."""
    return layout.family != "gray", layout.depth, -sum(layout.subsampling)


def images_in_order(folder: Path) -> list[Path]:
    """The images directly in a folder, in the natural order of their names; nothing is opened.

    Hidden files are no images: macOS writes a file ``._name`` next to every file on foreign disks.
    """
    images = (path for path in folder.iterdir() if is_image(path) and not path.name.startswith("."))
    return sorted(images, key=lambda path: (_natural_order(path), path.name))


def _natural_order(path: Path) -> tuple[tuple[int, int | str], ...]:
    """A sorting key that compares digits as numbers."""
    parts = re.split(r"([0-9]+)", path.name)
    return tuple((1, int(part)) if number % 2 else (0, part) for number, part in enumerate(parts))
