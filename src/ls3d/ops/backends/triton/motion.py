"""The GPU backend of ``bilateral_motion``: Triton kernels for the passes over each level, torch for the pyramid.

Samples and times are computed one after the other, so that the workspace is that of a single pair of frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ls3d.ops._motion_plan import (
    NEIGHBOR,
    PENALTY,
    SHARE,
    TOLERANCE,
    WINDOW_RADIUS,
    half_size,
    rest_radii,
    search_radii,
    too_large,
)
from ls3d.ops.backends.reference_motion import enlarge, length, pyramid
from ls3d.ops.backends.triton.backend import on_device_of, unsupported_device

WORKSPACE_BYTES = 128 * 2**20
"""Most bytes of the differences and costs of all candidates, unless a single row needs more. Not tuned for speed."""

BLOCK = 128
"""Elements that a program computes. Not tuned."""

_CANDIDATES = 6
_FEATURES = 6


def supports(first: Tensor) -> str | None:
    """Why this backend can't run, in a sentence; None when it can."""
    return too_large("Triton kernel", first) or unsupported_device(first.device)


def bilateral_motion(first: Tensor, second: Tensor, times: Sequence[float], levels: int) -> Tensor:
    """The motion ``(N, len(times), 2, h, w)``; shapes as in :func:`ls3d.ops.bilateral_motion`, frames in float32."""
    count, _, height, width = first.shape
    result = first.new_empty((count, len(times), 2, *half_size(height, width)))
    with on_device_of(first):
        for sample in range(count):
            frames = pyramid(first[sample : sample + 1], second[sample : sample + 1], levels)
            pairs = [(ours[0].contiguous(), theirs[0].contiguous()) for ours, theirs in frames]
            for number, time in enumerate(times):
                torch.mul(_motion(pairs, time), 2, out=result[sample, number])
    return result


def _motion(pairs: Sequence[tuple[Tensor, Tensor]], time: float) -> Tensor:
    """The motion ``(2, h, w)`` at one time, in pixels of the finest level; features are ``(6, h, w)``."""
    motion = pairs[0][0].new_zeros(2, *pairs[0][0].shape[1:])
    radii = zip(search_radii(len(pairs)), rest_radii(len(pairs)), strict=True)
    for number, (pair, (radius, rest_radius)) in enumerate(zip(pairs, radii, strict=True)):
        if number:
            motion = enlarge(motion[None], *pair[0].shape[1:])[0].contiguous()
            motion = _pass(pair, motion, time, None)
        motion = _pass(pair, motion, time, radius)
        if rest_radius:
            small = _pass(pair, torch.zeros_like(motion), time, rest_radius)
            fits = _cost(pair, small, time) < _cost(pair, motion, time) * SHARE + TOLERANCE
            motion = torch.where(fits & (length(small[None]) < length(motion[None]))[0], small, motion)
        motion = _median(motion)
    return motion


def _pass(pair: tuple[Tensor, Tensor], motion: Tensor, time: float, radius: int | None) -> Tensor:
    """The best motion of the grid of ``radius`` around ``motion``, or for None the best of the neighbors' motions."""
    from ls3d.ops.backends.triton import motion_kernels as kernels

    _, height, width = motion.shape
    found = torch.empty_like(motion)
    for first, costs in _costs(pair, motion, time, radius):
        band = {"costs": costs, "first": first, "count": costs.shape[1], "height": height, "width": width}
        grid = _grid(costs[0])
        if radius is None:
            kernels.select_kernel[grid](
                motion=motion, chosen=found, penalty=PENALTY, NEIGHBOR=NEIGHBOR, **band, **_options()
            )
        else:
            kernels.search_kernel[grid](center=motion, found=found, radius=radius, **band, **_options())
    return found


def _cost(pair: tuple[Tensor, Tensor], motion: Tensor, time: float) -> Tensor:
    """Mean difference ``(h, w)`` of the two frames along ``motion``, over features and window."""
    return torch.cat([costs[0] for _, costs in _costs(pair, motion, time, 0)])


def _costs(
    pair: tuple[Tensor, Tensor], motion: Tensor, time: float, radius: int | None
) -> Iterator[tuple[int, Tensor]]:
    """The costs ``(candidates, count, w)`` of bands of rows, and the first row of each; as in ``_pass``."""
    from ls3d.ops.backends.triton import motion_kernels as kernels

    _, height, width = motion.shape
    penalties = _penalties(radius).to(motion.device, non_blocking=True)
    candidates = len(penalties)
    size = {"height": height, "width": width}
    for first, count in _bands(height, width, candidates):
        top = max(first - WINDOW_RADIUS, 0)
        rows = min(first + count + WINDOW_RADIUS, height) - top
        differences = motion.new_empty(candidates, rows, width)
        costs = motion.new_empty(candidates, count, width)
        kernels.difference_kernel[_grid(differences)](
            first=pair[0],
            second=pair[1],
            motion=motion,
            volume=differences,
            first_factor=-time,
            second_factor=1 - time,
            top=top,
            rows=rows,
            candidates=candidates,
            radius=radius or 0,
            SEARCH=radius is not None,
            NEIGHBOR=NEIGHBOR,
            **size,
            **_options(),
        )
        kernels.cost_kernel[_grid(costs)](
            differences=differences,
            penalties=penalties,
            costs=costs,
            scale=1 / (_FEATURES * (2 * WINDOW_RADIUS + 1) ** 2),
            top=top,
            rows=rows,
            first=first,
            count=count,
            candidates=candidates,
            WINDOW=WINDOW_RADIUS,
            **size,
            **_options(),
        )
        yield first, costs


def _penalties(radius: int | None) -> Tensor:
    """What each candidate costs besides the difference of the frames; the grid is numbered row by row."""
    if radius is None:
        return torch.zeros(_CANDIDATES)
    steps = range(-radius, radius + 1)
    return torch.tensor([PENALTY * (abs(y) + abs(x)) for y in steps for x in steps])


def _bands(height: int, width: int, candidates: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows of bands whose differences and costs fit the workspace."""
    most = WORKSPACE_BYTES // (2 * 4 * candidates * width) - 2 * WINDOW_RADIUS
    rows = min(height, max(1, most))
    return ((first, min(rows, height - first)) for first in range(0, height, rows))


def _median(motion: Tensor) -> Tensor:
    from ls3d.ops.backends.triton import motion_kernels as kernels

    _, height, width = motion.shape
    smooth = torch.empty_like(motion)
    kernels.median_kernel[_grid(motion)](motion=motion, smooth=smooth, height=height, width=width, **_options())
    return smooth


def _grid(result: Tensor) -> tuple[int]:
    """The programs that compute all elements of ``result``."""
    return (-(-result.numel() // BLOCK),)


def _options() -> dict[str, Any]:
    """Launch options of all kernels. Without fusion, products and sums are rounded as in the reference."""
    return {"BLOCK": BLOCK, "num_warps": 4, "enable_fp_fusion": False}
