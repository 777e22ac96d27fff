"""Classical methods as baselines: FFmpeg's own filters behind the networks' contracts, without weights.

``minterpolate`` interpolates along block motion, ``nlmeans`` denoises by non-local means (Buades et al.,
2005), both as they come inside PyAV. They work on 8-bit Y'CbCr without subsampling, which alone costs about
0.4 of 255 in RGB, and on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.models.network import (
    EnhancementTraits,
    InterpolationNetwork,
    RestorationNetwork,
    quarter_indices,
    required_sigma,
)
from ls3d.models.registry import register_model


class MotionInterpolation(InterpolationNetwork):
    """FFmpeg's ``minterpolate``: bidirectional block matching, overlapped block motion compensation.

    The filter looks at four frames; here the two given ones are repeated outwards, as it does itself at the
    ends of a video. Its detection of scene changes is off.
    """

    traits = EnhancementTraits(
        task="interpolation",
        size_multiple=1,
        scale=1,
        frames_before=0,
        frames_after=1,
        takes_sigma=False,
        times="quarters",
        value_range=(0.0, 1.0),
    )

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        """See ``InterpolationNetwork.forward``."""
        wanted = quarter_indices(times)
        steps = 4
        settings = f"fps={steps}:mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none"
        height, width = frames.shape[-2:]
        padding = (0, max(0, 32 - width), 0, max(0, 32 - height), 0, 0)
        clips = []
        for pair in F.pad(frames, padding, mode="replicate"):
            first, second = _pictures(pair)
            made = dict(_filtered([first, first, second, second], "minterpolate", settings))
            clips.append([made[1 + Fraction(index, steps)] for index in wanted])
        return _tensor(clips, frames)[..., :height, :width]


class NonLocalMeans(RestorationNetwork):
    """FFmpeg's ``nlmeans``, frame by frame.

    Its strength is 0.4 times the noise's standard deviation: the best of ten factors, at sigma 10, 25 and
    50 alike, on a frame of Set8 and one of Vid4.
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
            strength = min(max(0.4 * 255 * level, 1.0), 30.0)
            clips.append([picture for _, picture in _filtered(_pictures(clip), "nlmeans", f"s={strength}")])
        return _tensor(clips, frames)


def _pictures(clip: Tensor) -> list[np.ndarray]:
    """``(3, T, H, W)`` in [0, 1] as 8-bit pictures ``(H, W, 3)``."""
    pixels = (clip.detach().clamp(0, 1) * 255).round().to("cpu", torch.uint8)
    return [np.ascontiguousarray(picture) for picture in pixels.permute(1, 2, 3, 0).numpy()]


def _tensor(clips: list[list[np.ndarray]], like: Tensor) -> Tensor:
    """Clips of pictures as ``(N, 3, T, H, W)`` in [0, 1]."""
    pixels = torch.from_numpy(np.stack([np.stack(clip) for clip in clips])).permute(0, 4, 1, 2, 3)
    return pixels.to(like) / 255


def _filtered(pictures: list[np.ndarray], name: str, settings: str) -> Iterator[tuple[Fraction, np.ndarray]]:
    """Send pictures through a filter, one second apart: times and pictures that come out."""
    import av
    from av.filter import Graph

    graph = Graph()
    height, width = pictures[0].shape[:2]
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
    for time, picture in enumerate([*pictures, None]):
        if picture is None:
            graph.push(None)
        else:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1)
            graph.push(frame)
        while True:
            try:
                made = graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                break
            assert made.pts is not None
            assert made.time_base is not None
            yield made.pts * made.time_base, made.to_ndarray(format="rgb24")


@register_model(parameters=0, input_size=(3, 2, 256, 256))
def minterpolate() -> MotionInterpolation:
    """FFmpeg's motion-compensated interpolation; needs no weights."""
    return MotionInterpolation()


@register_model(parameters=0, input_size=(3, 1, 256, 256))
def nlmeans() -> NonLocalMeans:
    """FFmpeg's non-local means; needs no weights."""
    return NonLocalMeans()
