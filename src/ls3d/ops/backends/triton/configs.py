"""How the Triton kernels are divided into programs: tiles of positions, blocks of channels, warps.

Each ``*_configs`` function returns the candidates for a call, the default first; ``tune.choose_config`` chooses one.

The candidates have not been compared on a GPU yet. What is known comes from compiling for sm_80 and sm_90: no default
spills registers with Triton 3.7.1, which ``tests/ops/test_triton_compile.py`` checks. (With 3.6.0 one does, the
gradients of offset and mask for 1024 channels on sm_80.) Where a comment names spills, they are bytes for each thread
with 3.6.0 and with 3.7.1. Sizes without a comment are unmeasured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import triton

from ls3d.ops._geometry import Geometry

PROGRAMS = 528
"""Programs that fill a large GPU: 4 for each of the 132 multiprocessors of an H100. A constant, rather than a property
of the GPU in use, so that sums are split in the same way, and have the same bits, on all GPUs."""

SMALLEST_BLOCK = 16
"""The smallest size of a matrix product on tensor cores (``tl.dot``)."""

REGISTERS = 65536
"""Registers of 32 bits in a multiprocessor, for compute capability 8.0 to 12.0 (CUDA C++ Programming Guide)."""


@dataclass(frozen=True)
class Config:
    """How one kernel is divided into programs.

    Attributes:
        positions: positions in a program's tile: output positions, or pixels for the gradient of the input.
        block_c: input channels in a matrix product.
        block_o: output channels in a matrix product.
        parts: see ``common.words_of_block``.
        block_m: output positions in a matrix product of the gradient of the input.
        warps, stages, registers: Triton's ``num_warps``, ``num_stages`` and ``maxnreg``.
    """

    positions: int
    block_c: int
    block_o: int
    parts: int = 1
    block_m: int = 64
    warps: int = 8
    stages: int = 1
    registers: int | None = None

    def options(self) -> dict[str, Any]:
        """Launch options of Triton."""
        limit = {} if self.registers is None else {"maxnreg": self.registers}
        return {"num_warps": self.warps, "num_stages": self.stages, **limit}


def tile_shape(height: int, width: int, positions: int) -> tuple[int, int]:
    """The rectangle of ``positions`` that covers a frame with the fewest tiles; the most compact one of these."""
    shapes = [(positions // w, w) for w in (4, 8, 16, 32, 64, 128) if w <= positions]
    return min(shapes, key=lambda s: (-(-height // s[0]) * -(-width // s[1]), s[0] + s[1]))


def channels_per_run(geometry: Geometry) -> int:
    """Consecutive input channels that share a group and an offset group."""
    g = geometry
    return math.gcd(g.in_channels // g.groups, g.in_channels // g.offset_groups)


def is_interpreted() -> bool:
    """Whether the kernels run in Triton's interpreter, on the CPU."""
    return bool(triton.knobs.runtime.interpret)


def forward_configs(geometry: Geometry, dtype: torch.dtype) -> list[Config]:
    """Candidates for the forward pass."""
    g = geometry
    block_o = _block(g.out_channels // g.groups, 256)
    wide, narrow = _block(channels_per_run(g), 64), _block(channels_per_run(g), 32)
    parts = _parts(narrow, dtype, 2)
    if dtype == torch.float32:
        return [Config(64, narrow, min(block_o, 128), parts)]  # a tile of 128 spills 48 with 3.6.0, 0 with 3.7.1
    if block_o <= 64 and g.batch * math.prod(g.out_size) >= 128 * PROGRAMS:  # a tile of 128 for each program at least
        large = [
            Config(64, wide, block_o, parts, stages=2),
            Config(128, wide, block_o, parts, stages=2),
            Config(64, wide, block_o, parts, warps=4, stages=2, registers=_registers(programs=3, warps=4)),
        ]
        if not _is_hopper():
            return large
        # With only 128 registers, a block of 64 channels spills 232 and 96, and float16 with PARTS = 2 spills 16 and 0.
        parts = parts if dtype == torch.bfloat16 else _parts(narrow, dtype, 4)
        return [Config(128, narrow, block_o, parts, registers=_registers(programs=2, warps=8)), *large]
    return [
        Config(64, wide, block_o, parts, stages=2),
        Config(128, wide, min(block_o, 128), parts, stages=2),
    ]


def sampling_configs(geometry: Geometry, dtype: torch.dtype) -> list[Config]:
    """Candidates for the gradients of offset and mask."""
    g = geometry
    single = dtype == torch.float32
    block_c = _block(channels_per_run(g), 32 if single else 64)
    block_o = _block(g.out_channels // g.groups, 64 if single else 128)
    return [
        Config(64, block_c, block_o, _parts(block_c, dtype, 4), warps=4),
        Config(128, block_c, block_o, _parts(block_c, dtype, 4)),
    ]


def scatter_config(geometry: Geometry) -> Config:
    """For the gradient of the input through long offsets. They are rare, so there is only one."""
    g = geometry
    return Config(64, SMALLEST_BLOCK, _block(g.out_channels // g.groups, 64), warps=4)


def input_configs(geometry: Geometry, dtype: torch.dtype) -> list[Config]:
    """Candidates for the gradient of the input."""
    g = geometry
    single = dtype == torch.float32
    block_c = _block(channels_per_run(g), 64 if single else 128)
    block_o = _block(g.out_channels // g.groups, 64 if single else 128)
    if single:
        return [Config(64, block_c, block_o, block_m=32)]
    narrow = [
        Config(128, block_c, block_o, block_m=32),
        Config(64, block_c, block_o, block_m=32, warps=4),
    ]
    return [Config(128, block_c, block_o, block_m=64), *narrow] if max(block_c, block_o) <= 64 else narrow


def weight_configs(geometry: Geometry, dtype: torch.dtype) -> list[Config]:
    """Candidates for the gradient of the weight."""
    g = geometry
    single = dtype == torch.float32
    block_c = _block(channels_per_run(g), 32 if single else 64)
    block_o = _block(g.out_channels // g.groups, 64 if single else 256)
    parts = _parts(block_c, dtype, 4)
    if single:
        return [Config(64, block_c, block_o, parts)]
    if block_o > 128:
        return [Config(64, block_c, block_o, parts), Config(128, block_c, 128, parts)]
    return [Config(128, block_c, block_o, parts), Config(64, block_c, block_o, parts, warps=4)]


def _is_hopper() -> bool:
    """Whether the GPU has the matrix instructions of compute capability 9.0."""
    return is_interpreted() or triton.runtime.driver.active.get_current_target().arch == 90


def _block(size: int, most: int) -> int:
    """The power of two that covers ``size``, from ``SMALLEST_BLOCK`` to ``most``."""
    power = 1 << (size - 1).bit_length()
    return min(max(power, SMALLEST_BLOCK), most)


def _parts(block_c: int, dtype: torch.dtype, most: int) -> int:
    """The largest ``PARTS``, up to ``most``, with which a thread still loads 16 bytes of a row at once."""
    return min(most, block_c * dtype.itemsize // 16)


def _registers(programs: int, warps: int) -> int:
    """Registers of a thread with which so many programs run on one multiprocessor at once, a multiple of 8."""
    return REGISTERS // (programs * warps * 32) // 8 * 8
