"""The GPU backend of ``bilateral_motion``: Triton kernels for the passes over each level, torch for the pyramid.

Small frames take little longer in a batch than one alone: a launch costs more than the work in it. Times are computed
one after the other.
"""

from __future__ import annotations

import functools
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

SAMPLES = 256
"""Most samples that are computed at once."""

_CANDIDATES = 6
_FEATURES = 6


def supports(first: Tensor) -> str | None:
    """Why this backend can't run, in a sentence; None when it can."""
    return too_large("Triton kernel", first) or unsupported_device(first.device)


def bilateral_motion(first: Tensor, second: Tensor, times: Sequence[float], levels: int) -> Tensor:
    """The motion ``(N, len(times), 2, h, w)``; shapes as in :func:`ls3d.ops.bilateral_motion`, frames in float32."""
    count, _, height, width = first.shape
    result = first.new_empty((count, len(times), 2, *half_size(height, width)))
    if count == 0:
        return result
    with on_device_of(first):
        for part, ours, theirs in zip(*(tensor.split(SAMPLES) for tensor in (result, first, second)), strict=True):
            pairs = [(one.contiguous(), other.contiguous()) for one, other in pyramid(ours, theirs, levels)]
            for number, time in enumerate(times):
                torch.mul(_motion(pairs, time), 2, out=part[:, number])
    return result


def _motion(pairs: Sequence[tuple[Tensor, Tensor]], time: float) -> Tensor:
    """The motion ``(N, 2, h, w)`` at one time, in pixels of the finest level; features are ``(N, 6, h, w)``."""
    count, _, height, width = pairs[0][0].shape
    motion = pairs[0][0].new_zeros(count, 2, height, width)
    radii = zip(search_radii(len(pairs)), rest_radii(len(pairs)), strict=True)
    for number, (pair, (radius, rest_radius)) in enumerate(zip(pairs, radii, strict=True)):
        if number:
            motion = enlarge(motion, *pair[0].shape[2:]).contiguous()
            motion = _pass(pair, motion, time, None)
        motion = _pass(pair, motion, time, radius)
        if rest_radius:
            small = _pass(pair, torch.zeros_like(motion), time, rest_radius)
            fits = _cost(pair, small, time) < _cost(pair, motion, time) * SHARE + TOLERANCE
            motion = torch.where(fits & (length(small) < length(motion)), small, motion)
        motion = _median(motion)
    return motion


def _pass(pair: tuple[Tensor, Tensor], motion: Tensor, time: float, radius: int | None) -> Tensor:
    """The best motion of the grid of ``radius`` around ``motion``, or for None the best of the neighbors' motions."""
    from ls3d.ops.backends.triton import motion_kernels as kernels

    height, width = motion.shape[2:]
    found = torch.empty_like(motion)
    for first, costs in _costs(pair, motion, time, radius):
        band = {"costs": costs, "first": first, "count": costs.shape[2], "height": height, "width": width}
        grid = _grid(costs[:, 0])
        if radius is None:
            kernels.select_kernel[grid](
                motion=motion, chosen=found, penalty=PENALTY, NEIGHBOR=NEIGHBOR, **band, **_options()
            )
        else:
            kernels.search_kernel[grid](center=motion, found=found, radius=radius, **band, **_options())
    return found


def _cost(pair: tuple[Tensor, Tensor], motion: Tensor, time: float) -> Tensor:
    """Mean difference ``(N, 1, h, w)`` of the two frames along ``motion``, over features and window."""
    return torch.cat([costs for _, costs in _costs(pair, motion, time, 0)], dim=2)


def _costs(
    pair: tuple[Tensor, Tensor], motion: Tensor, time: float, radius: int | None
) -> Iterator[tuple[int, Tensor]]:
    """The costs ``(N, candidates, count, w)`` of bands of rows, and the first row of each; as in ``_pass``."""
    from ls3d.ops.backends.triton import motion_kernels as kernels

    samples, _, height, width = motion.shape
    penalties = _penalties(radius, motion.device)
    candidates = len(penalties)
    size = {"height": height, "width": width}
    for first, count in _bands(height, width, samples * candidates):
        top = max(first - WINDOW_RADIUS, 0)
        rows = min(first + count + WINDOW_RADIUS, height) - top
        differences = motion.new_empty(samples, candidates, rows, width)
        costs = motion.new_empty(samples, candidates, count, width)
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


@functools.cache
def _penalties(radius: int | None, device: torch.device) -> Tensor:
    """What each candidate costs besides the difference of the frames; the grid is numbered row by row."""
    if radius is None:
        return torch.zeros(_CANDIDATES, device=device)
    steps = range(-radius, radius + 1)
    return torch.tensor([PENALTY * (abs(y) + abs(x)) for y in steps for x in steps], device=device)


def _bands(height: int, width: int, volumes: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows of bands whose differences and costs fit the workspace.

    ``volumes`` is the number of candidates of all samples.
    """
    most = WORKSPACE_BYTES // (2 * 4 * volumes * width) - 2 * WINDOW_RADIUS
    rows = min(height, max(1, most))
    return ((first, min(rows, height - first)) for first in range(0, height, rows))


def _median(motion: Tensor) -> Tensor:
    from ls3d.ops.backends.triton import motion_kernels as kernels

    height, width = motion.shape[2:]
    smooth = torch.empty_like(motion)
    kernels.median_kernel[_grid(motion)](motion=motion, smooth=smooth, height=height, width=width, **_options())
    return smooth


def _grid(result: Tensor) -> tuple[int, int]:
    """The programs that compute all elements of ``result``, sample by sample."""
    return -(-result[0].numel() // BLOCK), len(result)


def _options() -> dict[str, Any]:
    """Launch options of all kernels. Without fusion, products and sums are rounded as in the reference."""
    return {"BLOCK": BLOCK, "num_warps": 4, "enable_fp_fusion": False}
