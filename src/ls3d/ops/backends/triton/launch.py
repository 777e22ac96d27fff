"""Launches of the Triton kernels: their grids, their arguments, and the buffers that they share.

Nothing here waits for the device, so that CUDA graphs can record it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import triton
from torch import Tensor

from ls3d.ops._call import Call
from ls3d.ops._geometry import Geometry
from ls3d.ops.backends.triton import configs
from ls3d.ops.backends.triton.compiled import Grid, launch_kernel
from ls3d.ops.backends.triton.configs import Config, channels_per_run, tile_shape
from ls3d.ops.backends.triton.forward import forward_kernel
from ls3d.ops.backends.triton.grad_input import input_kernel, scatter_kernel
from ls3d.ops.backends.triton.grad_sampling import sampling_kernel
from ls3d.ops.backends.triton.grad_weight import weight_kernel
from ls3d.ops.backends.triton.tune import choose_config, size_bucket

GATHER_RADIUS = 8
"""The gradient of the input is gathered from samples with offsets of at most this many pixels in y and x, and scattered
from the others. The cost of the gather depends on the longest offset near a tile. On an H100 in bfloat16, with offsets
of a deviation of 2 pixels, forward and backward took 1.09 ms with 8 and 0.95 ms with 2 for (1, 64, 5, 64, 128), but
0.22 and 0.28 ms for (1, 512, 8, 28, 28); without any gather 0.98 and 0.27 ms. With a deviation of 0.5 pixels, 8 and 2
were equal, and without any gather both took 1.3 to 1.5 times as long."""

_MOST_CHOICES = 4096

_chosen: dict[tuple[Any, ...], Config] = {}


def pack_weight(weight: Tensor, geometry: Geometry) -> Tensor:
    """The weight as ``(groups, taps, C / groups, O / groups)``: one matrix for each group and tap."""
    grouped = weight.reshape(geometry.groups, -1, weight.shape[1], geometry.taps)
    return grouped.permute(0, 3, 2, 1).contiguous()


def unpack_weight(matrices: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """``(taps, C, O / groups)`` in the shape and dtype of ``weight``."""
    grouped = torch.unflatten(matrices, 1, (geometry.groups, -1)).permute(1, 3, 2, 0)
    return grouped.reshape(weight.shape).to(weight.dtype)


def run_forward(call: Call, matrices: Tensor, output: Tensor) -> None:
    """Write ``output``.

    Args:
        call: with a channels-last input.
        matrices: the packed weight.
        output: ``(N, O, T_out, H_out, W_out)``, any strides.
    """
    g, input = call.geometry, call.input
    strides, has_bias = output.stride(), call.bias is not None
    bias = matrices if call.bias is None else call.bias.contiguous()
    tensors = {"x": input, "weight": matrices, "bias": bias, "out": output, **_sampling(call)}

    def launch(config: Config) -> None:
        def others() -> tuple[Grid, dict[str, Any]]:
            tile = tile_shape(*g.out_size[1:], config.positions)
            blocks = triton.cdiv(g.out_channels // g.groups, config.block_o)
            own = {"out_strides": strides, "HAS_BIAS": has_bias, "PAIRS": _reads_pairs(input, g), "PARTS": config.parts}
            return (_programs(g.batch, g.out_size, tile), blocks, g.groups), own | _arguments(call, tile, config)

        launch_kernel(forward_kernel, tensors, (_key_of_call(call), strides, has_bias, config), others)

    launch(_choose("forward", configs.forward_configs, g, input.dtype, launch))


def run_sampling(
    call: Call, matrices: Tensor, grad_output: Tensor, grad_offset: Tensor | None, grad_mask: Tensor | None
) -> None:
    """Write the gradients of offset and mask that are not None, where a tap reads a frame of the clip.

    Args:
        call: with a channels-last input.
        matrices: the packed weight.
        grad_output: ``(N, O, T_out, H_out, W_out)``, channels-last.
        grad_offset: of the offset's shape, any strides.
        grad_mask: of the mask's shape, any strides.
    """
    g, input = call.geometry, call.input
    need = grad_offset is not None, grad_mask is not None
    strides = tuple((call.offset if grad is None else grad).stride() for grad in (grad_offset, grad_mask))
    tensors = {
        "x": input,
        "weight": matrices,
        "grad_out": grad_output,
        "grad_offset": matrices if grad_offset is None else grad_offset,
        "grad_mask": matrices if grad_mask is None else grad_mask,
        **_sampling(call),
    }

    def launch(config: Config) -> None:
        def others() -> tuple[Grid, dict[str, Any]]:
            tile = tile_shape(*g.out_size[1:], config.positions)
            own = {
                "grad_offset_strides": strides[0],
                "grad_mask_strides": strides[1],
                "NEED_OFFSET": need[0],
                "NEED_MASK": need[1],
                "PAIRS": _reads_pairs(input, g),
                "PARTS": config.parts,
            }
            return (_programs(g.batch, g.out_size, tile), g.offset_groups, 1), own | _arguments(call, tile, config)

        launch_kernel(sampling_kernel, tensors, (_key_of_call(call), need, strides, config), others)

    launch(_choose("sampling", configs.sampling_configs, g, input.dtype, launch))


def run_input(
    call: Call,
    matrices: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    frames: tuple[int, int],
    scale: Tensor | None,
) -> None:
    """Write some frames of the gradient of the input.

    Args:
        call: its input isn't read.
        matrices: the packed weight.
        grad_output: ``(N, O, T_out, H_out, W_out)``, channels-last.
        grad_input: ``(N, C, T, H, W)``, any strides.
        frames: the range of input frames to write.
        scale: sum what is scattered in fixed point, in units of ``1 / scale``, so that the result doesn't depend on the
            order; None for float32.
    """
    g = call.geometry
    scatter = configs.scatter_config(g)
    source = tile_shape(*g.out_size[1:], scatter.positions)
    shared = {
        "first_frame": frames[0],
        "last_frame": frames[1],
        "FIXED": scale is not None,
        "GATHER_RADIUS": GATHER_RADIUS,
    }
    key = _key_of_call(call), frames, scale is None, GATHER_RADIUS
    tensors = _input_tensors(call, matrices, grad_output, frames, scale, source)

    def others_of_scatter() -> tuple[Grid, dict[str, Any]]:
        grid = (_programs(g.batch, g.out_size, source), g.offset_groups, 1)
        return grid, shared | _arguments(call, source, scatter)

    def launch(config: Config) -> None:
        def others() -> tuple[Grid, dict[str, Any]]:
            tile = tile_shape(*g.in_size[1:], config.positions)
            run = channels_per_run(g)
            reach = GATHER_RADIUS + (g.interpolation == "bicubic")
            spans = [(tile[i] + 2 * reach - 1) // g.stride[1 + i] // source[i] + 2 for i in (0, 1)]
            size = (frames[1] - frames[0], *g.in_size[1:])
            own = {
                "grad_strides": grad_input.stride(),
                "SOURCE_H": source[0],
                "SOURCE_W": source[1],
                "SPAN_H": triton.next_power_of_2(spans[0]),
                "SPAN_W": triton.next_power_of_2(spans[1]),
                "BLOCK_M": config.block_m,
            }
            grid = (_programs(g.batch, size, tile), triton.cdiv(run, config.block_c), g.in_channels // run)
            return grid, own | shared | _arguments(call, tile, config)

        launch_kernel(input_kernel, tensors | {"grad_x": grad_input}, (key, grad_input.stride(), config), others)

    launch_kernel(scatter_kernel, tensors, key, others_of_scatter)
    launch(_choose("input", configs.input_configs, g, grad_output.dtype, launch))


def _input_tensors(
    call: Call,
    matrices: Tensor,
    grad_output: Tensor,
    frames: tuple[int, int],
    scale: Tensor | None,
    source: tuple[int, int],
) -> dict[str, Tensor]:
    """The tensors that both kernels of the gradient of the input take, with the buffers that connect them.

    ``source`` is the tile of output positions of the first kernel.
    """
    g = call.geometry
    accumulator = torch.float32 if scale is None else torch.int64
    size = (g.batch, frames[1] - frames[0], *g.in_size[1:], g.in_channels)
    scattered = grad_output.new_zeros(size, dtype=accumulator)
    tiles = _programs(1, (1, *g.out_size[1:]), source)
    radius = call.offset.new_empty((g.batch, g.out_size[0], g.offset_groups, g.taps, tiles), dtype=torch.int32)
    return {
        "weight": matrices,
        "grad_out": grad_output,
        "scattered": scattered,
        "scale": scattered if scale is None else scale,
        "radius": radius,
        **_sampling(call),
    }


def run_weight(call: Call, grad_output: Tensor) -> Tensor:
    """The gradient of the weight.

    Args:
        call: with a channels-last input.
        grad_output: ``(N, O, T_out, H_out, W_out)``, channels-last.

    Returns:
        ``(taps, C, O / groups)`` in float32.
    """
    g, input = call.geometry, call.input
    run, group_o = channels_per_run(g), g.out_channels // g.groups
    result = input.new_empty((g.taps, g.in_channels, group_o), dtype=torch.float32)

    def launch(config: Config) -> None:
        tile = tile_shape(*g.out_size[1:], config.positions)
        tiles = _programs(g.batch, g.out_size, tile)
        blocks = (
            triton.cdiv(run, config.block_c) * (g.in_channels // run),
            triton.cdiv(group_o, config.block_o),
        )
        splits = max(1, min(configs.PROGRAMS // (g.taps * blocks[0] * blocks[1]), tiles))
        partial = result.new_empty((splits, *result.shape))

        def others() -> tuple[Grid, dict[str, Any]]:
            own = {
                "tiles": tiles,
                "tiles_each": triton.cdiv(tiles, splits),
                "PAIRS": _reads_pairs(input, g),
                "PARTS": config.parts,
            }
            return (g.taps * splits, *blocks), own | _arguments(call, tile, config)

        tensors = {"x": input, "grad_out": grad_output, "partial": partial, **_sampling(call)}
        launch_kernel(weight_kernel, tensors, (_key_of_call(call), config), others)
        torch.sum(partial, 0, out=result)

    launch(_choose("weight", configs.weight_configs, g, input.dtype, launch))
    return result


def fixed_point_scale(call: Call, matrices: Tensor, grad_output: Tensor) -> Tensor:
    """The scale of ``run_input``: the largest power of two with which no sum in one pixel can overflow 63 bits."""
    most = torch.linalg.vector_norm(grad_output, math.inf, dtype=torch.float32)
    most = most * matrices.float().abs().sum(3).amax()
    if call.mask is not None:
        most = most * torch.linalg.vector_norm(call.mask, math.inf, dtype=torch.float32)
    summands = math.prod(call.geometry.out_size) * call.geometry.taps
    # 62 leaves one bit for rounding. The limit keeps the scale and its reciprocal normal numbers if all terms are zero.
    return torch.exp2((62 - torch.log2(most) - math.ceil(math.log2(summands))).floor().clamp(max=120.0))


def _sampling(call: Call) -> dict[str, Tensor]:
    """The tensors that all kernels take."""
    return {"offset": call.offset, "mask": call.offset if call.mask is None else call.mask}


def _key_of_call(call: Call) -> tuple[Any, ...]:
    """What :func:`_arguments` depends on, besides tile and configuration."""
    return call.geometry, call.offset.stride(), None if call.mask is None else call.mask.stride(), _precision(call)


def _arguments(call: Call, tile: tuple[int, int], config: Config) -> dict[str, Any]:
    """The arguments that are no tensors, and the launch options, that all kernels take."""
    g, offset, mask = call.geometry, call.offset, call.mask
    return {
        "offset_strides": offset.stride(),
        "mask_strides": (offset if mask is None else mask).stride(),
        "in_size": g.in_size,
        "out_size": g.out_size,
        "C": g.in_channels,
        "O": g.out_channels,
        "GROUPS": g.groups,
        "OFFSET_GROUPS": g.offset_groups,
        "RUN": channels_per_run(g),
        "KERNEL": g.kernel,
        "STRIDE": g.stride,
        "PADDING": g.padding,
        "DILATION": g.dilation,
        "BICUBIC": g.interpolation == "bicubic",
        "HAS_MASK": mask is not None,
        "PRECISION": _precision(call),
        "TILE_H": tile[0],
        "TILE_W": tile[1],
        "BLOCK_C": config.block_c,
        "BLOCK_O": config.block_o,
        **config.options(),
    }


def _precision(call: Call) -> str:
    """How float32 is multiplied: in one tf32 product if torch allows that for convolutions, else in three, as exact."""
    if call.input.dtype != torch.float32:
        return "tf32"  # not used
    allowed = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    return "tf32" if allowed == "tf32" else "tf32x3"


def _reads_pairs(input: Tensor, geometry: Geometry) -> bool:
    """Whether two channels can be read as one 32-bit word."""
    return input.element_size() == 2 and channels_per_run(geometry) % 2 == 0 and input.data_ptr() % 4 == 0


def _programs(samples: int, size: Sequence[int], tile: tuple[int, int]) -> int:
    """Tiles in so many samples of ``size`` (T, H, W)."""
    return samples * size[0] * -(-size[1] // tile[0]) * -(-size[2] // tile[1])


def _choose(
    kernel: str,
    candidates: Callable[[Geometry, torch.dtype], list[Config]],
    geometry: Geometry,
    dtype: torch.dtype,
    launch: Callable[[Config], None],
) -> Config:
    """The configuration for calls of these sizes, found once; ``launch`` runs the kernel with a configuration."""
    key = (kernel, geometry, dtype, torch.cuda.current_device() if torch.cuda.is_initialized() else None)
    config = _chosen.get(key)
    if config is None:
        if len(_chosen) >= _MOST_CHOICES:
            _chosen.clear()
        config = choose_config(_key(kernel, dtype, geometry), candidates(geometry, dtype), launch)
        _chosen[key] = config
    return config


def _key(kernel: str, dtype: torch.dtype, geometry: Geometry) -> tuple[Any, ...]:
    """What the time of a launch depends on."""
    g = geometry
    positions = size_bucket(g.batch * math.prod(g.out_size))
    return (
        kernel,
        dtype,
        g.in_channels,
        g.out_channels,
        g.groups,
        g.offset_groups,
        g.kernel,
        g.interpolation,
        positions,
    )
