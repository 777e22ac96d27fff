"""The GPU backend: Triton kernels, compiled on the first call; no CUDA toolkit is needed.

- Coordinates and sums are float32, for float32, bfloat16 and float16 features.
- There is no column matrix. Buffers, and channels-last copies of tensors with another layout, are made for a part of
  the batch at a time and take at most WORKSPACE_BYTES.
- Nothing waits for the device, so CUDA graphs can record a call; the first call, which compiles, must precede that.
- All gradients are deterministic if torch is set to deterministic algorithms.

``forward``, ``grad_sampling``, ``grad_input`` and ``grad_weight`` contain the kernels, ``launch`` their launches,
``configs`` and ``tune`` the choice of their tile sizes.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ls3d.ops._call import Call, Gradients, memory_format
from ls3d.ops._geometry import Geometry

WORKSPACE_BYTES = 128 * 2**20
"""Most bytes of a buffer, unless a single frame or sample needs more. Bounds memory; not tuned for speed."""

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_INT32_LIMIT = 2**31


def supports(geometry: Geometry, dtype: torch.dtype, device: torch.device) -> str | None:
    """Why this backend can't run calls of these sizes; None if it can."""
    if dtype not in _DTYPES:
        return f"the Triton kernels support float32, bfloat16 and float16 features, not {dtype}"
    return unsupported_device(device) or _too_large(geometry)


def forward(call: Call) -> Tensor:
    """The output ``(N, O, T_out, H_out, W_out)`` in the input's dtype and memory format."""
    from ls3d.ops.backends.triton import launch

    g, input = call.geometry, call.input
    output = torch.empty(g.out_shape, dtype=input.dtype, device=input.device, memory_format=memory_format(input))
    if output.numel() == 0:
        return output
    call = _with_32_bit_strides(call)
    with on_device_of(input):
        matrices = launch.pack_weight(call.weight, g)
        for samples in _parts_of_batch(g, _copy_bytes(input)):
            launch.run_forward(_with_channels_last(call.samples(samples)), matrices, _part(output, samples))
    return output


def backward(call: Call, grad_output: Tensor, needs: Sequence[bool]) -> Gradients:
    """Gradients of input, offset, mask and weight where ``needs`` is true."""
    from ls3d.ops.backends.triton import launch

    g = call.geometry
    grad_input = torch.empty_like(call.input, memory_format=memory_format(call.input)) if needs[0] else None
    grad_offset = _zeros_like(call.offset) if needs[1] else None
    grad_mask = None if call.mask is None or not needs[2] else _zeros_like(call.mask)
    call = _with_32_bit_strides(call)
    matrices = launch.pack_weight(call.weight, g)
    grad_matrices = None
    scatter_bytes = _scatter_buffer_bytes(g) if needs[0] else 0
    with on_device_of(call.input):
        scale = None
        if needs[0] and g.batch > 0 and torch.are_deterministic_algorithms_enabled():
            scale = launch.fixed_point_scale(call, matrices, grad_output)
            scatter_bytes *= 2  # int64
        for samples in _parts_of_batch(g, _copy_bytes(call.input) + _copy_bytes(grad_output) + scatter_bytes):
            part = _with_channels_last(call.samples(samples))
            grad_part = _channels_last(_part(grad_output, samples))
            if grad_offset is not None or grad_mask is not None:
                targets = (None if grad is None else _part(grad, samples) for grad in (grad_offset, grad_mask))
                launch.run_sampling(part, matrices, grad_part, *targets)
            if grad_input is not None:
                for frames in _parts_of_clip(g, part.geometry.batch * scatter_bytes):
                    launch.run_input(part, matrices, grad_part, _part(grad_input, samples), frames, scale)
            if needs[3]:
                summand = launch.run_weight(part, grad_part)
                grad_matrices = summand if grad_matrices is None else grad_matrices.add_(summand)
    return grad_input, grad_offset, grad_mask, _grad_weight(grad_matrices, call) if needs[3] else None


@functools.cache
def unsupported_device(device: torch.device) -> str | None:
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
    """Why the sizes are too large: indices within a frame have 32 bits, all others 64."""
    g = geometry
    frames = {
        "the input": g.in_size[1] * g.in_size[2] * g.in_channels,
        "the output": g.out_size[1] * g.out_size[2] * g.out_channels,
        "the offset": g.out_size[1] * g.out_size[2] * 2 * g.taps * g.offset_groups,
        "the weight": g.taps * g.out_channels * (g.in_channels // g.groups),
    }
    for name, elements in frames.items():
        if elements >= _INT32_LIMIT:
            what = name if name == "the weight" else f"a frame of {name}"
            return f"{what} has {elements} elements, the Triton kernels support fewer than {_INT32_LIMIT}"
    return None


def on_device_of(tensor: Tensor) -> contextlib.AbstractContextManager[None]:
    """Launch kernels on the tensor's device."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()


def _grad_weight(matrices: Tensor | None, call: Call) -> Tensor:
    """The gradient of the weight from the sum over all samples; None is the sum of none."""
    from ls3d.ops.backends.triton import launch

    if matrices is None:
        return torch.zeros_like(call.weight)
    return launch.unpack_weight(matrices, call.weight, call.geometry)


def _part(tensor: Tensor, samples: slice) -> Tensor:
    """Some samples of the batch."""
    return tensor if samples == slice(0, len(tensor)) else tensor[samples]


def _with_channels_last(call: Call) -> Call:
    """The call with a channels-last input."""
    input = _channels_last(call.input)
    return call if input is call.input else replace(call, input=input)


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last_3d)


def _with_32_bit_strides(call: Call) -> Call:
    """The call with offset and mask copied if distances within their frames exceed 32 bits."""
    offset, mask = _with_near_pixels(call.offset), None if call.mask is None else _with_near_pixels(call.mask)
    return call if offset is call.offset and mask is call.mask else replace(call, offset=offset, mask=mask)


def _with_near_pixels(tensor: Tensor) -> Tensor:
    distance = (tensor.shape[3] - 1) * tensor.stride(3) + (tensor.shape[4] - 1) * tensor.stride(4)
    return tensor if distance < _INT32_LIMIT else tensor.contiguous()


def _zeros_like(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor, memory_format=memory_format(tensor))


def _copy_bytes(tensor: Tensor) -> int:
    """Bytes of a channels-last copy of one sample; 0 if no copy is necessary."""
    if len(tensor) == 0 or tensor.is_contiguous(memory_format=torch.channels_last_3d):
        return 0
    return tensor.element_size() * tensor[0].numel()


def _scatter_buffer_bytes(geometry: Geometry) -> int:
    """Bytes of the buffer of ``launch.run_input`` for one sample, in float32."""
    return 4 * geometry.in_channels * math.prod(geometry.in_size)


def _parts_of_batch(geometry: Geometry, sample_bytes: int) -> Iterator[slice]:
    """Ranges of samples whose buffers fit the workspace."""
    count = max(1, geometry.batch if sample_bytes == 0 else WORKSPACE_BYTES // sample_bytes)
    return (slice(n, min(n + count, geometry.batch)) for n in range(0, geometry.batch, count))


def _parts_of_clip(geometry: Geometry, clip_bytes: int) -> Iterator[tuple[int, int]]:
    """Ranges of input frames whose part of a buffer of ``clip_bytes`` fits the workspace."""
    length = geometry.in_size[0]
    count = length if clip_bytes <= WORKSPACE_BYTES else max(1, WORKSPACE_BYTES * length // clip_bytes)
    return ((t, min(t + count, length)) for t in range(0, length, count))
