"""The CPU backend: feeds the compiled kernel with channels-last features in float32 or float64.

The kernel computes in float32 (float64 for float64 features) and reads features channels-last. Tensors that
are neither are converted a slab at a time, a few samples or frames, so that the workspace stays bounded
whatever the size of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ls3d.ops._geometry import Geometry
from ls3d.ops._layout import memory_format
from ls3d.ops.backends.cpu import library as _kernel

_SLAB_BYTES = 48 << 20  # of converted features; one output frame is the least
_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def supports(geometry: Geometry, dtype: torch.dtype, device: torch.device) -> str | None:
    """Why this backend can't serve, in a sentence; None when it can."""
    if dtype not in _DTYPES:
        return f"the CPU kernel takes float64, float32, bfloat16 and float16, not {dtype}"
    if geometry.in_size[1] * geometry.in_size[2] >= 2**31:
        return "the CPU kernel counts the pixels of a frame with 32 bits, and these frames have more"
    return _kernel.load()[1]


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
    output = torch.empty(geometry.out_shape, dtype=input.dtype, memory_format=memory_format(input))
    weight, bias = weight.to(wide), None if bias is None else bias.to(wide).contiguous()
    for slab in _slabs(geometry, input, copies=1, by_input=False):
        _forward_slab(slab, input, offset, mask, weight, bias, output, geometry)
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
    wide = _wide(input.dtype)
    sources = (input, offset, mask, weight)
    grads = [
        None if t is None or not need else torch.zeros_like(t, memory_format=memory_format(t))
        for t, need in zip(sources, needs, strict=True)
    ]
    grad_weight = None if grads[3] is None else torch.zeros_like(weight, dtype=wide)
    weight = weight.to(wide)
    for slab in _slabs(geometry, input, copies=1 + bool(needs[0]), by_input=True):
        _backward_slab(slab, grad_output, input, offset, mask, weight, geometry, (*grads[:3], grad_weight))
    if grads[3] is not None and grad_weight is not None:
        grads[3] = grad_weight.to(input.dtype)
    return grads[0], grads[1], grads[2], grads[3]


# Each slab is worked on in a function of its own, so that its buffers are gone before the next one's are made.


def _forward_slab(
    slab: _Slab,
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    output: Tensor,
    geometry: Geometry,
) -> None:
    wide = weight.dtype
    features = _channels_last(slab.input(input), wide)
    part = slab.output(output)
    target = part if part.dtype == wide else torch.empty_like(part, dtype=wide)
    shifts, strengths = slab.sampling(offset, mask, wide)
    problem = _problem(geometry, slab, features, shifts, strengths, weight, target)
    problem.bias = None if bias is None else bias.data_ptr()
    _kernel.run("ls3d_forward", problem, wide)
    if target is not part:
        part.copy_(target)


def _backward_slab(
    slab: _Slab,
    grad_output: Tensor,
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    geometry: Geometry,
    grads: Sequence[Tensor | None],
) -> None:
    wide = weight.dtype
    features = _channels_last(slab.input(input), wide)
    outputs = slab.output(grad_output)
    if features.nbytes + outputs.nbytes <= _SLAB_BYTES:  # faster to read than with strides
        outputs = _channels_last(outputs, wide)
    outputs = outputs.to(wide)
    shifts, strengths = slab.sampling(offset, mask, wide)
    problem = _problem(geometry, slab, features, shifts, strengths, weight, outputs)
    parts = [_part(grads[0], slab.input), _part(grads[1], slab.output), _part(grads[2], slab.output)]
    targets = [_target(parts[0], wide, True), _target(parts[1], wide), _target(parts[2], wide)]
    _ask(problem, targets, grads[3])
    _kernel.run("ls3d_backward", problem, wide)
    for part, target in zip(parts, targets, strict=True):
        if part is not None and target is not None and target is not part:
            part.add_(target)


@dataclass(frozen=True)
class _Slab:
    """Some samples, some of their output frames, and the input frames that these need."""

    samples: slice
    out_frames: slice
    in_frames: slice

    def input(self, tensor: Tensor) -> Tensor:
        return tensor[self.samples, :, self.in_frames]

    def output(self, tensor: Tensor) -> Tensor:
        return tensor[self.samples, :, self.out_frames]

    def sampling(self, offset: Tensor, mask: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        return self.output(offset).to(dtype), None if mask is None else self.output(mask).to(dtype)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _is_channels_last(tensor: Tensor) -> bool:
    """Whether a pixel's channels lie together, pixels follow each other, and so do rows."""
    channel, row, pixel = tensor.stride(1), tensor.stride(3), tensor.stride(4)
    _, channels, _, _, width = tensor.shape
    return (channel == 1 or channels == 1) and pixel >= channels and row == width * pixel


def _channels_last(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if tensor.dtype == dtype and _is_channels_last(tensor):
        return tensor
    return tensor.to(dtype=dtype, memory_format=torch.channels_last_3d, copy=True)


def _slabs(geometry: Geometry, input: Tensor, copies: int, by_input: bool) -> Iterator[_Slab]:
    """Cut the work so that what has to be converted fits the workspace.

    Args:
        geometry: of the whole call.
        input: the whole input; frames that the kernel can read in place need no conversion.
        copies: how many buffers of each input frame there are.
        by_input: cut between input frames, each in one slab, rather than between output frames.
    """
    g, wide = geometry, _wide(input.dtype)
    in_place = input.dtype == wide and _is_channels_last(input)
    in_bytes = 0 if in_place else copies * g.in_channels * g.in_size[1] * g.in_size[2] * wide.itemsize
    out_channels = 0 if input.dtype == wide else g.out_channels + 3 * g.taps * g.offset_groups
    out_bytes = out_channels * g.out_size[1] * g.out_size[2] * wide.itemsize
    sample_bytes = in_bytes * g.in_size[0] + out_bytes * g.out_size[0]
    samples = g.batch if sample_bytes * g.batch <= _SLAB_BYTES else max(1, _SLAB_BYTES // sample_bytes)
    length, counterpart = (g.in_size[0], _readers) if by_input else (g.out_size[0], _needed)
    frames = length
    while frames > 1 and sample_bytes > _SLAB_BYTES:
        others = counterpart(g, 0, frames, clip=False)
        count = others.stop - others.start
        if (
            frames * in_bytes + count * out_bytes if by_input else count * in_bytes + frames * out_bytes
        ) <= _SLAB_BYTES:
            break
        frames -= 1
    for first in range(0, g.batch, max(1, samples)):
        for start in range(0, length, frames):
            mine = slice(start, min(start + frames, length))
            others = counterpart(g, mine.start, mine.stop)
            yield _Slab(slice(first, first + samples), *((others, mine) if by_input else (mine, others)))


def _needed(geometry: Geometry, start: int, stop: int, clip: bool = True) -> slice:
    """The input frames that output frames ``start`` to ``stop`` read."""
    g = geometry
    first = start * g.stride[0] - g.padding[0]
    last = (stop - 1) * g.stride[0] - g.padding[0] + (g.kernel[0] - 1) * g.dilation[0] + 1
    return _clipped(first, last, g.in_size[0] if clip else None)


def _readers(geometry: Geometry, start: int, stop: int, clip: bool = True) -> slice:
    """The output frames that read any of the input frames ``start`` to ``stop``, and perhaps some between."""
    g = geometry
    first = -((g.dilation[0] * (g.kernel[0] - 1) - g.padding[0] - start) // g.stride[0])
    last = (stop - 1 + g.padding[0]) // g.stride[0] + 1
    return _clipped(first, last, g.out_size[0] if clip else None)


def _clipped(first: int, last: int, length: int | None) -> slice:
    if length is not None:
        first, last = min(max(first, 0), length), min(last, length)
    return slice(first, max(first, last))


def _problem(
    geometry: Geometry,
    slab: _Slab,
    features: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    output: Tensor,
) -> _kernel.Problem:
    g = geometry
    return _kernel.Problem(
        batch=features.shape[0],
        channels=g.in_channels,
        out_channels=g.out_channels,
        in_size=(features.shape[2], *g.in_size[1:]),
        out_size=(output.shape[2], *g.out_size[1:]),
        kernel=g.kernel,
        stride=g.stride,
        padding=g.padding,
        dilation=g.dilation,
        groups=g.groups,
        offset_groups=g.offset_groups,
        frame_origin=slab.out_frames.start * g.stride[0] - g.padding[0] - slab.in_frames.start,
        threads=torch.get_num_threads(),
        input_sample=features.stride(0),
        input_frame=features.stride(2),
        input_pixel=features.stride(4),
        input=features.data_ptr(),
        offset=_kernel.Array.of(offset),
        mask=_kernel.Array.of(mask),
        weight=_kernel.Array.of(weight),
        output=_kernel.Array.of(output),
    )


def _part(grad: Tensor | None, select: Callable[[Tensor], Tensor]) -> Tensor | None:
    return None if grad is None else select(grad)


def _target(part: Tensor | None, dtype: torch.dtype, features: bool = False) -> Tensor | None:
    """Where the kernel adds a gradient: in place if dtype and layout allow it, else a buffer of zeros."""
    if part is None or (part.dtype == dtype and (not features or _is_channels_last(part))):
        return part
    layout = torch.channels_last_3d if features else torch.contiguous_format
    return torch.zeros_like(part, dtype=dtype, memory_format=layout)


def _ask(problem: _kernel.Problem, targets: Sequence[Tensor | None], grad_weight: Tensor | None) -> None:
    """Name the gradients that the kernel shall add to."""
    grad_input, grad_offset, grad_mask = targets
    if grad_input is not None:
        problem.grad_input = grad_input.data_ptr()
        problem.grad_input_sample = grad_input.stride(0)
        problem.grad_input_frame = grad_input.stride(2)
        problem.grad_input_pixel = grad_input.stride(4)
    problem.grad_offset = _kernel.Array.of(grad_offset)
    problem.grad_mask = _kernel.Array.of(grad_mask)
    problem.grad_weight = _kernel.Array.of(grad_weight)
