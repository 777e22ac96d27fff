"""The operator in plain torch, for any device and any floating-point dtype: the oracle of the other backends' tests.

Equation (3) of the LS3D paper, one tap after the other, so that memory holds the samples of one tap and never those of
all taps. Coordinates, weights of corners and sums are float32, or float64 for float64 features. ``forward`` can also be
differentiated by autograd when it is called directly.

Shapes in this module, for G offset groups and the output's T, H, W: offsets of one tap ``(N, G, 2, T, H, W)``, its
masks ``(N, G, T, H, W)``, its samples ``(N, G, C/G, T, H, W)``, frames ``(N, G, C/G, T, H_in * W_in)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ls3d.ops._call import Call, Gradients
from ls3d.ops._geometry import CUBIC, Geometry, Triple

_REACH = {"bilinear": 1, "bicubic": 2}
"""Pixels that a sample reads in each direction."""


class _Corner(NamedTuple):
    """One of the 2x2 or 4x4 pixels around each position, ``(N, G, T, H, W)`` each.

    Attributes:
        pixel: its number in the frame, ``row * W_in + column``; of a neighboring pixel if it is outside.
        valid: whether it is inside the frame.
        wy, wx: its weight is ``wy * wx``.
        slope_y, slope_x: derivatives of ``wy`` by y and of ``wx`` by x.
    """

    pixel: Tensor
    valid: Tensor
    wy: Tensor
    wx: Tensor
    slope_y: Tensor | float
    slope_x: Tensor | float


def supports(geometry: Geometry, dtype: torch.dtype, device: torch.device) -> str | None:
    """Why this backend can't run calls of these sizes; None if it can."""
    if not dtype.is_floating_point:
        return f"the operator works on floating-point features, not {dtype}"
    return None


def forward(call: Call) -> Tensor:
    """The output ``(N, O, T_out, H_out, W_out)`` in the input's dtype."""
    g, dtype = call.geometry, call.compute_dtype
    output = torch.zeros(g.out_shape, dtype=dtype, device=call.input.device)
    for tap in _taps(g):
        frames = _frames_of(call.input, g, tap[0], dtype)
        samples = _interpolate(frames, _corners(_offset_of(call.offset, g, tap).to(dtype), g, tap))
        if call.mask is not None:
            samples = samples * _mask_of(call.mask, g, tap).to(dtype).unsqueeze(2)
        weight = _weight_of(call.weight, g, tap).to(dtype)
        output = output + torch.einsum("goc,ngcp->ngop", weight, _by_group(samples, g)).reshape(g.out_shape)
    if call.bias is not None:
        output = output + call.bias.to(dtype).view(-1, 1, 1, 1)
    return output.to(call.input.dtype)


def backward(call: Call, grad_output: Tensor, needs: Sequence[bool]) -> Gradients:
    """Gradients of input, offset, mask and weight where ``needs`` is true."""
    g, dtype = call.geometry, call.compute_dtype
    tensors = call.differentiable
    needed = zip(tensors, needs, strict=True)
    grads = [None if t is None or not need else torch.zeros_like(t, dtype=dtype) for t, need in needed]
    grad_rows = torch.unflatten(grad_output.to(dtype).flatten(2), 1, (g.groups, g.out_channels // g.groups))
    for tap in _taps(g):
        _backward_tap(call, tap, grad_rows, grads)
    typed = [
        None if grad is None or tensor is None else grad.to(tensor.dtype)
        for grad, tensor in zip(grads, tensors, strict=True)
    ]
    return typed[0], typed[1], typed[2], typed[3]


def _backward_tap(call: Call, tap: Triple, grad_rows: Tensor, grads: Sequence[Tensor | None]) -> None:
    """Add one tap's part of all gradients to ``grads``; ``grad_rows`` is ``(N, groups, O / groups, positions)``."""
    g, dtype = call.geometry, call.compute_dtype
    grad_input, grad_offset, grad_mask, grad_weight = grads
    frames = _frames_of(call.input, g, tap[0], dtype)
    corners = _corners(_offset_of(call.offset, g, tap).to(dtype), g, tap)
    mask = None if call.mask is None else _mask_of(call.mask, g, tap).to(dtype).unsqueeze(2)
    grad_modulated = torch.einsum("goc,ngop->ngcp", _weight_of(call.weight, g, tap).to(dtype), grad_rows)
    grad_modulated = grad_modulated.reshape(g.batch, g.offset_groups, -1, *g.out_size)
    grad_samples = grad_modulated if mask is None else grad_modulated * mask
    if grad_mask is not None or grad_weight is not None:
        samples = _interpolate(frames, corners)
        modulated = samples if mask is None else samples * mask
    if grad_mask is not None:
        _mask_of(grad_mask, g, tap).copy_((grad_modulated * samples).sum(2))
    if grad_weight is not None:
        grad_tap = torch.einsum("ngop,ngcp->goc", grad_rows, _by_group(modulated, g))
        grad_weight[(..., *tap)] = grad_tap.reshape(g.out_channels, -1)
    if grad_offset is not None:
        _offset_of(grad_offset, g, tap).copy_(_offset_gradient(frames, corners, grad_samples))
    if grad_input is not None:
        _scatter(grad_input, corners, grad_samples, g, tap[0])


def _taps(geometry: Geometry) -> Iterator[Triple]:
    """All taps; none if the batch is empty, as there is nothing to sample."""
    kt, kh, kw = geometry.kernel if geometry.batch else (0, 0, 0)
    return ((a, i, j) for a in range(kt) for i in range(kh) for j in range(kw))


def _tap_number(geometry: Geometry, tap: Triple) -> int:
    return (tap[0] * geometry.kernel[1] + tap[1]) * geometry.kernel[2] + tap[2]


def _offset_of(offset: Tensor, geometry: Geometry, tap: Triple) -> Tensor:
    return torch.unflatten(offset, 1, (geometry.offset_groups, geometry.taps, 2))[:, :, _tap_number(geometry, tap)]


def _mask_of(mask: Tensor, geometry: Geometry, tap: Triple) -> Tensor:
    return torch.unflatten(mask, 1, (geometry.offset_groups, geometry.taps))[:, :, _tap_number(geometry, tap)]


def _weight_of(weight: Tensor, geometry: Geometry, tap: Triple) -> Tensor:
    """``(groups, O / groups, C / groups)``."""
    return torch.unflatten(weight[(..., *tap)], 0, (geometry.groups, -1))


def _by_group(samples: Tensor, geometry: Geometry) -> Tensor:
    """Samples of one tap as ``(N, groups, C / groups, positions)``."""
    return samples.reshape(geometry.batch, geometry.groups, geometry.in_channels // geometry.groups, -1)


def _frame_numbers(geometry: Geometry, a: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The frame that temporal tap ``a`` reads for each output frame, and whether it is in the clip, ``(T,)`` each."""
    g = geometry
    frame = torch.arange(g.out_size[0], device=device) * g.stride[0] + a * g.dilation[0] - g.padding[0]
    return frame.clamp(0, g.in_size[0] - 1), (frame >= 0) & (frame < g.in_size[0])


def _frames_of(input: Tensor, geometry: Geometry, a: int, dtype: torch.dtype) -> Tensor:
    """The frames that temporal tap ``a`` reads, zeros outside the clip."""
    g = geometry
    frame, inside = _frame_numbers(g, a, input.device)
    frames = input.index_select(2, frame).to(dtype)
    frames = torch.where(inside.view(-1, 1, 1), frames, 0)
    return frames.reshape(g.batch, g.offset_groups, -1, g.out_size[0], g.in_size[1] * g.in_size[2])


def _corners(offset: Tensor, geometry: Geometry, tap: Triple) -> list[_Corner]:
    """The corners of all positions of one tap. A position whose sample is zero has no valid one."""
    height, width = geometry.in_size[1:]
    coefficients = _cubic_weights if geometry.interpolation == "bicubic" else _linear_weights
    reach = _REACH[geometry.interpolation]
    y = offset[:, :, 0] + _grid(geometry, tap, 1, offset.device).view(-1, 1)
    x = offset[:, :, 1] + _grid(geometry, tap, 2, offset.device)
    inside = (y > -reach) & (y < height - 1 + reach) & (x > -reach) & (x < width - 1 + reach)
    y, x = torch.where(inside, y, 0), torch.where(inside, x, 0)
    top, left = y.detach().floor(), x.detach().floor()
    columns = coefficients(x - left)
    corners = []
    for i, (wy, slope_y) in enumerate(coefficients(y - top), 1 - reach):
        for j, (wx, slope_x) in enumerate(columns, 1 - reach):
            row, column = (top + i).long(), (left + j).long()
            valid = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            pixel = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
            corners.append(_Corner(pixel, valid, wy, wx, slope_y, slope_x))
    return corners


def _linear_weights(part: Tensor) -> list[tuple[Tensor, Tensor | float]]:
    """Weights of the two pixels around a position and their derivatives; ``part`` is its distance from the first."""
    return [(1 - part, -1.0), (part, 1.0)]


def _cubic_weights(part: Tensor) -> list[tuple[Tensor, Tensor | float]]:
    """Weights of four pixels and their derivatives, by Keys 1981; ``part`` is the distance from the second of them."""
    a, rest = CUBIC, 1 - part
    return [
        (a * part * rest * rest, a * rest * (1 - 3 * part)),
        (((a + 2) * part - (a + 3)) * part * part + 1, (3 * (a + 2) * part - 2 * (a + 3)) * part),
        (((a + 2) * rest - (a + 3)) * rest * rest + 1, (2 * (a + 3) - 3 * (a + 2) * rest) * rest),
        (a * rest * part * part, a * part * (2 - 3 * part)),
    ]


def _grid(geometry: Geometry, tap: Triple, axis: int, device: torch.device) -> Tensor:
    """Where ``tap`` samples without an offset, in pixels along one axis, for each output position of that axis."""
    stride, padding, dilation = geometry.stride[axis], geometry.padding[axis], geometry.dilation[axis]
    return torch.arange(geometry.out_size[axis], device=device) * stride + tap[axis] * dilation - padding


def _features(frames: Tensor, corner: _Corner) -> Tensor:
    """The features at a corner of all positions, ``(N, G, C/G, T, H, W)``; zero outside the frame."""
    index = corner.pixel.flatten(3).unsqueeze(2).expand(-1, -1, frames.shape[2], -1, -1)
    features = torch.unflatten(frames.gather(4, index), 4, corner.pixel.shape[3:])
    return torch.where(corner.valid.unsqueeze(2), features, 0)


def _interpolate(frames: Tensor, corners: list[_Corner]) -> Tensor:
    samples = _features(frames, corners[0]) * (corners[0].wy * corners[0].wx).unsqueeze(2)
    for corner in corners[1:]:
        samples = samples + _features(frames, corner) * (corner.wy * corner.wx).unsqueeze(2)
    return samples


def _offset_gradient(frames: Tensor, corners: list[_Corner], grad_samples: Tensor) -> Tensor:
    """The gradient of one tap's offsets."""
    dy, dx = torch.zeros_like(corners[0].wy), torch.zeros_like(corners[0].wx)
    for corner in corners:
        dot_product = (grad_samples * _features(frames, corner)).sum(2)
        dy += dot_product * (corner.wx * corner.slope_y)
        dx += dot_product * (corner.wy * corner.slope_x)
    return torch.stack((dy, dx), 2)


def _scatter(grad_input: Tensor, corners: list[_Corner], grad_samples: Tensor, geometry: Geometry, a: int) -> None:
    """Add the gradient of the samples of temporal tap ``a`` to that of the pixels at the corners."""
    g = geometry
    grad_frames = torch.zeros(*grad_samples.shape[:4], g.in_size[1] * g.in_size[2]).to(grad_samples)
    for corner in corners:
        parts = torch.where(corner.valid.unsqueeze(2), grad_samples * (corner.wy * corner.wx).unsqueeze(2), 0)
        index = corner.pixel.flatten(3).unsqueeze(2).expand(-1, -1, grad_frames.shape[2], -1, -1)
        grad_frames.scatter_add_(4, index, parts.flatten(4))
    frame, inside = _frame_numbers(g, a, grad_input.device)
    grad_frames = grad_frames.reshape(g.batch, g.in_channels, g.out_size[0], *g.in_size[1:])
    grad_input.index_add_(2, frame[inside], grad_frames[:, :, inside])
