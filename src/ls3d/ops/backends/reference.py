"""The operator in plain torch: any device, any floating dtype, the oracle of the other backends' tests.

Equation (3) of the LS3D paper, tap by tap, so that memory holds one tap's samples and never the 27-fold
column matrix. Coordinates, bilinear weights and sums are float32, or float64 for float64 input, whatever the
dtype of the features. ``forward`` can also be differentiated by autograd when it is called directly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ls3d.ops._geometry import Geometry, Triple

# Layouts inside this module, with G offset groups: offsets of one tap (N, G, 2, T, H, W), its masks
# (N, G, T, H, W), samples (N, G, C/G, T, H, W); T, H, W are the output's sizes.


class _Corner(NamedTuple):
    """One of the four pixels around each position; ``valid`` is false where it lies outside the frame."""

    pixel: Tensor
    valid: Tensor
    wy: Tensor
    wx: Tensor
    lower: bool
    right: bool


def supports(geometry: Geometry, dtype: torch.dtype, device: torch.device) -> str | None:
    """Why this backend can't serve, in a sentence; None when it can."""
    if not dtype.is_floating_point:
        return f"the operator works on floating-point features, not {dtype}"
    return None


def forward(
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
) -> Tensor:
    """The output ``(N, O, T_out, H_out, W_out)``; shapes as in :func:`ls3d.ops.ls3d_conv3d`."""
    wide = _wide(input.dtype)
    output = torch.zeros(geometry.out_shape, dtype=wide, device=input.device)
    for tap in _taps(geometry):
        pixels = _frames(input, geometry, tap[0], wide)
        corners = _corners(_offset_of(offset, geometry, tap).to(wide), geometry, tap)
        samples = _interpolate(pixels, corners)
        if mask is not None:
            samples = samples * _mask_of(mask, geometry, tap).to(wide).unsqueeze(2)
        columns = _by_group(samples, geometry)
        kernel = _kernel_of(weight, geometry, tap).to(wide)
        output = output + torch.einsum("goc,ngcp->ngop", kernel, columns).reshape(geometry.out_shape)
    if bias is not None:
        output = output + bias.to(wide).view(-1, 1, 1, 1)
    return output.to(input.dtype)


def backward(
    grad_output: Tensor,
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    geometry: Geometry,
    needs: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of input, offset, mask and weight; None where ``needs`` says so."""
    g, wide = geometry, _wide(input.dtype)
    wanted = zip((input, offset, mask, weight), needs, strict=True)
    grads = [None if t is None or not need else torch.zeros_like(t, dtype=wide) for t, need in wanted]
    grad_input, grad_offset, grad_mask, grad_weight = grads
    grad_columns = grad_output.to(wide).flatten(2).unflatten(1, (g.groups, g.out_channels // g.groups))
    for tap in _taps(g):
        pixels = _frames(input, g, tap[0], wide)
        corners = _corners(_offset_of(offset, g, tap).to(wide), g, tap)
        strength = None if mask is None else _mask_of(mask, g, tap).to(wide).unsqueeze(2)
        grad_modulated = torch.einsum("goc,ngop->ngcp", _kernel_of(weight, g, tap).to(wide), grad_columns)
        grad_modulated = grad_modulated.reshape(g.batch, g.offset_groups, -1, *g.out_size)
        grad_samples = grad_modulated if strength is None else grad_modulated * strength
        if grad_mask is not None or grad_weight is not None:
            samples = _interpolate(pixels, corners)
            modulated = samples if strength is None else samples * strength
        if grad_mask is not None:
            _mask_of(grad_mask, g, tap).copy_((grad_modulated * samples).sum(2))
        if grad_weight is not None:
            grad_kernel = torch.einsum("ngop,ngcp->goc", grad_columns, _by_group(modulated, g))
            grad_weight[(..., *tap)] = grad_kernel.reshape(g.out_channels, -1)
        if grad_offset is not None:
            _offset_of(grad_offset, g, tap).copy_(_slopes(pixels, corners, grad_samples))
        if grad_input is not None:
            _scatter(grad_input, corners, grad_samples, g, tap[0])
    typed = [
        None if grad is None or tensor is None else grad.to(tensor.dtype)
        for grad, tensor in zip(grads, (input, offset, mask, weight), strict=True)
    ]
    return typed[0], typed[1], typed[2], typed[3]


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _taps(geometry: Geometry) -> Iterator[Triple]:
    """All taps; none for an empty batch, which gives nothing to sample."""
    kt, kh, kw = geometry.kernel if geometry.batch else (0, 0, 0)
    return ((a, i, j) for a in range(kt) for i in range(kh) for j in range(kw))


def _number(geometry: Geometry, tap: Triple) -> int:
    return (tap[0] * geometry.kernel[1] + tap[1]) * geometry.kernel[2] + tap[2]


def _offset_of(offset: Tensor, geometry: Geometry, tap: Triple) -> Tensor:
    return offset.unflatten(1, (geometry.offset_groups, geometry.taps, 2))[:, :, _number(geometry, tap)]


def _mask_of(mask: Tensor, geometry: Geometry, tap: Triple) -> Tensor:
    return mask.unflatten(1, (geometry.offset_groups, geometry.taps))[:, :, _number(geometry, tap)]


def _kernel_of(weight: Tensor, geometry: Geometry, tap: Triple) -> Tensor:
    return weight[(..., *tap)].unflatten(0, (geometry.groups, -1))


def _by_group(samples: Tensor, geometry: Geometry) -> Tensor:
    return samples.reshape(geometry.batch, geometry.groups, geometry.in_channels // geometry.groups, -1)


def _frame_numbers(geometry: Geometry, a: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The frame that temporal tap ``a`` reads for each output frame, and whether it lies in the clip."""
    g = geometry
    frame = torch.arange(g.out_size[0], device=device) * g.stride[0] + a * g.dilation[0] - g.padding[0]
    return frame.clamp(0, g.in_size[0] - 1), (frame >= 0) & (frame < g.in_size[0])


def _frames(input: Tensor, geometry: Geometry, a: int, dtype: torch.dtype) -> Tensor:
    """What temporal tap ``a`` reads, ``(N, G, C/G, T, H_in * W_in)``; zeros outside the clip."""
    frame, inside = _frame_numbers(geometry, a, input.device)
    frames = input.index_select(2, frame).to(dtype)
    frames = torch.where(inside.view(-1, 1, 1), frames, 0)
    return frames.reshape(
        geometry.batch, geometry.offset_groups, -1, geometry.out_size[0], geometry.in_size[1] * geometry.in_size[2]
    )


def _corners(shift: Tensor, geometry: Geometry, tap: Triple) -> list[_Corner]:
    """The four corners of every position: it counts when -1 < y < H and -1 < x < W, which NaN never does."""
    height, width = geometry.in_size[1:]
    y = shift[:, :, 0] + _grid(geometry, tap, 1, shift.device).view(-1, 1)
    x = shift[:, :, 1] + _grid(geometry, tap, 2, shift.device)
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)
    y, x = torch.where(inside, y, 0), torch.where(inside, x, 0)
    top, left = y.detach().floor(), x.detach().floor()
    corners = []
    for lower in (False, True):
        for right in (False, True):
            row, column = (top + lower).long(), (left + right).long()
            valid = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
            wy = y - top if lower else 1 - (y - top)
            wx = x - left if right else 1 - (x - left)
            corners.append(_Corner(index, valid, wy, wx, lower, right))
    return corners


def _grid(geometry: Geometry, tap: Triple, axis: int, device: torch.device) -> Tensor:
    """Where the regular grid puts tap ``tap`` along one axis, for every output position."""
    g = geometry
    return (
        torch.arange(g.out_size[axis], device=device) * g.stride[axis] + tap[axis] * g.dilation[axis] - g.padding[axis]
    )


def _values(pixels: Tensor, corner: _Corner) -> Tensor:
    """The features at a corner, zero where it is outside the frame."""
    flat = corner.pixel.flatten(3).unsqueeze(2).expand(-1, -1, pixels.shape[2], -1, -1)
    values = pixels.gather(4, flat).unflatten(4, corner.pixel.shape[3:])
    return torch.where(corner.valid.unsqueeze(2), values, 0)


def _interpolate(pixels: Tensor, corners: list[_Corner]) -> Tensor:
    parts = [_values(pixels, corner) * (corner.wy * corner.wx).unsqueeze(2) for corner in corners]
    return parts[0] + parts[1] + parts[2] + parts[3]


def _slopes(pixels: Tensor, corners: list[_Corner], grad_samples: Tensor) -> Tensor:
    """The gradient of one tap's offsets, (dy, dx) stacked in the third axis."""
    dy, dx = torch.zeros_like(corners[0].wy), torch.zeros_like(corners[0].wx)
    for corner in corners:
        agreement = (grad_samples * _values(pixels, corner)).sum(2)
        dy += agreement * (corner.wx if corner.lower else -corner.wx)
        dx += agreement * (corner.wy if corner.right else -corner.wy)
    return torch.stack((dy, dx), 2)


def _scatter(grad_input: Tensor, corners: list[_Corner], grad_samples: Tensor, geometry: Geometry, a: int) -> None:
    """Add to ``grad_input`` what flows back through temporal tap ``a`` to the four corners."""
    g = geometry
    pixels = torch.zeros(*grad_samples.shape[:4], g.in_size[1] * g.in_size[2]).to(grad_samples)
    for corner in corners:
        parts = torch.where(corner.valid.unsqueeze(2), grad_samples * (corner.wy * corner.wx).unsqueeze(2), 0)
        index = corner.pixel.flatten(3).unsqueeze(2).expand(-1, -1, pixels.shape[2], -1, -1)
        pixels.scatter_add_(4, index, parts.flatten(4))
    frame, inside = _frame_numbers(g, a, grad_input.device)
    pixels = pixels.reshape(g.batch, g.in_channels, g.out_size[0], *g.in_size[1:])
    grad_input.index_add_(2, frame[inside], pixels[:, :, inside])
