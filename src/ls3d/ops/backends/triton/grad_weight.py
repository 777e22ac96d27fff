"""The gradient of the weight as one Triton kernel: for each tap, samples^T times the gradient of the output.

The positions are divided among programs, each of which writes a partial sum. These are added up after the launch, in a
fixed order, so that the result is deterministic.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ls3d.ops.backends.triton.common import (
    blend,
    corner_weights,
    corners,
    load_corners,
    load_gradient,
    load_tap,
    tile_positions,
    words_of_block,
)


@triton.jit(do_not_specialize=["tiles", "tiles_each"])
def weight_kernel(
    x,  # (N, T, H, W, C), contiguous
    offset,  # (N, OFFSET_GROUPS * taps * 2, T_OUT, H_OUT, W_OUT), any strides
    mask,  # (N, OFFSET_GROUPS * taps, T_OUT, H_OUT, W_OUT), any strides
    grad_out,  # (N, T_OUT, H_OUT, W_OUT, O), contiguous
    partial,  # (splits, taps, C, O / GROUPS), float32, contiguous, written
    offset_strides, mask_strides, in_size, out_size, tiles, tiles_each,
    C: tl.constexpr, O: tl.constexpr, GROUPS: tl.constexpr, OFFSET_GROUPS: tl.constexpr, RUN: tl.constexpr,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, DILATION: tl.constexpr,
    BICUBIC: tl.constexpr, HAS_MASK: tl.constexpr, PAIRS: tl.constexpr, PRECISION: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_O: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Grid: (splits * taps, runs * blocks of channels in a run, blocks of a group's output channels).

    A program sums over ``tiles_each`` of the ``tiles`` tiles of output positions.
    """
    group_c: tl.constexpr = C // GROUPS
    group_o: tl.constexpr = O // GROUPS
    plane: tl.constexpr = KERNEL[1] * KERNEL[2]
    taps: tl.constexpr = KERNEL[0] * plane
    quads: tl.constexpr = 4 if BICUBIC else 1
    even: tl.constexpr = RUN % BLOCK_C == 0
    blocks: tl.constexpr = (RUN + BLOCK_C - 1) // BLOCK_C
    size: tl.constexpr = 2 if PAIRS else 1
    kind: tl.constexpr = x.dtype.element_ty
    T, H, W = in_size
    T_OUT, H_OUT, W_OUT = out_size
    tap = tl.program_id(0) % taps
    split = tl.program_id(0) // taps
    first = tl.program_id(1) // blocks * RUN
    block = tl.program_id(1) % blocks * BLOCK_C
    group = first // group_c
    row = first // (C // OFFSET_GROUPS) * taps + tap
    o = tl.program_id(2) * BLOCK_O + tl.arange(0, BLOCK_O)
    word = block // size + words_of_block(PAIRS, BLOCK_C, PARTS)

    acc = tl.zeros((BLOCK_C, BLOCK_O), tl.float32)
    for step in range(split * tiles_each * quads, tl.minimum((split + 1) * tiles_each, tiles) * quads):
        quad = step % quads
        n, t, _, h, w, inside = tile_positions(step // quads, T_OUT, H_OUT, W_OUT, TILE_H, TILE_W)
        frame_number = t * STRIDE[0] - PADDING[0] + tap // plane * DILATION[0]
        active = inside & (frame_number >= 0) & (frame_number < T)
        dy, dx, m = load_tap(
            offset + n * offset_strides[0] + t * offset_strides[2], mask + n * mask_strides[0] + t * mask_strides[2],
            row, offset_strides[1], mask_strides[1], h * offset_strides[3] + w * offset_strides[4],
            h * mask_strides[3] + w * mask_strides[4], active, HAS_MASK,
        )  # fmt: skip
        pixel, ok00, ok01, ok10, ok11, fy, fx = corners(
            dy, dx, h, w, tap, quad, active, H, W, KERNEL, STRIDE, PADDING, DILATION, BICUBIC
        )
        frame = x + (n * T + frame_number) * H * W * C + first
        v00, v01, v10, v11 = load_corners(frame, pixel, ok00, ok01, ok10, ok11, W, word, RUN // size, C, even, PAIRS)
        rows = grad_out + (n * T_OUT + t) * H_OUT * W_OUT * O + group * group_o
        g = load_gradient(rows, h * W_OUT + w, active, o, group_o, O)
        w00, w01, w10, w11 = corner_weights(fy, fx, m, quad, BICUBIC)
        a = blend(v00, v01, v10, v11, w00, w01, w10, w11, kind, PAIRS, TILE_H * TILE_W, BLOCK_C)
        acc = tl.dot(tl.trans(a), g, acc, input_precision=PRECISION)

    c = block + tl.arange(0, BLOCK_C)
    at = (tl.program_id(0).to(tl.int64) * C + first) * group_o + c[:, None] * group_o + o[None, :]
    tl.store(partial + at, acc, mask=(c < RUN)[:, None] & (o < group_o)[None, :])
