"""The samples of a pixel in the frames of a video, by one or several networks."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ls3d.errors import InputError
from ls3d.explain.trace import SamplingPoints, Trace, trace
from ls3d.files import atomic_write
from ls3d.models import EnhancementNetwork, load_enhancement_model
from ls3d.video import Frame, ImageSequence, Source, VideoFile, VideoInfo, to_rgb

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class PixelTrace:
    """Where one output pixel of one network comes from.

    Attributes:
        model: the network's name, or its file.
        numbers: of the input frames in the video, from 0.
        frames: the input frames ``(T, H, W, 3)`` in [0, 1].
        output: the output frame ``(scale * H, scale * W, 3)``.
        x: column of the pixel in the output.
        y: its row.
        points: the samples.
        density: ``(T, H, W)``, see ``Trace.density``.
    """

    model: str
    numbers: tuple[int, ...]
    frames: npt.NDArray[np.float32]
    output: npt.NDArray[np.float32]
    x: int
    y: int
    points: SamplingPoints
    density: npt.NDArray[np.float64]

    @property
    def position(self) -> tuple[float, float]:
        """The position (x, y) of the output pixel in the input frames."""
        scale = self.output.shape[0] / self.frames.shape[1]
        return (self.x + 0.5) / scale - 0.5, (self.y + 0.5) / scale - 0.5


def open_video(source: PathLike) -> Source:
    """Open a video file, or a folder of images.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it can't be decoded.
    """
    path = Path(source)
    return ImageSequence(path) if path.is_dir() else VideoFile(path)


def load_networks(models: Sequence[str]) -> dict[str, EnhancementNetwork]:
    """Load networks of one task.

    Raises:
        InputError: there is none, or a network is for another task than the first one, or enlarges by another factor.
    """
    if not models:
        raise InputError("none: expected at least one network", argument="models")
    networks = {model: load_enhancement_model(model) for model in models}
    first = networks[models[0]].traits
    for model, network in networks.items():
        if (network.traits.task, network.traits.scale) != (first.task, first.scale):
            raise InputError(
                f"{model}: its task is {network.traits.task}, expected {first.task} as that of {models[0]}"
            )
    return networks


def trace_video(
    source: Source,
    network: EnhancementNetwork,
    first: int,
    count: int = 1,
    *,
    time: float = 0.5,
    sigma: float | None = None,
    device: str = "auto",
) -> Iterator[tuple[tuple[int, ...], Trace]]:
    """Compute output frames of a video so that their pixels can be traced.

    Args:
        source: the video.
        network: as for ``ls3d.explain.trace``.
        first: number of the frame to restore, or of the first one to interpolate between, from 0.
        count: number of consecutive output frames; fewer at the end of the video.
        time: as for ``ls3d.explain.trace``.
        sigma: likewise.
        device: likewise.

    Yields:
        The numbers of the input frames, and the trace. Beyond the ends of the video, its last frames are repeated.

    Raises:
        InputError: the video has no such frame, or no output frame is wanted.
    """
    if first < 0:
        raise InputError(f"{first}: expected at least 0", argument="first")
    if count < 1:
        raise InputError(f"{count}: expected at least 1", argument="count")
    before, after = network.traits.frames_before, network.traits.frames_after
    start = max(0, first - before)
    stop = first + count + after
    frames = [_upright(frame, source.info) for frame in itertools.islice(source.frames(), start, stop)]
    last = start + len(frames) - 1
    final = last - 1 if network.traits.times else last
    if first > final:
        required = f"{first} and {first + 1}" if network.traits.times else f"{first}"
        raise InputError(f"{first}: expected that {source.info.name} has frame {required}, from 0", argument="frame")
    for number in range(first, min(first + count, final + 1)):
        numbers = tuple(min(max(each, 0), last) for each in range(number - before, number + after + 1))
        window = torch.stack([frames[each - start] for each in numbers], dim=1)
        yield numbers, trace(network, window, time=time, sigma=sigma, device=device)


def trace_pixel(model: str, numbers: tuple[int, ...], traced: Trace, x: int, y: int, size: int = 1) -> PixelTrace:
    """Trace one pixel of an output frame.

    Args:
        model: the network's name.
        numbers: of the input frames.
        traced: the output frame.
        x: as for ``Trace.samples``.
        y: likewise.
        size: likewise.
    """
    return PixelTrace(
        model,
        numbers,
        traced.frames.permute(1, 2, 3, 0).cpu().numpy(),
        traced.output.clamp(0, 1).permute(1, 2, 0).numpy(),
        x,
        y,
        traced.samples(x, y, size=size),
        traced.density(x, y, size=size),
    )


def save_arrays(pixels: Sequence[PixelTrace], path: PathLike) -> None:
    """Write an ``.npz`` file.

    It has for each network and output frame ``MODEL/NUMBER/x``, ``y``, ``frame`` and ``weight`` as in
    ``SamplingPoints``, with the frames' numbers in the video, and ``MODEL/NUMBER/density (T, H, W)``. NUMBER is that of
    the frame which is restored, or of the first of the two that are interpolated between.
    """
    arrays: dict[str, Any] = {}  # NumPy 2 declares an option beside them, which 1.26 would store as an array
    for pixel in pixels:
        number = pixel.numbers[0 if len(pixel.numbers) == 2 else len(pixel.numbers) // 2]
        name = f"{pixel.model}/{number}"
        points = pixel.points
        arrays |= {f"{name}/x": points.x, f"{name}/y": points.y, f"{name}/weight": points.weight}
        arrays |= {f"{name}/frame": np.array(pixel.numbers)[points.frame], f"{name}/density": pixel.density}
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _upright(frame: Frame, info: VideoInfo) -> Tensor:
    """A frame as it is shown, ``(3, H, W)`` in [0, 1]."""
    return to_rgb(frame.picture, info.color).clamp(0, 1).rot90(info.rotation // 90, (1, 2))
