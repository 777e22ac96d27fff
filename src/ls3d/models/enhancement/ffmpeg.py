"""Classical methods as baselines without weights: FFmpeg's filters, as networks.

``minterpolate`` interpolates along block motion, ``nlmeans`` denoises by non-local means (Buades et al., 2005); PyAV
contains both. They run on the CPU, on 8-bit Y'CbCr without subsampling. The conversion alone has an error of about 0.4
of 255 in RGB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from av.filter import Graph
from torch import Tensor

from ls3d.models.network import (
    EnhancementTraits,
    InterpolationNetwork,
    RestorationNetwork,
    quarter_indices,
    required_sigma,
)
from ls3d.models.registry import register_model

Image = npt.NDArray[np.uint8]

_SMALLEST = 32  # pixels along either side that minterpolate takes


class MotionInterpolation(InterpolationNetwork):
    """FFmpeg's ``minterpolate``: bidirectional block matching, overlapped block motion compensation.

    The filter takes four frames; each of the two given ones is repeated, as the filter does at the ends of a video. Its
    detection of scene changes is off.
    """

    traits = EnhancementTraits.interpolation(size_multiple=1, times="quarters", value_range=(0.0, 1.0))

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        """See ``InterpolationNetwork.forward``."""
        indices = quarter_indices(times)
        settings = "fps=4:mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none"
        height, width = frames.shape[-2:]
        padding = (0, max(0, _SMALLEST - width), 0, max(0, _SMALLEST - height), 0, 0)
        clips = []
        for pair in F.pad(frames, padding, mode="replicate"):
            first, second = _to_images(pair)
            output = dict(_apply_filter([first, first, second, second], "minterpolate", settings))
            clips.append([output[1 + Fraction(index, 4)] for index in indices])
        return _to_tensor(clips, frames)[..., :height, :width]


class NonLocalMeans(RestorationNetwork):
    """FFmpeg's ``nlmeans``, frame by frame.

    Its strength is 0.4 times the standard deviation of the noise: the best of ten factors at sigma 10, 25 and 50, on a
    frame of Set8 and one of Vid4.
    """

    traits = EnhancementTraits(
        task="denoising",
        size_multiple=1,
        scale=1,
        frames_before=0,
        frames_after=0,
        takes_sigma=True,
        times=None,
        value_range=(0.0, 1.0),
    )

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Denoise ``(N, 3, T, H, W)``; ``sigma (N,)`` is the noise's standard deviation in units of [0, 1]."""
        sigma = required_sigma(sigma)
        clips = []
        for clip, level in zip(frames, sigma.tolist(), strict=True):
            strength = min(max(0.4 * 255 * level, 1.0), 30.0)  # the filter's range is 1 to 30
            clips.append([image for _, image in _apply_filter(_to_images(clip), "nlmeans", f"s={strength}")])
        return _to_tensor(clips, frames)


def _to_images(clip: Tensor) -> list[Image]:
    """Convert ``(3, T, H, W)`` in [0, 1] to 8-bit images ``(H, W, 3)``."""
    pixels = (clip.detach().clamp(0, 1) * 255).round().to("cpu", torch.uint8)
    return [np.ascontiguousarray(image) for image in pixels.permute(1, 2, 3, 0).numpy()]


def _to_tensor(clips: list[list[Image]], like: Tensor) -> Tensor:
    """Convert clips of 8-bit images to ``(N, 3, T, H, W)`` in [0, 1]."""
    pixels = torch.from_numpy(np.stack([np.stack(clip) for clip in clips])).permute(0, 4, 1, 2, 3)
    return pixels.to(like) / 255


def _apply_filter(images: list[Image], name: str, settings: str) -> Iterator[tuple[Fraction, Image]]:
    """Apply an FFmpeg filter to images one second apart; yield the times and images of its output."""
    graph = _make_graph(images[0].shape, name, settings)
    for time, image in enumerate([*images, None]):
        if image is None:
            graph.push(None)
        else:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = time
            frame.time_base = Fraction(1, 1)
            graph.push(frame)
        while True:
            try:
                output = graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                break
            assert output.pts is not None
            assert output.time_base is not None
            yield output.pts * output.time_base, output.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def _make_graph(shape: tuple[int, ...], name: str, settings: str) -> Graph:
    """Make the graph of a filter on Y'CbCr 4:4:4, between conversions from and to RGB of ``shape (H, W, 3)``."""
    graph = Graph()
    height, width = shape[:2]
    rgb = av.VideoFormat("rgb24")
    source = graph.add_buffer(width=width, height=height, format=rgb, time_base=Fraction(1, 1))
    chain = [
        source,
        graph.add("format", "yuv444p"),
        graph.add(name, settings),
        graph.add("format", "rgb24"),
        graph.add("buffersink"),
    ]
    for before, after in pairwise(chain):
        before.link_to(after)
    graph.configure()
    return graph


@register_model(parameters=0, input_size=(3, 2, 256, 256))
def minterpolate() -> MotionInterpolation:
    """FFmpeg's motion-compensated interpolation; needs no weights."""
    return MotionInterpolation()


@register_model(parameters=0, input_size=(3, 1, 256, 256))
def nlmeans() -> NonLocalMeans:
    """FFmpeg's non-local means; needs no weights."""
    return NonLocalMeans()
