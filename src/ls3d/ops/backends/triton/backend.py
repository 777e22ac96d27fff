"""The GPU backend: Triton kernels, so nothing is compiled before the first call and no CUDA toolkit is needed.

Promises: float32 coordinates and sums for float32, bfloat16 and float16 features; no column matrix, and a workspace of
`WORKSPACE` bytes (beside it, channels-last copies of what comes in another layout, one part of the batch at a time);
nothing waits for the device, so CUDA graphs can record it after a first call, which compiles; every gradient is
deterministic where torch is asked to be. `_triton_forward`, `_triton_backward` and `_triton_weight` hold the kernels,
`_triton_launch` their launches, `_triton_tune` their sizes.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
import math
import os
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ls3d.ops._geometry import Geometry
from ls3d.ops._layout import memory_format

WORKSPACE = 128 * 2**20
"""Bytes that the backward's buffer, or a copy of a part of the batch, may take; one frame or sample always may."""

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_LIMIT = 2**31
_log = logging.getLogger(__name__)


def supports(geometry: Geometry, dtype: torch.dtype, device: torch.device) -> str | None:
    """Why this backend can't serve, in a sentence; None when it can."""
    if dtype not in _DTYPES:
        return f"the Triton kernels work on float32, bfloat16 and float16 features, not {dtype}"
    if (reason := _unusable(device)) is not None:
        return reason
    return _too_large(geometry)


def forward(
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
) -> Tensor:
    """The output ``(N, O, T_out, H_out, W_out)``, channels-last if the input is; shapes as in ``ls3d_conv3d``."""
    from ls3d.ops.backends.triton import launch as launch

    output = torch.empty(geometry.out_shape, dtype=input.dtype, device=input.device, memory_format=memory_format(input))
    if output.numel() == 0:
        return output
    offset, mask = _reachable(offset), None if mask is None else _reachable(mask)
    with _on(input):
        matrices = launch.pack_weight(weight, geometry)
        for part in _parts(geometry, _copy_size(input)):
            launch.run_forward(
                _channels_last(input[part]),
                offset[part],
                None if mask is None else mask[part],
                matrices,
                None if bias is None else bias.contiguous(),
                output[part],
                geometry,
            )
    return output


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
    from ls3d.ops.backends.triton import launch as launch

    g = geometry
    grad_input = torch.empty_like(input, memory_format=memory_format(input)) if needs[0] else None
    grad_offset = _zeros(offset) if needs[1] else None
    grad_mask = None if mask is None or not needs[2] else _zeros(mask)
    offset, mask = _reachable(offset), None if mask is None else _reachable(mask)
    matrices = launch.pack_weight(weight, g)
    total = matrices.new_zeros((g.taps, g.in_channels, g.out_channels // g.groups), dtype=torch.float32)
    far = _far_size(g) if needs[0] else 0
    with _on(input):
        scale = None
        if needs[0] and g.batch > 0 and torch.are_deterministic_algorithms_enabled():
            scale, far = launch.fixed_point_scale(grad_output, mask, matrices, g), 2 * far
        for part in _parts(g, _copy_size(input) + _copy_size(grad_output) + far):
            x, dy = _channels_last(input[part]), _channels_last(grad_output[part])
            offset_part, mask_part = offset[part], None if mask is None else mask[part]
            if grad_offset is not None or grad_mask is not None:
                dp, dm = (None if grad is None else grad[part] for grad in (grad_offset, grad_mask))
                launch.run_sampling(x, offset_part, mask_part, matrices, dy, dp, dm, g)
            if grad_input is not None:
                for frames in _frames(g, len(x) * far):
                    launch.run_input(offset_part, mask_part, matrices, dy, grad_input[part], frames, scale, g)
            if needs[3]:
                total += launch.run_weight(x, offset_part, mask_part, dy, g)
    grad_weight = launch.unpack_weight(total, weight, g) if needs[3] else None
    return grad_input, grad_offset, grad_mask, grad_weight


@functools.cache
def _unusable(device: torch.device) -> str | None:
    """Why no kernel runs on this device."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if os.environ.get("TRITON_INTERPRET") == "1":
        return None
    if device.type != "cuda":
        return f"the Triton kernels run on CUDA devices, not on {device.type}"
    if torch.version.hip is not None:
        return "the Triton kernels have not been tried on AMD devices"
    major, minor = torch.cuda.get_device_capability(device)
    if major < 8:
        return f"the Triton kernels need compute capability 8.0, the device has {major}.{minor}"
    return None


def _too_large(geometry: Geometry) -> str | None:
    """Positions within one frame are counted in 32 bits; nothing else is."""
    g = geometry
    frames = {
        "the input": g.in_size[1] * g.in_size[2] * g.in_channels,
        "the output": g.out_size[1] * g.out_size[2] * g.out_channels,
        "the offset": g.out_size[1] * g.out_size[2] * 2 * g.taps * g.offset_groups,
        "the weight": g.taps * g.out_channels * (g.in_channels // g.groups),
    }
    for name, elements in frames.items():
        if elements >= _LIMIT:
            what = name if name == "the weight" else f"a frame of {name}"
            return f"{what} has {elements} elements, the Triton kernels take fewer than {_LIMIT}"
    return None


@contextlib.contextmanager
def _on(tensor: Tensor) -> Iterator[None]:
    """Launch on the tensor's device."""
    with torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext():
        yield


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last_3d)


def _reachable(tensor: Tensor) -> Tensor:
    """The tensor, copied if strides within a frame are too long for 32 bits."""
    far = (tensor.shape[3] - 1) * tensor.stride(3) + (tensor.shape[4] - 1) * tensor.stride(4)
    return tensor if far < _LIMIT else tensor.contiguous()


def _zeros(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor, memory_format=memory_format(tensor))


def _copy_size(tensor: Tensor) -> int:
    """Bytes of a channels-last copy of one sample, none where there is nothing to copy."""
    if len(tensor) == 0 or tensor.is_contiguous(memory_format=torch.channels_last_3d):
        return 0
    return tensor.element_size() * tensor[0].numel()


def _far_size(geometry: Geometry) -> int:
    """Bytes of the backward's buffer for one sample."""
    return 4 * geometry.in_channels * math.prod(geometry.in_size)


def _parts(geometry: Geometry, sample: int) -> Iterator[slice]:
    """Ranges of the batch whose buffers, of ``sample`` bytes a sample, fit the workspace."""
    count = max(1, geometry.batch if sample == 0 else WORKSPACE // sample)
    return (slice(n, min(n + count, geometry.batch)) for n in range(0, geometry.batch, count))


def _frames(geometry: Geometry, size: int) -> Iterator[tuple[int, int]]:
    """Ranges of the input's frames whose share of ``size`` bytes fits the workspace."""
    length = geometry.in_size[0]
    count = length if size <= WORKSPACE else max(1, WORKSPACE * length // size)
    return ((t, min(t + count, length)) for t in range(0, length, count))
