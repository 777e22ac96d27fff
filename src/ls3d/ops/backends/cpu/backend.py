"""The CPU backend: passes tensors to the compiled kernel, converted where it is necessary.

The kernel computes in float32 (float64 for float64 features) and reads features channels-last. Its forward pass also
reads offsets, masks and weights of bfloat16, and multiplies in it where the CPU can. Tensors with another dtype or
layout are converted a slab at a time, a few samples or frames, so that the workspace is bounded for calls of
any size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ls3d.ops._call import Call, Gradients, memory_format
from ls3d.ops._geometry import Geometry
from ls3d.ops.backends.cpu import library

_SLAB_BYTES = 48 << 20
"""Most bytes of converted tensors in a slab, unless a single frame needs more. Bounds memory; not tuned for speed."""

_FEW_CHANNELS = 8
"""``kMostFewChannels`` in ``csrc/few_channels.h``."""

_LARGE = 1 << 14
"""Fewest elements of a tensor whose layout the kernel changes: torch takes as long for smaller ones. Not tuned."""

_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def supports(geometry: Geometry, dtype: torch.dtype, device: torch.device) -> str | None:
    """Why this backend can't run calls of these sizes; None if it can."""
    if device.type != "cpu":
        return f"the CPU kernel runs on CPUs, not on {device.type} devices"
    if dtype not in _DTYPES:
        return f"the CPU kernel supports float64, float32, bfloat16 and float16, not {dtype}"
    if geometry.in_size[1] * geometry.in_size[2] >= 2**31:
        return "the CPU kernel counts the pixels of a frame in 32 bits, and these frames have more"
    return library.load()[1]


def forward(call: Call) -> Tensor:
    """The output ``(N, O, T_out, H_out, W_out)`` in the input's dtype and memory format."""
    dtype = call.compute_dtype
    output = torch.empty(call.geometry.out_shape, dtype=call.input.dtype, memory_format=memory_format(call.input))
    weight, bias = _readable(call.weight, dtype), None if call.bias is None else call.bias.to(dtype).contiguous()
    if weight is not call.weight or bias is not call.bias:
        call = replace(call, weight=weight, bias=bias)
    for slab in _slabs(call, copies=1, by_input=False):
        _forward_slab(slab, call, output)
    return output


def backward(call: Call, grad_output: Tensor, needs: Sequence[bool]) -> Gradients:
    """Gradients of input, offset, mask and weight where ``needs`` is true."""
    dtype, weight = call.compute_dtype, call.weight
    grads = [
        None if t is None or not need else torch.zeros_like(t, memory_format=memory_format(t))
        for t, need in zip((call.input, call.offset, call.mask), needs[:3], strict=True)
    ]
    grad_weight = torch.zeros_like(weight, dtype=dtype) if needs[3] else None
    call = replace(call, weight=weight.to(dtype))
    for slab in _slabs(call, copies=1 + bool(needs[0]), by_input=True):
        _backward_slab(slab, call, grad_output, grads, grad_weight)
    return grads[0], grads[1], grads[2], None if grad_weight is None else grad_weight.to(weight.dtype)


# Each slab is processed in a function of its own, so that its buffers are freed before those of the next one are made.


def _forward_slab(slab: _Slab, call: Call, output: Tensor) -> None:
    dtype = call.compute_dtype
    part = slab.output(output)
    target = part if part.dtype in (dtype, torch.bfloat16) else torch.empty_like(part, dtype=dtype)
    few_channels = _has_few_channels(call.geometry)
    features = slab.input(call.input)
    inputs = _SlabInputs(
        _with_regular_pixels(features, dtype) if few_channels else _channels_last(features, dtype),
        _readable(slab.output(call.offset), dtype),
        None if call.mask is None else _readable(slab.output(call.mask), dtype),
    )
    kernel_call = _kernel_call(slab, call, inputs, target)
    kernel_call.few_channels = few_channels
    kernel_call.bfloat16_offset = inputs.offset.dtype == torch.bfloat16
    kernel_call.bfloat16_mask = inputs.mask is not None and inputs.mask.dtype == torch.bfloat16
    kernel_call.bfloat16_weight = call.weight.dtype == torch.bfloat16
    kernel_call.bfloat16_output = target.dtype == torch.bfloat16
    # Samples of bfloat16 features may be rounded to their dtype, so that the CPU's products of bfloat16 can be used.
    kernel_call.bfloat16_products = call.input.dtype == call.weight.dtype == torch.bfloat16
    library.run("ls3d_forward", kernel_call, dtype)
    if target is not part:
        part.copy_(target)


def _backward_slab(
    slab: _Slab, call: Call, grad_output: Tensor, grads: Sequence[Tensor | None], grad_weight: Tensor | None
) -> None:
    """Add to the gradients of input, offset and mask in ``grads``, and to the weight's."""
    dtype = call.compute_dtype
    inputs = _SlabInputs(
        _channels_last(slab.input(call.input), dtype),
        slab.output(call.offset).to(dtype),
        None if call.mask is None else slab.output(call.mask).to(dtype),
    )
    outputs = slab.output(grad_output)
    if inputs.features.nbytes + outputs.nbytes <= _SLAB_BYTES:  # channels-last is faster to read
        outputs = _channels_last(outputs, dtype)
    outputs = outputs.to(dtype)
    grad_input, grad_offset, grad_mask = grads
    parts = (
        None if grad_input is None else slab.input(grad_input),
        None if grad_offset is None else slab.output(grad_offset),
        None if grad_mask is None else slab.output(grad_mask),
    )
    targets = (
        _gradient_target(parts[0], dtype, channels_last=True),
        _gradient_target(parts[1], dtype),
        _gradient_target(parts[2], dtype),
    )
    kernel_call = _kernel_call(slab, call, inputs, outputs)
    _set_gradient_targets(kernel_call, *targets, grad_weight)
    library.run("ls3d_backward", kernel_call, dtype)
    if parts[0] is not None and targets[0] is not None and targets[0] is not parts[0]:
        _copy(targets[0], parts[0])  # no other slab has these frames
    for part, target in zip(parts[1:], targets[1:], strict=True):
        if part is not None and target is not None and target is not part:
            part.add_(target)


class _Slab(NamedTuple):
    """Some samples, some of their output frames, and the input frames that these read."""

    samples: slice
    out_frames: slice
    in_frames: slice

    def input(self, tensor: Tensor) -> Tensor:
        """The slab's part of a tensor with the input's frames."""
        return self._part(tensor, self.in_frames)

    def output(self, tensor: Tensor) -> Tensor:
        """The slab's part of a tensor with the output's frames."""
        return self._part(tensor, self.out_frames)

    def _part(self, tensor: Tensor, frames: slice) -> Tensor:
        whole = self.samples == slice(0, tensor.shape[0]) and frames == slice(0, tensor.shape[2])
        return tensor if whole else tensor[self.samples, :, frames]  # a view takes longer than the comparison


class _SlabInputs(NamedTuple):
    """A slab's part of input, offset and mask, converted for the kernel."""

    features: Tensor
    offset: Tensor
    mask: Tensor | None


def _readable(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor, converted if the forward pass can't read it: beside ``dtype``, it reads bfloat16."""
    return tensor if tensor.dtype in (dtype, torch.bfloat16) else tensor.to(dtype)


@lru_cache(maxsize=1024)
def _has_few_channels(geometry: Geometry) -> bool:
    """Whether the forward pass copies the input into frames with a border, see ``csrc/few_channels.h``.

    A copy pays if there are at least as many samples as pixels.
    """
    g = geometry
    return (
        g.groups == g.offset_groups == 1
        and 1 <= g.in_channels <= _FEW_CHANNELS
        and g.interpolation == "bilinear"
        and _padded_elements(g) < 2**31
        and g.taps * math.prod(g.out_size) >= math.prod(g.in_size)
    )


def _padded_elements(geometry: Geometry) -> int:
    """The number of elements of a frame of ``PaddedInput`` in ``csrc/few_channels.h``."""
    _, height, width = geometry.in_size
    channels = 1 << (geometry.in_channels - 1).bit_length()
    return ((height + 4) * (width + 2) + 2) * channels


def _has_regular_pixels(tensor: Tensor) -> bool:
    """Whether all pixels of a frame have the same distance."""
    return tensor.stride(3) == tensor.shape[4] * tensor.stride(4)


def _is_channels_last(tensor: Tensor) -> bool:
    """Whether a pixel's channels are adjacent, and all pixels of a frame have the same distance."""
    channels, channel, pixel = tensor.shape[1], tensor.stride(1), tensor.stride(4)
    return (channel == 1 or channels == 1) and pixel >= channels and _has_regular_pixels(tensor)


def _with_regular_pixels(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if tensor.dtype == dtype and _has_regular_pixels(tensor):
        return tensor
    return tensor.to(dtype=dtype, memory_format=torch.contiguous_format, copy=True)


def _channels_last(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if tensor.dtype == dtype and _is_channels_last(tensor):
        return tensor
    converted = torch.empty_like(tensor, dtype=dtype, memory_format=torch.channels_last_3d)
    _copy(tensor, converted)
    return converted


def _copy(source: Tensor, target: Tensor) -> None:
    """``target.copy_(source)``, by the kernel if it only changes the layout of a large tensor."""
    by_kernel = source.dtype == target.dtype in (torch.float32, torch.float64) and source.numel() >= _LARGE
    if by_kernel and _is_contiguous(source) and _is_channels_last(target):
        library.transpose(_by_channel(source), _by_pixel(target))
    elif by_kernel and _is_channels_last(source) and _is_contiguous(target):
        library.transpose(_by_pixel(source), _by_channel(target))
    else:
        target.copy_(source)


def _is_contiguous(tensor: Tensor) -> bool:
    """Whether a channel's pixels of a frame are adjacent."""
    return tensor.stride(4) == 1 and _has_regular_pixels(tensor)


def _by_channel(tensor: Tensor) -> Tensor:
    """``tensor (N, C, T, H, W)`` as ``(N, T, C, H*W)``."""
    return tensor.transpose(1, 2).flatten(3)


def _by_pixel(tensor: Tensor) -> Tensor:
    """``tensor (N, C, T, H, W)`` as ``(N, T, H*W, C)``."""
    return tensor.permute(0, 2, 3, 4, 1).flatten(2, 3)


def _slabs(call: Call, copies: int, by_input: bool) -> Iterator[_Slab]:
    """Divide a call into slabs whose converted tensors fit the workspace.

    Args:
        call: the whole call.
        copies: number of buffers for each input frame that is converted.
        by_input: assign each input frame to one slab, instead of each output frame.
    """
    g = call.geometry
    length = g.in_size[0] if by_input else g.out_size[0]
    samples, frames = _slab_size(call, copies, by_input)
    for first in range(0, g.batch, samples):
        for start in range(0, length, frames):
            stop = min(start + frames, length)
            if by_input:
                in_frames, out_frames = slice(start, stop), _clip(_readers_of(g, start, stop), g.out_size[0])
            else:
                in_frames, out_frames = _clip(_frames_read_by(g, start, stop), g.in_size[0]), slice(start, stop)
            yield _Slab(slice(first, first + samples), out_frames, in_frames)


def _slab_size(call: Call, copies: int, by_input: bool) -> tuple[int, int]:
    """Samples and frames of a slab: as many as fit the workspace, at least one of each."""
    g = call.geometry
    in_bytes, out_bytes = _bytes_per_frame(call, copies, by_input)
    sample_bytes = in_bytes * g.in_size[0] + out_bytes * g.out_size[0]
    length = g.in_size[0] if by_input else g.out_size[0]
    if sample_bytes * g.batch <= _SLAB_BYTES:
        return max(1, g.batch), length
    if sample_bytes <= _SLAB_BYTES:
        return _SLAB_BYTES // sample_bytes, length
    for frames in range(length, 1, -1):
        first, last = (_readers_of if by_input else _frames_read_by)(g, 0, frames)
        in_frames, out_frames = (frames, last - first) if by_input else (last - first, frames)
        if in_frames * in_bytes + out_frames * out_bytes <= _SLAB_BYTES:
            return 1, frames
    return 1, 1


def _bytes_per_frame(call: Call, copies: int, by_input: bool) -> tuple[int, int]:
    """Bytes of the converted tensors for each input frame and each output frame of a sample; see ``_slabs``."""
    g, dtype = call.geometry, call.compute_dtype
    same_dtype = call.input.dtype == dtype
    padded = not by_input and _has_few_channels(g)
    in_place = same_dtype and (_has_regular_pixels if padded else _is_channels_last)(call.input)
    elements = 0 if in_place else copies * g.in_channels * g.in_size[1] * g.in_size[2]
    in_bytes = (elements + (_padded_elements(g) if padded else 0)) * dtype.itemsize
    is_readable = same_dtype or (call.input.dtype == torch.bfloat16 and not by_input)
    out_channels = 0 if is_readable else g.out_channels + 3 * g.taps * g.offset_groups
    return in_bytes, out_channels * g.out_size[1] * g.out_size[2] * dtype.itemsize


def _frames_read_by(geometry: Geometry, start: int, stop: int) -> tuple[int, int]:
    """The range of input frames that output frames ``start`` to ``stop`` read; it may exceed the clip."""
    g = geometry
    first = start * g.stride[0] - g.padding[0]
    last = (stop - 1) * g.stride[0] - g.padding[0] + (g.kernel[0] - 1) * g.dilation[0] + 1
    return first, max(first, last)


def _readers_of(geometry: Geometry, start: int, stop: int) -> tuple[int, int]:
    """The smallest range with all output frames that read any of the input frames ``start`` to ``stop``."""
    g = geometry
    first = -((g.dilation[0] * (g.kernel[0] - 1) - g.padding[0] - start) // g.stride[0])
    last = (stop - 1 + g.padding[0]) // g.stride[0] + 1
    return first, max(first, last)


def _clip(frames: tuple[int, int], length: int) -> slice:
    """The part of a range of frames within a clip of ``length`` frames."""
    first = min(max(frames[0], 0), length)
    return slice(first, max(first, min(frames[1], length)))


def _kernel_call(slab: _Slab, call: Call, inputs: _SlabInputs, output: Tensor) -> library.KernelCall:
    """The kernel's description of a slab; ``output`` is the output, or its gradient for the backward pass."""
    g, features = call.geometry, inputs.features
    kernel_call = library.KernelCall.from_buffer_copy(_whole_call(g))
    kernel_call.batch = features.shape[0]
    kernel_call.in_size[0] = features.shape[2]
    kernel_call.out_size[0] = output.shape[2]
    kernel_call.frame_origin = slab.out_frames.start * g.stride[0] - g.padding[0] - slab.in_frames.start
    kernel_call.threads = torch.get_num_threads()
    kernel_call.input_sample, kernel_call.input_channel, kernel_call.input_frame, _, kernel_call.input_pixel = (
        features.stride()
    )
    kernel_call.input = features.data_ptr()
    kernel_call.set_array("offset", inputs.offset)
    kernel_call.set_array("mask", inputs.mask)
    kernel_call.set_array("weight", call.weight)
    kernel_call.bias = None if call.bias is None else call.bias.data_ptr()
    kernel_call.set_array("output", output)
    return kernel_call


@lru_cache(maxsize=1024)  # for a small call, ctypes takes as long to convert the sizes as the kernel to compute
def _whole_call(geometry: Geometry) -> library.KernelCall:
    """The kernel's description of a whole call, without the tensors; not to be changed."""
    g = geometry
    return library.KernelCall(
        batch=g.batch,
        channels=g.in_channels,
        out_channels=g.out_channels,
        in_size=g.in_size,
        out_size=g.out_size,
        kernel=g.kernel,
        stride=g.stride,
        padding=g.padding,
        dilation=g.dilation,
        groups=g.groups,
        offset_groups=g.offset_groups,
        interpolation=library.INTERPOLATIONS.index(g.interpolation),
    )


def _gradient_target(part: Tensor | None, dtype: torch.dtype, channels_last: bool = False) -> Tensor | None:
    """The tensor to which the kernel adds a gradient: ``part`` if it has the right dtype and layout, else zeros."""
    if part is None or (part.dtype == dtype and (not channels_last or _is_channels_last(part))):
        return part
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    return torch.zeros_like(part, dtype=dtype, memory_format=layout)


def _set_gradient_targets(
    kernel_call: library.KernelCall,
    grad_input: Tensor | None,
    grad_offset: Tensor | None,
    grad_mask: Tensor | None,
    grad_weight: Tensor | None,
) -> None:
    """Set the gradients that the kernel adds to; None for those that it leaves out."""
    if grad_input is not None:
        kernel_call.grad_input = grad_input.data_ptr()
        kernel_call.grad_input_sample = grad_input.stride(0)
        kernel_call.grad_input_frame = grad_input.stride(2)
        kernel_call.grad_input_pixel = grad_input.stride(4)
    kernel_call.set_array("grad_offset", grad_offset)
    kernel_call.set_array("grad_mask", grad_mask)
    kernel_call.set_array("grad_weight", grad_weight)
