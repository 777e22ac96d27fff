"""The gradients of offset and mask as one Triton kernel.

With d[m, tap, c] = sum over o of grad_output[m, o] * weight[tap, c, o], the gradient of a modulated sample, and q the
inner products, over c, of d and the features of a position's corners, the gradients of mask, dy and dx are linear in q.
The features are gathered again; the forward pass stores nothing.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ls3d.ops.backends.triton.common import (
    corner_weights,
    corners,
    cubic_pair,
    cubic_slopes,
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
def inner_products(
    frame, pixel, ok00, ok01, ok10, ok11, rows, lane, inside, weight, tap, offset_group, width,
    C: tl.constexpr, O: tl.constexpr, GROUPS: tl.constexpr, OFFSET_GROUPS: tl.constexpr, RUN: tl.constexpr,
    TAPS: tl.constexpr, PAIRS: tl.constexpr, PRECISION: tl.constexpr,
    POSITIONS: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_O: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """q of the four corners of a quad, (POSITIONS,) each.

    Args:
        frame: pointer to a channels-last frame, (H, W, C).
        pixel, ok00, ok01, ok10, ok11: see :func:`corners`.
        rows: pointer to the frame of the output's gradient; ``lane`` are the positions' numbers in it.
        inside: which positions exist.
        weight: as in :func:`sampling_kernel`.
        tap, offset_group: the tap's number, and the group of the offsets.
        width: W.
    """
    group_c: tl.constexpr = C // GROUPS
    group_o: tl.constexpr = O // GROUPS
    offset_c: tl.constexpr = C // OFFSET_GROUPS
    even: tl.constexpr = RUN % BLOCK_C == 0
    size: tl.constexpr = 2 if PAIRS else 1
    kind: tl.constexpr = frame.dtype.element_ty
    word = words_of_block(PAIRS, BLOCK_C, PARTS)
    q00 = tl.zeros((POSITIONS,), tl.float32)
    q01 = tl.zeros((POSITIONS,), tl.float32)
    q10 = tl.zeros((POSITIONS,), tl.float32)
    q11 = tl.zeros((POSITIONS,), tl.float32)
    for run in range(offset_c // RUN):
        first = offset_group * offset_c + run * RUN
        group = first // group_c
        matrix = weight + ((group * TAPS + tap) * group_c + first % group_c) * group_o
        for block in range(0, RUN, BLOCK_C):
            c = block + tl.arange(0, BLOCK_C)
            # Before the loads of the corners: then Triton converts d to their layout, instead of all four to d's.
            d = grad_samples(rows + group * group_o, lane, inside, matrix, c, RUN, O, group_o, even, BLOCK_O, PRECISION)
            v00, v01, v10, v11 = load_corners(
                frame + first, pixel, ok00, ok01, ok10, ok11, width, block // size + word, RUN // size, C, even, PAIRS
            )
            if PAIRS:
                d = d.reshape(POSITIONS, PARTS, BLOCK_C // PARTS // 2, 2).permute(1, 0, 2, 3)
                low, high = tl.split(d)
            else:
                low = d.reshape(POSITIONS, PARTS, BLOCK_C // PARTS).permute(1, 0, 2)
                high = low
            q00 += inner_product(low, high, v00, kind, PAIRS)
            q01 += inner_product(low, high, v01, kind, PAIRS)
            q10 += inner_product(low, high, v10, kind, PAIRS)
            q11 += inner_product(low, high, v11, kind, PAIRS)
    return q00, q01, q10, q11


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
    BICUBIC: tl.constexpr, HAS_MASK: tl.constexpr, NEED_OFFSET: tl.constexpr, NEED_MASK: tl.constexpr,
    PAIRS: tl.constexpr, PRECISION: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_O: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Write the gradients of offset and mask where a tap reads a frame of the clip, and nothing elsewhere.

    Grid: (tiles of output positions, offset groups).
    """
    plane: tl.constexpr = KERNEL[1] * KERNEL[2]
    taps: tl.constexpr = KERNEL[0] * plane
    positions: tl.constexpr = TILE_H * TILE_W
    T, H, W = in_size
    T_OUT, H_OUT, W_OUT = out_size
    n, t, _, h, w, inside = tile_positions(tl.program_id(0), T_OUT, H_OUT, W_OUT, TILE_H, TILE_W)
    offset_group = tl.program_id(1)
    rows = grad_out + (n * T_OUT + t) * H_OUT * W_OUT * O
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
        frame_number = t * STRIDE[0] - PADDING[0] + tap // plane * DILATION[0]
        frame = x + (n * T + frame_number) * H * W * C
        if BICUBIC:
            value = tl.zeros((positions,), tl.float32)
            slope_y = tl.zeros((positions,), tl.float32)
            slope_x = tl.zeros((positions,), tl.float32)
            for quad in range(4):
                pixel, ok00, ok01, ok10, ok11, fy, fx = corners(
                    dy, dx, h, w, tap, quad, inside, H, W, KERNEL, STRIDE, PADDING, DILATION, BICUBIC
                )
                q00, q01, q10, q11 = inner_products(
                    frame, pixel, ok00, ok01, ok10, ok11, rows, h * W_OUT + w, inside, weight, tap, offset_group, W,
                    C, O, GROUPS, OFFSET_GROUPS, RUN, taps, PAIRS, PRECISION, positions, BLOCK_C, BLOCK_O, PARTS,
                )  # fmt: skip
                top, bottom = cubic_pair(fy, quad // 2)
                left, right = cubic_pair(fx, quad % 2)
                top_slope, bottom_slope = cubic_slopes(fy, quad // 2)
                left_slope, right_slope = cubic_slopes(fx, quad % 2)
                upper = left * q00 + right * q01
                lower = left * q10 + right * q11
                value += top * upper + bottom * lower
                slope_y += top_slope * upper + bottom_slope * lower
                slope_x += left_slope * (top * q00 + bottom * q10) + right_slope * (top * q01 + bottom * q11)
        else:
            pixel, ok00, ok01, ok10, ok11, fy, fx = corners(
                dy, dx, h, w, tap, 0, inside, H, W, KERNEL, STRIDE, PADDING, DILATION, BICUBIC
            )
            q00, q01, q10, q11 = inner_products(
                frame, pixel, ok00, ok01, ok10, ok11, rows, h * W_OUT + w, inside, weight, tap, offset_group, W,
                C, O, GROUPS, OFFSET_GROUPS, RUN, taps, PAIRS, PRECISION, positions, BLOCK_C, BLOCK_O, PARTS,
            )  # fmt: skip
            w00, w01, w10, w11 = corner_weights(fy, fx, 1.0, 0, BICUBIC)
            value = w00 * q00 + w01 * q01 + w10 * q10 + w11 * q11
            slope_y = (q10 - q00) * (1 - fx) + (q11 - q01) * fx
            slope_x = (q01 - q00) * (1 - fy) + (q11 - q10) * fy
        if NEED_MASK:
            at = grad_mask + tl.cast(row, tl.int64) * grad_mask_strides[1]
            at += h * grad_mask_strides[3] + w * grad_mask_strides[4]
            tl.store(at, value.to(grad_mask.dtype.element_ty), mask=inside)
        if NEED_OFFSET:
            at = grad_offset + tl.cast(2 * row, tl.int64) * grad_offset_strides[1]
            at += h * grad_offset_strides[3] + w * grad_offset_strides[4]
            tl.store(at, (m * slope_y).to(grad_offset.dtype.element_ty), mask=inside)
            tl.store(at + grad_offset_strides[1], (m * slope_x).to(grad_offset.dtype.element_ty), mask=inside)
