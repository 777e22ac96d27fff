"""The operator in plain torch, for any device and any floating-point dtype: the oracle of the other backends' tests.

Equation (3) of the LS3D paper, one tap after the other, so that memory holds the samples of one tap and never those of
all taps. Coordinates, bilinear weights and sums are float32, or float64 for float64 features. ``forward`` can also be
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
from ls3d.ops._geometry import Geometry, Triple


class _Corner(NamedTuple):
    """One of the four pixels around each position, ``(N, G, T, H, W)`` each.

    Attributes:
        pixel: its number in the frame, ``row * W_in + column``; of a neighboring pixel if it is outside.
        valid: whether it is inside the frame.
        wy, wx: its bilinear weights in y and x.
        lower, right: which corner it is.
    """

    pixel: Tensor
    valid: Tensor
    wy: Tensor
    wx: Tensor
    lower: bool
    right: bool


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
    """The four corners of all positions of one tap. Only positions with -1 < y < H and -1 < x < W have valid ones."""
    height, width = geometry.in_size[1:]
    y = offset[:, :, 0] + _grid(geometry, tap, 1, offset.device).view(-1, 1)
    x = offset[:, :, 1] + _grid(geometry, tap, 2, offset.device)
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)
    y, x = torch.where(inside, y, 0), torch.where(inside, x, 0)
    top, left = y.detach().floor(), x.detach().floor()
    corners = []
    for lower in (False, True):
        for right in (False, True):
            row, column = (top + lower).long(), (left + right).long()
            valid = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            pixel = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
            wy = y - top if lower else 1 - (y - top)
            wx = x - left if right else 1 - (x - left)
            corners.append(_Corner(pixel, valid, wy, wx, lower, right))
    return corners


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
    parts = [_features(frames, corner) * (corner.wy * corner.wx).unsqueeze(2) for corner in corners]
    return parts[0] + parts[1] + parts[2] + parts[3]


def _offset_gradient(frames: Tensor, corners: list[_Corner], grad_samples: Tensor) -> Tensor:
    """The gradient of one tap's offsets."""
    dy, dx = torch.zeros_like(corners[0].wy), torch.zeros_like(corners[0].wx)
    for corner in corners:
        dot_product = (grad_samples * _features(frames, corner)).sum(2)
        dy += dot_product * (corner.wx if corner.lower else -corner.wx)
        dx += dot_product * (corner.wy if corner.right else -corner.wy)
    return torch.stack((dy, dx), 2)


def _scatter(grad_input: Tensor, corners: list[_Corner], grad_samples: Tensor, geometry: Geometry, a: int) -> None:
    """Add the gradient of the samples of temporal tap ``a`` to that of the pixels at the four corners."""
    g = geometry
    grad_frames = torch.zeros(*grad_samples.shape[:4], g.in_size[1] * g.in_size[2]).to(grad_samples)
    for corner in corners:
        parts = torch.where(corner.valid.unsqueeze(2), grad_samples * (corner.wy * corner.wx).unsqueeze(2), 0)
        index = corner.pixel.flatten(3).unsqueeze(2).expand(-1, -1, grad_frames.shape[2], -1, -1)
        grad_frames.scatter_add_(4, index, parts.flatten(4))
    frame, inside = _frame_numbers(g, a, grad_input.device)
    grad_frames = grad_frames.reshape(g.batch, g.in_channels, g.out_size[0], *g.in_size[1:])
    grad_input.index_add_(2, frame[inside], grad_frames[:, :, inside])
