"""The gradients of offset and mask as one Triton kernel.

With d[m, tap, c] = sum over o of grad_output[m, o] * weight[tap, c, o], the gradient of a modulated sample, and q the
four inner products, over c, of d and the features of a position's corners, the gradients of mask, dy and dx are linear
in q. The features are gathered again; the forward pass stores nothing.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ls3d.ops.backends.triton.common import (
    corner_weights,
    corners,
    grad_samples,
    load_corners,
    load_tap,
    tap_range,
    tile_positions,
    widen,
    words_of_block,
)


@triton.jit
def inner_product(low, high, v, kind: tl.constexpr, PAIRS: tl.constexpr):
    """Sum over channels of d times the features ``v`` of one corner.

    ``low`` is d; with PAIRS it is d at the even channels, ``high`` at the odd ones.
    """
    product = widen(v, kind, PAIRS, False) * low
    if PAIRS:
        product += widen(v, kind, PAIRS, True) * high
    return tl.sum(tl.sum(product, 0), 1)


@triton.jit
def sampling_kernel(
    x,  # (N, T, H, W, C), contiguous
    offset,  # (N, OFFSET_GROUPS * taps * 2, T_OUT, H_OUT, W_OUT), any strides
    mask,  # (N, OFFSET_GROUPS * taps, T_OUT, H_OUT, W_OUT), any strides
    weight,  # (GROUPS, taps, C / GROUPS, O / GROUPS), contiguous
    grad_out,  # (N, T_OUT, H_OUT, W_OUT, O), contiguous
    grad_offset,  # shape of offset, any strides, written
    grad_mask,  # shape of mask, any strides, written
    offset_strides, mask_strides, grad_offset_strides, grad_mask_strides, in_size, out_size,
    C: tl.constexpr, O: tl.constexpr, GROUPS: tl.constexpr, OFFSET_GROUPS: tl.constexpr, RUN: tl.constexpr,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, DILATION: tl.constexpr,
    HAS_MASK: tl.constexpr, NEED_OFFSET: tl.constexpr, NEED_MASK: tl.constexpr,
    PAIRS: tl.constexpr, PRECISION: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_O: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Write the gradients of offset and mask where a tap reads a frame of the clip, and nothing elsewhere.

    Grid: (tiles of output positions, offset groups).
    """
    group_c: tl.constexpr = C // GROUPS
    group_o: tl.constexpr = O // GROUPS
    offset_c: tl.constexpr = C // OFFSET_GROUPS
    plane: tl.constexpr = KERNEL[1] * KERNEL[2]
    taps: tl.constexpr = KERNEL[0] * plane
    even: tl.constexpr = RUN % BLOCK_C == 0
    size: tl.constexpr = 2 if PAIRS else 1
    kind: tl.constexpr = x.dtype.element_ty
    positions: tl.constexpr = TILE_H * TILE_W
    T, H, W = in_size
    T_OUT, H_OUT, W_OUT = out_size
    n, t, _, h, w, inside = tile_positions(tl.program_id(0), T_OUT, H_OUT, W_OUT, TILE_H, TILE_W)
    offset_group = tl.program_id(1)
    rows = grad_out + (n * T_OUT + t) * H_OUT * W_OUT * O
    word = words_of_block(PAIRS, BLOCK_C, PARTS)
    offset += n * offset_strides[0] + t * offset_strides[2]
    offset_lane = h * offset_strides[3] + w * offset_strides[4]
    mask += n * mask_strides[0] + t * mask_strides[2]
    mask_lane = h * mask_strides[3] + w * mask_strides[4]
    grad_offset += n * grad_offset_strides[0] + t * grad_offset_strides[2]
    grad_mask += n * grad_mask_strides[0] + t * grad_mask_strides[2]
    begin, end = tap_range(t, 0, T, KERNEL, STRIDE, PADDING, DILATION)

    for tap in range(begin, end):
        row = offset_group * taps + tap
        dy, dx, m = load_tap(
            offset, mask, row, offset_strides[1], mask_strides[1], offset_lane, mask_lane, inside, HAS_MASK
        )
        pixel, ok00, ok01, ok10, ok11, fy, fx = corners(
            dy, dx, h, w, tap, inside, H, W, KERNEL, STRIDE, PADDING, DILATION
        )
        frame_number = t * STRIDE[0] - PADDING[0] + tap // plane * DILATION[0]
        q00 = tl.zeros((positions,), tl.float32)
        q01 = tl.zeros((positions,), tl.float32)
        q10 = tl.zeros((positions,), tl.float32)
        q11 = tl.zeros((positions,), tl.float32)
        for run in range(offset_c // RUN):
            first = offset_group * offset_c + run * RUN
            group = first // group_c
            matrix = weight + ((group * taps + tap) * group_c + first % group_c) * group_o
            frame = x + (n * T + frame_number) * H * W * C + first
            for block in range(0, RUN, BLOCK_C):
                c = block + tl.arange(0, BLOCK_C)
                # Before the loads of the corners: then Triton converts d to their layout, instead of all four to d's.
                d = grad_samples(
                    rows + group * group_o, h * W_OUT + w, inside, matrix, c, RUN,
                    O, group_o, even, BLOCK_O, PRECISION,
                )  # fmt: skip
                at = block // size + word
                v00, v01, v10, v11 = load_corners(
                    frame, pixel, ok00, ok01, ok10, ok11, W, at, RUN // size, C, even, PAIRS
                )
                if PAIRS:
                    d = d.reshape(positions, PARTS, BLOCK_C // PARTS // 2, 2).permute(1, 0, 2, 3)
                    low, high = tl.split(d)
                else:
                    low = d.reshape(positions, PARTS, BLOCK_C // PARTS).permute(1, 0, 2)
                    high = low
                q00 += inner_product(low, high, v00, kind, PAIRS)
                q01 += inner_product(low, high, v01, kind, PAIRS)
                q10 += inner_product(low, high, v10, kind, PAIRS)
                q11 += inner_product(low, high, v11, kind, PAIRS)
        if NEED_MASK:
            w00, w01, w10, w11 = corner_weights(fy, fx, 1.0)
            grad = w00 * q00 + w01 * q01 + w10 * q10 + w11 * q11
            at = grad_mask + tl.cast(row, tl.int64) * grad_mask_strides[1]
            at += h * grad_mask_strides[3] + w * grad_mask_strides[4]
            tl.store(at, grad.to(grad_mask.dtype.element_ty), mask=inside)
        if NEED_OFFSET:
            grad_y = m * ((q10 - q00) * (1 - fx) + (q11 - q01) * fx)
            grad_x = m * ((q01 - q00) * (1 - fy) + (q11 - q10) * fy)
            at = grad_offset + tl.cast(2 * row, tl.int64) * grad_offset_strides[1]
            at += h * grad_offset_strides[3] + w * grad_offset_strides[4]
            tl.store(at, grad_y.to(grad_offset.dtype.element_ty), mask=inside)
            tl.store(at + grad_offset_strides[1], grad_x.to(grad_offset.dtype.element_ty), mask=inside)
