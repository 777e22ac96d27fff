"""Grids, tiles and buffers of the Triton kernels: what turns tensors and their geometry into launches.

Nothing here waits for the device, so that CUDA graphs can record it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import triton
from torch import Tensor

from ls3d.ops._geometry import Geometry
from ls3d.ops.backends.triton.backward import far_kernel, input_kernel, sampling_kernel
from ls3d.ops.backends.triton.forward import forward_kernel
from ls3d.ops.backends.triton.tune import Config, interpreted, pick, rounded, tile_shape
from ls3d.ops.backends.triton.weight import weight_kernel

REACH = 8
"""Offsets up to so many pixels flow back to the input by a gather, longer ones by atomics."""

PROGRAMS = 528
"""Programs that fill a large GPU; a constant, so that sums are split alike everywhere."""


def pack_weight(weight: Tensor, geometry: Geometry) -> Tensor:
    """The weight as ``(groups, taps, C / groups, O / groups)``, one matrix per group and tap."""
    grouped = weight.reshape(geometry.groups, -1, weight.shape[1], geometry.taps)
    return grouped.permute(0, 3, 2, 1).contiguous()


def unpack_weight(matrices: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """``(taps, C, O / groups)`` in the shape, dtype and layout of ``weight``."""
    grouped = matrices.unflatten(1, (geometry.groups, -1)).permute(1, 3, 2, 0)
    return grouped.reshape(weight.shape).to(weight.dtype)


def run_forward(
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    matrices: Tensor,
    bias: Tensor | None,
    output: Tensor,
    geometry: Geometry,
) -> None:
    """Fill ``output`` (any strides) from a channels-last ``input``."""
    g = geometry

    def launch(config: Config) -> None:
        tile = tile_shape(*g.out_size[1:], config.positions)
        blocks = triton.cdiv(g.out_channels // g.groups, config.block_o)
        forward_kernel[(_programs(g.out_size, tile, len(input)), blocks, g.groups)](
            x=input,
            weight=matrices,
            bias=matrices if bias is None else bias,
            out=output,
            out_strides=output.stride(),
            HAS_BIAS=bias is not None,
            PAIRS=_pairs(input, g),
            BLOCK_C=config.block_c,
            BLOCK_O=config.block_o,
            PARTS=config.parts,
            **_arguments(offset, mask, g, tile),
            **config.options(),
        )

    launch(pick(_key("forward", input, g), _forward_configs(g, input.dtype, len(input)), launch))


def run_sampling(
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    matrices: Tensor,
    grad_output: Tensor,
    grad_offset: Tensor | None,
    grad_mask: Tensor | None,
    geometry: Geometry,
) -> None:
    """Fill the gradients of offset and mask that are not None, from channels-last tensors."""
    g = geometry

    def launch(config: Config) -> None:
        tile = tile_shape(*g.out_size[1:], config.positions)
        sampling_kernel[(_programs(g.out_size, tile, len(input)), g.offset_groups)](
            x=input,
            weight=matrices,
            grad_out=grad_output,
            grad_offset=matrices if grad_offset is None else grad_offset,
            grad_mask=matrices if grad_mask is None else grad_mask,
            grad_offset_strides=(offset if grad_offset is None else grad_offset).stride(),
            grad_mask_strides=(offset if grad_mask is None else grad_mask).stride(),
            NEED_OFFSET=grad_offset is not None,
            NEED_MASK=grad_mask is not None,
            PAIRS=_pairs(input, g),
            BLOCK_C=config.block_c,
            BLOCK_O=config.block_o,
            PARTS=config.parts,
            **_arguments(offset, mask, g, tile),
            **config.options(),
        )

    launch(pick(_key("sampling", input, g), _sampling_configs(g, input.dtype), launch))


def run_input(
    offset: Tensor,
    mask: Tensor | None,
    matrices: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    frames: tuple[int, int],
    scale: Tensor | None,
    geometry: Geometry,
) -> None:
    """Fill a range of frames of the gradient of the input (any strides) from a channels-last ``grad_output``.

    ``scale`` asks for an order-independent sum of what comes from afar, in fixed point with units of its reciprocal.
    """
    g = geometry
    source = tile_shape(*g.out_size[1:], 64)
    size = (frames[1] - frames[0], *g.in_size[1:])
    kind = torch.float32 if scale is None else torch.int64
    far = grad_input.new_zeros((len(offset), *size, g.in_channels), dtype=kind)
    tiles = _programs((1, *g.out_size[1:]), source, 1)
    reach = offset.new_empty((len(offset), g.out_size[0], g.offset_groups, g.taps, tiles), dtype=torch.int32)
    shared = {
        "weight": matrices,
        "grad_out": grad_output,
        "far": far,
        "scale": far if scale is None else scale,
        "reach": reach,
        "first_frame": frames[0],
        "last_frame": frames[1],
        "FIXED": scale is not None,
        "REACH": REACH,
    }
    config = _far_config(g)
    far_kernel[(_programs(g.out_size, source, len(offset)), g.offset_groups)](
        BLOCK_C=config.block_c,
        BLOCK_O=config.block_o,
        **shared,
        **_arguments(offset, mask, g, source),
        **config.options(),
    )

    def launch(config: Config) -> None:
        tile = tile_shape(*g.in_size[1:], config.positions)
        runs = g.in_channels // _run(g)
        spans = [(tile[i] + 2 * REACH - 1) // g.stride[1 + i] // source[i] + 2 for i in (0, 1)]
        input_kernel[(_programs(size, tile, len(offset)), triton.cdiv(_run(g), config.block_c), runs)](
            grad_x=grad_input,
            grad_strides=grad_input.stride(),
            SOURCE_H=source[0],
            SOURCE_W=source[1],
            SPAN_H=triton.next_power_of_2(spans[0]),
            SPAN_W=triton.next_power_of_2(spans[1]),
            BLOCK_C=config.block_c,
            BLOCK_O=config.block_o,
            BLOCK_M=config.block_m,
            **shared,
            **_arguments(offset, mask, g, tile),
            **config.options(),
        )

    launch(pick(_key("input", grad_output, g), _input_configs(g, grad_output.dtype), launch))


def run_weight(
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    grad_output: Tensor,
    geometry: Geometry,
) -> Tensor:
    """The gradient of the weight as ``(taps, C, O / groups)`` in float32, from channels-last tensors."""
    g = geometry
    run, group_o = _run(g), g.out_channels // g.groups
    result = input.new_empty((g.taps, g.in_channels, group_o), dtype=torch.float32)

    def launch(config: Config) -> None:
        tile = tile_shape(*g.out_size[1:], config.positions)
        tiles = _programs(g.out_size, tile, len(input))
        blocks = (
            triton.cdiv(run, config.block_c) * (g.in_channels // run),
            triton.cdiv(group_o, config.block_o),
        )
        splits = max(1, min(PROGRAMS // (g.taps * blocks[0] * blocks[1]), tiles))
        partial = result.new_empty((splits, *result.shape))
        weight_kernel[(g.taps * splits, *blocks)](
            x=input,
            grad_out=grad_output,
            partial=partial,
            tiles=tiles,
            tiles_each=triton.cdiv(tiles, splits),
            PAIRS=_pairs(input, g),
            BLOCK_C=config.block_c,
            BLOCK_O=config.block_o,
            PARTS=config.parts,
            **_arguments(offset, mask, g, tile),
            **config.options(),
        )
        torch.sum(partial, 0, out=result)

    launch(pick(_key("weight", input, g), _weight_configs(g, input.dtype), launch))
    return result


def fixed_point_scale(grad_output: Tensor, mask: Tensor | None, matrices: Tensor, geometry: Geometry) -> Tensor:
    """A power of two for sums of 63 bits: no sum of everything that can meet in one pixel overflows."""
    most = torch.linalg.vector_norm(grad_output, math.inf, dtype=torch.float32)
    most = most * matrices.float().abs().sum(3).amax()
    if mask is not None:
        most = most * torch.linalg.vector_norm(mask, math.inf, dtype=torch.float32)
    meetings = math.prod(geometry.out_size) * geometry.taps
    return torch.exp2((62 - torch.log2(most) - math.ceil(math.log2(meetings))).floor().clamp(max=120.0))


def _arguments(offset: Tensor, mask: Tensor | None, geometry: Geometry, tile: tuple[int, int]) -> dict[str, Any]:
    """What all kernels take."""
    g = geometry
    return {
        "offset": offset,
        "mask": offset if mask is None else mask,
        "offset_strides": offset.stride(),
        "mask_strides": (offset if mask is None else mask).stride(),
        "in_size": g.in_size,
        "out_size": g.out_size,
        "C": g.in_channels,
        "O": g.out_channels,
        "GROUPS": g.groups,
        "OFFSET_GROUPS": g.offset_groups,
        "RUN": _run(g),
        "KERNEL": g.kernel,
        "STRIDE": g.stride,
        "PADDING": g.padding,
        "DILATION": g.dilation,
        "HAS_MASK": mask is not None,
        "PRECISION": _precision(),
        "TILE_H": tile[0],
        "TILE_W": tile[1],
    }


def _precision() -> str:
    """Products of float32: one pass in tf32 where torch allows it to convolutions, three, as exact as float32, else."""
    allowed = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    return "tf32" if allowed == "tf32" else "tf32x3"


def _run(geometry: Geometry) -> int:
    """Neighboring channels that share a group and an offset group."""
    g = geometry
    return math.gcd(g.in_channels // g.groups, g.in_channels // g.offset_groups)


def _pairs(input: Tensor, geometry: Geometry) -> bool:
    """Whether two channels can be read as one 32-bit word."""
    return input.element_size() == 2 and _run(geometry) % 2 == 0 and input.data_ptr() % 4 == 0


def _programs(size: Sequence[int], tile: tuple[int, int], samples: int) -> int:
    return samples * size[0] * triton.cdiv(size[1], tile[0]) * triton.cdiv(size[2], tile[1])


def _key(kernel: str, tensor: Tensor, geometry: Geometry) -> tuple[Any, ...]:
    g = geometry
    positions = rounded(len(tensor) * math.prod(g.out_size))
    return (
        kernel,
        tensor.dtype,
        g.in_channels,
        g.out_channels,
        g.groups,
        g.offset_groups,
        g.kernel,
        positions,
    )


def _hopper() -> bool:
    """Whether this is a GPU with the matrix instructions of compute capability 9.0."""
    return interpreted() or triton.runtime.driver.active.get_current_target().arch == 90


def _block(size: int, most: int) -> int:
    """The power of two that covers ``size``, from 16 (the least that tensor cores take) to ``most``."""
    return min(max(triton.next_power_of_2(size), 16), most)


def _parts(block_c: int, dtype: torch.dtype, most: int) -> int:
    """``PARTS`` that leaves every thread 16 bytes of a row."""
    return min(most, block_c * dtype.itemsize // 16)


def _forward_configs(geometry: Geometry, dtype: torch.dtype, samples: int) -> list[Config]:
    g = geometry
    block_o = _block(g.out_channels // g.groups, 256)
    wide, narrow = _block(_run(g), 64), _block(_run(g), 32)
    parts = _parts(narrow, dtype, 2)
    if dtype == torch.float32:
        return [Config(64, narrow, min(block_o, 128), parts)]
    if block_o <= 64 and samples * math.prod(g.out_size) >= 128 * PROGRAMS:
        several = [
            Config(64, wide, block_o, parts, stages=2),
            Config(128, wide, block_o, parts, stages=2),
            Config(64, wide, block_o, parts, warps=4, stages=2, registers=168),
        ]
        thin = parts if dtype == torch.bfloat16 else _parts(narrow, dtype, 4)  # float16 needs a few registers more
        return [Config(128, narrow, block_o, thin, registers=128), *several] if _hopper() else several
    return [
        Config(64, wide, block_o, parts, stages=2),
        Config(128, wide, min(block_o, 128), parts, stages=2),
    ]


def _sampling_configs(geometry: Geometry, dtype: torch.dtype) -> list[Config]:
    g = geometry
    single = dtype == torch.float32
    block_c = _block(_run(g), 32 if single else 64)
    block_o = _block(g.out_channels // g.groups, 64 if single else 128)
    return [
        Config(64, block_c, block_o, _parts(block_c, dtype, 4), warps=4),
        Config(128, block_c, block_o, _parts(block_c, dtype, 4)),
    ]


def _far_config(geometry: Geometry) -> Config:
    g = geometry
    return Config(64, 16, _block(g.out_channels // g.groups, 64), warps=4)


def _input_configs(geometry: Geometry, dtype: torch.dtype) -> list[Config]:
    g = geometry
    single = dtype == torch.float32
    block_c = _block(_run(g), 64 if single else 128)
    block_o = _block(g.out_channels // g.groups, 64 if single else 128)
    if single:
        return [Config(64, block_c, block_o, block_m=32)]
    narrow = [
        Config(128, block_c, block_o, block_m=32),
        Config(64, block_c, block_o, block_m=32, warps=4),
    ]
    return [Config(128, block_c, block_o, block_m=64), *narrow] if max(block_c, block_o) <= 64 else narrow


def _weight_configs(geometry: Geometry, dtype: torch.dtype) -> list[Config]:
    g = geometry
    single = dtype == torch.float32
    block_c = _block(_run(g), 32 if single else 64)
    block_o = _block(g.out_channels // g.groups, 64 if single else 256)
    parts = _parts(block_c, dtype, 4)
    if single:
        return [Config(64, block_c, block_o, parts)]
    if block_o > 128:
        return [Config(64, block_c, block_o, parts), Config(128, block_c, 128, parts)]
    return [Config(128, block_c, block_o, parts), Config(64, block_c, block_o, parts, warps=4)]
