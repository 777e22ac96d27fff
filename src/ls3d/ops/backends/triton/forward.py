"""The forward pass as one Triton kernel: an implicit GEMM whose left operand is sampled block by block.

    out[m, o] = bias[o] + sum over taps and channels of sample[m, tap, c] * weight[tap, c, o]

A program computes a tile of output positions and up to 256 output channels, usually all, so that each sample is
gathered and blended once. The loop is software-pipelined in registers: during the matrix product of one block, the
corners of the next block and the offsets of the tap after the next are being loaded.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ls3d.ops.backends.triton.common import (
    blend,
    corner_weights,
    corners,
    load_corners,
    load_matrix,
    load_tap,
    tap_range,
    tile_positions,
    words_of_block,
)


@triton.jit
def forward_kernel(
    x,  # (N, T, H, W, C), contiguous
    offset,  # (N, OFFSET_GROUPS * taps * 2, T_OUT, H_OUT, W_OUT), any strides
    mask,  # (N, OFFSET_GROUPS * taps, T_OUT, H_OUT, W_OUT), any strides
    weight,  # (GROUPS, taps, C / GROUPS, O / GROUPS), contiguous
    bias,  # (O,), contiguous
    out,  # (N, O, T_OUT, H_OUT, W_OUT), any strides, written
    offset_strides, mask_strides, out_strides, in_size, out_size,
    C: tl.constexpr, O: tl.constexpr, GROUPS: tl.constexpr, OFFSET_GROUPS: tl.constexpr, RUN: tl.constexpr,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, DILATION: tl.constexpr,
    BICUBIC: tl.constexpr, HAS_MASK: tl.constexpr, HAS_BIAS: tl.constexpr, PAIRS: tl.constexpr, PRECISION: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_O: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Grid: (tiles of output positions, blocks of a group's output channels, groups)."""
    group_c: tl.constexpr = C // GROUPS
    group_o: tl.constexpr = O // GROUPS
    plane: tl.constexpr = KERNEL[1] * KERNEL[2]
    taps: tl.constexpr = KERNEL[0] * plane
    quads: tl.constexpr = 4 if BICUBIC else 1
    even: tl.constexpr = RUN % BLOCK_C == 0
    last: tl.constexpr = (RUN - 1) // BLOCK_C * BLOCK_C
    size: tl.constexpr = 2 if PAIRS else 1
    kind: tl.constexpr = x.dtype.element_ty
    positions: tl.constexpr = TILE_H * TILE_W
    T, H, W = in_size
    n, t, _, h, w, inside = tile_positions(tl.program_id(0), out_size[0], out_size[1], out_size[2], TILE_H, TILE_W)
    group = tl.program_id(2)
    c = tl.arange(0, BLOCK_C)
    word = words_of_block(PAIRS, BLOCK_C, PARTS)
    o = tl.program_id(1) * BLOCK_O + tl.arange(0, BLOCK_O)
    offset += n * offset_strides[0] + t * offset_strides[2]
    offset_lane = h * offset_strides[3] + w * offset_strides[4]
    mask += n * mask_strides[0] + t * mask_strides[2]
    mask_lane = h * mask_strides[3] + w * mask_strides[4]
    begin, end = tap_range(t, 0, T, KERNEL, STRIDE, PADDING, DILATION)
    begin *= quads
    end *= quads

    acc = tl.zeros((positions, BLOCK_O), tl.float32)
    for run in range(group_c // RUN):
        first = group * group_c + run * RUN
        row = first // (C // OFFSET_GROUPS) * taps
        first_frame = n * T + t * STRIDE[0] - PADDING[0]
        active = inside & (begin < end)
        dy, dx, m = load_tap(
            offset, mask, row + begin // quads, offset_strides[1], mask_strides[1],
            offset_lane, mask_lane, active, HAS_MASK,
        )  # fmt: skip
        pixel, ok00, ok01, ok10, ok11, fy, fx = corners(
            dy, dx, h, w, begin // quads, begin % quads, active, H, W, KERNEL, STRIDE, PADDING, DILATION, BICUBIC
        )
        w00, w01, w10, w11 = corner_weights(fy, fx, m, begin % quads, BICUBIC)
        frame = x + (first_frame + begin // quads // plane * DILATION[0]) * H * W * C + first
        v00, v01, v10, v11 = load_corners(frame, pixel, ok00, ok01, ok10, ok11, W, word, RUN // size, C, even, PAIRS)
        active = inside & (begin + 1 < end)
        dy, dx, m = load_tap(
            offset, mask, row + (begin + 1) // quads, offset_strides[1], mask_strides[1],
            offset_lane, mask_lane, active, HAS_MASK,
        )  # fmt: skip
        for step in range(begin, end):
            matrix = weight + ((group * taps + step // quads) * group_c + run * RUN) * group_o
            for block in range(BLOCK_C, RUN, BLOCK_C):
                b = load_matrix(matrix, block - BLOCK_C + c, o, RUN, group_o, even)
                a = blend(v00, v01, v10, v11, w00, w01, w10, w11, kind, PAIRS, positions, BLOCK_C)
                v00, v01, v10, v11 = load_corners(
                    frame, pixel, ok00, ok01, ok10, ok11, W, block // size + word, RUN // size, C, even, PAIRS
                )
                acc = tl.dot(a, b, acc, input_precision=PRECISION)
            b = load_matrix(matrix, last + c, o, RUN, group_o, even)
            a = blend(v00, v01, v10, v11, w00, w01, w10, w11, kind, PAIRS, positions, BLOCK_C)
            quad = (step + 1) % quads
            pixel, ok00, ok01, ok10, ok11, fy, fx = corners(
                dy, dx, h, w, (step + 1) // quads, quad, active, H, W, KERNEL, STRIDE, PADDING, DILATION, BICUBIC
            )
            w00, w01, w10, w11 = corner_weights(fy, fx, m, quad, BICUBIC)
            frame = x + (first_frame + (step + 1) // quads // plane * DILATION[0]) * H * W * C + first
            v00, v01, v10, v11 = load_corners(
                frame, pixel, ok00, ok01, ok10, ok11, W, word, RUN // size, C, even, PAIRS
            )
            active = inside & (step + 2 < end)
            dy, dx, m = load_tap(
                offset, mask, row + (step + 2) // quads, offset_strides[1], mask_strides[1],
                offset_lane, mask_lane, active, HAS_MASK,
            )  # fmt: skip
            acc = tl.dot(a, b, acc, input_precision=PRECISION)

    channel = group * group_o + o
    if HAS_BIAS:
        acc += tl.load(bias + channel, mask=o < group_o, other=0).to(tl.float32)[None, :]
    out += n * out_strides[0] + t * out_strides[2]
    at = out + (h * out_strides[3] + w * out_strides[4])[:, None] + channel.to(tl.int64)[None, :] * out_strides[1]
    tl.store(at, acc.to(out.dtype.element_ty), mask=inside[:, None] & (o < group_o)[None, :])
