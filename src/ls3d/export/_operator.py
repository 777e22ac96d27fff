"""``ls3d_conv3d`` as standard ONNX operations: one ``DeformConv``, or one ``GridSample`` and a 1x1 convolution.

Both first unfold time: the frames that the kernel covers at an output frame become channels of one image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_DEFORM_CONV_OPSET = 19


class _Call(NamedTuple):
    """The arguments of :func:`ls3d.ops.ls3d_conv3d`."""

    input: Tensor
    offset: Tensor
    mask: Tensor | None
    weight: Tensor
    bias: Tensor | None
    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    groups: int
    interpolation: str = "bilinear"


def as_deform_conv(*arguments: Any, **options: Any) -> Tensor:
    """One ``DeformConv`` (ONNX opset 19) for each call; bicubic samples are ``GridSample``'s.

    Arguments and result are those of :func:`ls3d.ops.ls3d_conv3d`. A channel of the unfolded image is sampled with the
    offsets of its frame, so there is an offset group for each frame of the kernel (and group of channels).
    """
    call = _Call(*arguments, **options)
    if call.interpolation != "bilinear":
        return as_grid_sample(*call)
    count, channels, _, height, width = call.input.shape
    outputs, _, depth, rows, columns = call.weight.shape
    frames, out_height, out_width = call.offset.shape[2:]
    offset_groups = call.offset.shape[1] // (2 * depth * rows * columns)
    parts = math.lcm(call.groups, offset_groups)
    images = _unfold_time(call, depth, frames)
    # Channels by group, frame of the kernel, channel of the group: groups are consecutive, and so are offset groups.
    images = images.unflatten(3, (call.groups, channels // call.groups)).permute(0, 1, 3, 2, 4, 5, 6)
    images = images.reshape(count * frames, depth * channels, height, width)
    kernel = call.weight.transpose(1, 2).flatten(1, 2)

    def by_channels(values: Tensor) -> Tensor:
        """``(N, offset_groups * depth * K, T, h, w)`` for the channels of ``images``: ``(N*T, ..., h, w)``."""
        grouped = values.unflatten(1, (offset_groups, depth, -1))
        group_of_part = [part * offset_groups // parts for part in range(parts)]
        if group_of_part != list(range(offset_groups)):
            grouped = torch.stack([grouped[:, group] for group in group_of_part], dim=1)
        grouped = grouped.unflatten(1, (call.groups, parts // call.groups)).permute(0, 5, 1, 3, 2, 4, 6, 7)
        rows: Tensor = grouped.reshape(count * frames, -1, out_height, out_width)
        return rows

    output = torch.onnx.ops.symbolic(
        "::DeformConv",
        (images, kernel, by_channels(call.offset), call.bias, None if call.mask is None else by_channels(call.mask)),
        {
            "kernel_shape": [rows, columns],
            "strides": list(call.stride[1:]),
            "pads": [*call.padding[1:], *call.padding[1:]],
            "dilations": list(call.dilation[1:]),
            "group": call.groups,
            "offset_group": parts * depth,
        },
        dtype=call.input.dtype,
        shape=(count * frames, outputs, out_height, out_width),
        version=_DEFORM_CONV_OPSET,
    )
    return _fold_time(output, count)


def as_grid_sample(*arguments: Any, **options: Any) -> Tensor:
    """One ``GridSample`` for each call, whose samples a 1x1 convolution adds up.

    Arguments and result are those of :func:`ls3d.ops.ls3d_conv3d`. All samples are in memory at the same time.
    """
    call = _Call(*arguments, **options)
    count, channels, _, height, width = call.input.shape
    depth, rows, columns = call.weight.shape[2:]
    taps = rows * columns
    frames, out_height, out_width = call.offset.shape[2:]
    offset_groups = call.offset.shape[1] // (2 * depth * taps)
    images = _unfold_time(call, depth, frames)
    images = images.unflatten(3, (offset_groups, channels // offset_groups)).flatten(0, 3)

    def by_images(values: Tensor, components: int) -> Tensor:
        """``(N, offset_groups * depth * taps * components, T, h, w)`` as ``(images, taps, components, h, w)``."""
        grouped = values.unflatten(1, (offset_groups, depth, taps, components))
        rows: Tensor = grouped.permute(0, 5, 2, 1, 3, 4, 6, 7).flatten(0, 3)
        return rows

    tap = torch.arange(taps, device=call.input.device)
    lines = []
    for size, tap_index, axis, limit in (
        (out_height, tap // columns, 1, height),
        (out_width, tap % columns, 2, width),
    ):
        numbers = torch.arange(size, dtype=call.offset.dtype, device=call.input.device)
        start = numbers * call.stride[axis] - call.padding[axis]
        start = start[:, None] if axis == 1 else start
        regular = start + (tap_index * call.dilation[axis]).to(call.offset.dtype)[:, None, None]
        lines.append(((regular + by_images(call.offset, 2)[:, :, axis - 1]) * 2 + 1) / limit - 1)
    grid = torch.stack(lines[::-1], dim=-1).flatten(1, 2)
    samples = F.grid_sample(images, grid.to(images.dtype), mode=call.interpolation, align_corners=False)
    samples = samples.unflatten(2, (taps, out_height))
    if call.mask is not None:
        samples = samples * by_images(call.mask, 1).transpose(1, 2).to(samples.dtype)
    samples = samples.unflatten(0, (count, frames, depth, offset_groups)).permute(0, 1, 3, 4, 2, 5, 6, 7)
    samples = samples.reshape(count * frames, channels * depth * taps, out_height, out_width)
    output = F.conv2d(samples, call.weight.flatten(1)[:, :, None, None], call.bias, groups=call.groups)
    return _fold_time(output, count)


def _unfold_time(call: _Call, depth: int, frames: int) -> Tensor:
    """The frames that a kernel of length ``depth`` covers: ``(N, C, T, H, W)`` to ``(N, frames, depth, C, H, W)``."""
    stride, padding, dilation = call.stride[0], call.padding[0], call.dilation[0]
    padded = F.pad(call.input, (0, 0, 0, 0, padding, padding)) if padding else call.input
    taps = [padded[:, :, tap * dilation : tap * dilation + stride * (frames - 1) + 1 : stride] for tap in range(depth)]
    return torch.stack(taps, dim=2).permute(0, 3, 2, 1, 4, 5)


def _fold_time(images: Tensor, count: int) -> Tensor:
    """Images ``(N*T, O, h, w)`` as a clip ``(N, O, T, h, w)``."""
    clip: Tensor = images.unflatten(0, (count, -1)).transpose(1, 2)
    return clip
