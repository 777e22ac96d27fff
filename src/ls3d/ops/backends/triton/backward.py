"""Gradients of offset, mask and input as Triton kernels.

With d[m, tap, c] = sum over o of grad_output[m, o] * weight[tap, c, o], the gradient of a modulated sample, and q the
four inner products over c of d and a position's corners, the gradients of the mask and of (dy, dx) are linear in q
(`sampling_kernel`): the sampling is recomputed, nothing is stored.

The gradient of the input flows the other way, from every position to its four corners. Atomics for all of them
cost more memory traffic than all the rest (27 x 4 rows a position), so `input_kernel` gathers: pixel p gets

    sum over taps of ( sum over positions m of s[p, m] * grad_output[m] ) * weight[tap]^T
    with s[p, m] = mask[m] * max(0, 1 - |y[m] - p_y|) * max(0, 1 - |x[m] - p_x|)

and for a tile of pixels the inner sum is a matrix product over a window of positions: the tile, moved by the tap,
widened by the largest offset there. `far_kernel` notes that offset for every tile and tap (`reach`), up to REACH
pixels; the few samples that go farther it adds by atomics to a float32 buffer, or to an integer one in fixed point,
whose sum doesn't depend on the order, where determinism is asked for.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ls3d.ops.backends.triton.common import (
    corner_weights,
    corners,
    load_corners,
    load_gradient,
    load_matrix,
    load_tap,
    tap_range,
    tile_positions,
    widen,
    words_of_block,
)


@triton.jit
def inner_product(low, high, v, kind: tl.constexpr, PAIRS: tl.constexpr):
    """Sum over channels of d times one corner; ``low`` and ``high`` are d at the even and odd channels of words."""
    product = widen(v, kind, PAIRS, False) * low
    if PAIRS:
        product += widen(v, kind, PAIRS, True) * high
    return tl.sum(tl.sum(product, 0), 1)


@triton.jit
def grad_samples(
    rows, lane, inside, matrix, c, channels,
    O: tl.constexpr, GROUP_O: tl.constexpr, EVEN: tl.constexpr, BLOCK_O: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """d for a block of channels, (positions, channels) in float32."""
    d = tl.zeros((lane.shape[0], c.shape[0]), tl.float32)
    for block in range(0, GROUP_O, BLOCK_O):
        o = block + tl.arange(0, BLOCK_O)
        g = load_gradient(rows, lane, inside, o, GROUP_O, O)
        b = load_matrix(matrix, c, o, channels, GROUP_O, EVEN)
        d = tl.dot(g, tl.trans(b), d, input_precision=PRECISION)
    return d


@triton.jit
def sampling_kernel(
    x, offset, mask, weight, grad_out, grad_offset, grad_mask,
    offset_strides, mask_strides, grad_offset_strides, grad_mask_strides, in_size, out_size,
    C: tl.constexpr, O: tl.constexpr, GROUPS: tl.constexpr, OFFSET_GROUPS: tl.constexpr, RUN: tl.constexpr,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, DILATION: tl.constexpr,
    HAS_MASK: tl.constexpr, NEED_OFFSET: tl.constexpr, NEED_MASK: tl.constexpr,
    PAIRS: tl.constexpr, PRECISION: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_O: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Gradients of offset and mask, where a tap reads a frame of the clip; elsewhere they stay as they are.

    Grid: (tiles of output positions, offset groups). ``grad_out`` is (N, T_OUT, H_OUT, W_OUT, O).
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
        ti = t * STRIDE[0] - PADDING[0] + tap // plane * DILATION[0]
        q00 = tl.zeros((positions,), tl.float32)
        q01 = tl.zeros((positions,), tl.float32)
        q10 = tl.zeros((positions,), tl.float32)
        q11 = tl.zeros((positions,), tl.float32)
        for run in range(offset_c // RUN):
            first = offset_group * offset_c + run * RUN
            group = first // group_c
            matrix = weight + ((group * taps + tap) * group_c + first % group_c) * group_o
            frame = x + (n * T + ti) * H * W * C + first
            for block in range(0, RUN, BLOCK_C):
                c = block + tl.arange(0, BLOCK_C)
                # Before the corners' loads: Triton then brings d into their layout, rather than all four into d's.
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


@triton.jit
def add_far(buffer, d, pixel, ok, weight, c, c_ok, unit, C: tl.constexpr, FIXED: tl.constexpr):
    """Add one corner's share to the buffer, in float32 or as a whole number of units of 1 / ``unit``."""
    share = d * weight[:, None]
    at = buffer + (pixel * C)[:, None] + c[None, :]
    wanted = ok[:, None] & c_ok[None, :]
    if FIXED:
        tl.atomic_add(at, (share * unit).to(tl.int64), mask=wanted, sem="relaxed")
    else:
        tl.atomic_add(at, share, mask=wanted, sem="relaxed")


@triton.jit(do_not_specialize=["first_frame", "last_frame"])
def far_kernel(
    offset, mask, weight, grad_out, far, scale, reach,
    offset_strides, mask_strides, in_size, out_size, first_frame, last_frame,
    C: tl.constexpr, O: tl.constexpr, GROUPS: tl.constexpr, OFFSET_GROUPS: tl.constexpr, RUN: tl.constexpr,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, DILATION: tl.constexpr,
    HAS_MASK: tl.constexpr, FIXED: tl.constexpr, REACH: tl.constexpr, PRECISION: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_O: tl.constexpr,
):  # fmt: skip
    """Every tile's ``reach``, and the gradient of the input from samples beyond REACH.

    Grid: (tiles of output positions, offset groups). Takes the taps that read frames [first_frame, last_frame), which
    are those in ``far``; it is added to.
    """
    group_c: tl.constexpr = C // GROUPS
    group_o: tl.constexpr = O // GROUPS
    offset_c: tl.constexpr = C // OFFSET_GROUPS
    plane: tl.constexpr = KERNEL[1] * KERNEL[2]
    taps: tl.constexpr = KERNEL[0] * plane
    even: tl.constexpr = RUN % BLOCK_C == 0
    _, H, W = in_size
    T_OUT, H_OUT, W_OUT = out_size
    n, t, tile, h, w, inside = tile_positions(tl.program_id(0), T_OUT, H_OUT, W_OUT, TILE_H, TILE_W)
    tiles = tl.cdiv(H_OUT, TILE_H) * tl.cdiv(W_OUT, TILE_W)
    offset_group = tl.program_id(1)
    rows = grad_out + (n * T_OUT + t) * H_OUT * W_OUT * O
    offset += n * offset_strides[0] + t * offset_strides[2]
    offset_lane = h * offset_strides[3] + w * offset_strides[4]
    mask += n * mask_strides[0] + t * mask_strides[2]
    mask_lane = h * mask_strides[3] + w * mask_strides[4]
    reach += ((n * T_OUT + t) * OFFSET_GROUPS + offset_group) * taps * tiles + tile
    unit = tl.load(scale) if FIXED else 1.0
    begin, end = tap_range(t, first_frame, last_frame, KERNEL, STRIDE, PADDING, DILATION)

    for tap in range(begin, end):
        dy, dx, m = load_tap(
            offset, mask, offset_group * taps + tap, offset_strides[1], mask_strides[1],
            offset_lane, mask_lane, inside, HAS_MASK,
        )  # fmt: skip
        longest = tl.maximum(tl.abs(dy), tl.abs(dx))
        near = (tl.abs(dy) <= REACH) & (tl.abs(dx) <= REACH)
        tl.store(reach + tap * tiles, tl.ceil(tl.max(tl.where(near, longest, 0.0), 0)).to(tl.int32))
        pixel, ok00, ok01, ok10, ok11, fy, fx = corners(
            dy, dx, h, w, tap, inside & (near == 0) & (m != 0), H, W, KERNEL, STRIDE, PADDING, DILATION
        )
        if tl.max((ok00 | ok01 | ok10 | ok11).to(tl.int32), 0) > 0:
            w00, w01, w10, w11 = corner_weights(fy, fx, m)
            moment = t * STRIDE[0] - PADDING[0] + tap // plane * DILATION[0] - first_frame
            for run in range(offset_c // RUN):
                first = offset_group * offset_c + run * RUN
                group = first // group_c
                matrix = weight + ((group * taps + tap) * group_c + first % group_c) * group_o
                buffer = far + (n * (last_frame - first_frame) + moment) * H * W * C + first
                for block in range(0, RUN, BLOCK_C):
                    c = block + tl.arange(0, BLOCK_C)
                    d = grad_samples(
                        rows + group * group_o, h * W_OUT + w, inside, matrix, c, RUN,
                        O, group_o, even, BLOCK_O, PRECISION,
                    )  # fmt: skip
                    add_far(buffer, d, pixel, ok00, w00, c, c < RUN, unit, C, FIXED)
                    add_far(buffer, d, pixel + 1, ok01, w01, c, c < RUN, unit, C, FIXED)
                    add_far(buffer, d, pixel + W, ok10, w10, c, c < RUN, unit, C, FIXED)
                    add_far(buffer, d, pixel + W + 1, ok11, w11, c, c < RUN, unit, C, FIXED)


@triton.jit
def window(low, high, limit, STEP: tl.constexpr):
    """The positions p with low <= p * STEP <= high and 0 <= p < limit: the first, and how many."""
    begin = tl.maximum(low + STEP - 1, 0) // STEP
    end = tl.minimum(tl.maximum(high + STEP, 0) // STEP, limit)
    return begin, tl.maximum(end - begin, 0)


@triton.jit
def longest_offset(
    reach, top, left, height, width,
    SPAN_H: tl.constexpr, SPAN_W: tl.constexpr, STRIDE: tl.constexpr, REACH: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, SOURCE_H: tl.constexpr, SOURCE_W: tl.constexpr,
):  # fmt: skip
    """The largest of the ``reach`` of all tiles with positions that may sample a tile of pixels at (top, left)."""
    across = tl.cdiv(width, SOURCE_W)
    h, rows = window(top - REACH, top + TILE_H - 1 + REACH, height, STRIDE[1])
    w, columns = window(left - REACH, left + TILE_W - 1 + REACH, width, STRIDE[2])
    i = h // SOURCE_H + tl.arange(0, SPAN_H)[:, None]
    j = w // SOURCE_W + tl.arange(0, SPAN_W)[None, :]
    some = (i * SOURCE_H < h + rows) & (j * SOURCE_W < w + columns)
    found = tl.load(reach + i * across + j, mask=some, other=0)
    return tl.max(tl.max(found, 1), 0)


@triton.jit
def share_matrix(
    y, x, strength, top, left, kind: tl.constexpr, TILE_H: tl.constexpr, TILE_W: tl.constexpr
):  # fmt: skip
    """s[p, m]: what position m gives to pixel p of the tile, (TILE_H * TILE_W, positions)."""
    lane = tl.arange(0, TILE_H * TILE_W)
    py = (top + lane // TILE_W).to(tl.float32)
    px = (left + lane % TILE_W).to(tl.float32)
    along_y = tl.clamp(1 - tl.abs(y[None, :] - py[:, None]), 0.0, 1.0)
    along_x = tl.clamp(1 - tl.abs(x[None, :] - px[:, None]), 0.0, 1.0)
    return (along_y * strength[None, :] * along_x).to(kind)


@triton.jit(do_not_specialize=["first_frame", "last_frame"])
def input_kernel(
    offset, mask, weight, grad_out, far, scale, reach, grad_x, offset_strides, mask_strides, grad_strides,
    in_size, out_size, first_frame, last_frame,
    C: tl.constexpr, O: tl.constexpr, GROUPS: tl.constexpr, OFFSET_GROUPS: tl.constexpr, RUN: tl.constexpr,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, DILATION: tl.constexpr,
    HAS_MASK: tl.constexpr, FIXED: tl.constexpr, REACH: tl.constexpr, PRECISION: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, SOURCE_H: tl.constexpr, SOURCE_W: tl.constexpr,
    SPAN_H: tl.constexpr, SPAN_W: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_M: tl.constexpr,
):  # fmt: skip
    """Gradient of the input in frames [first_frame, last_frame): the gather, plus what ``far`` holds.

    Grid: (tiles of pixels, blocks of channels in their run, runs). SOURCE_H and SOURCE_W are the tile of
    ``sampling_kernel``, SPAN_H and SPAN_W how many of these can lie within REACH.
    """
    group_c: tl.constexpr = C // GROUPS
    group_o: tl.constexpr = O // GROUPS
    plane: tl.constexpr = KERNEL[1] * KERNEL[2]
    taps: tl.constexpr = KERNEL[0] * plane
    even: tl.constexpr = RUN % BLOCK_C == 0
    kind: tl.constexpr = grad_out.dtype.element_ty
    _, H, W = in_size
    T_OUT, H_OUT, W_OUT = out_size
    tiles = tl.cdiv(H_OUT, SOURCE_H) * tl.cdiv(W_OUT, SOURCE_W)
    n, t, tile, py, px, inside = tile_positions(tl.program_id(0), last_frame - first_frame, H, W, TILE_H, TILE_W)
    top = tile // tl.cdiv(W, TILE_W) * TILE_H
    left = tile % tl.cdiv(W, TILE_W) * TILE_W
    first = tl.program_id(2) * RUN
    group = first // group_c
    offset_group = first // (C // OFFSET_GROUPS)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    offset += n * offset_strides[0]
    mask += n * mask_strides[0]
    rows = grad_out + n * T_OUT * H_OUT * W_OUT * O + group * group_o
    at = ((n * (last_frame - first_frame) + t) * H * W * C + first) + ((py * W + px) * C)[:, None] + c[None, :]
    wanted = inside[:, None] & (c < RUN)[None, :]
    if FIXED:
        acc = tl.load(far + at, mask=wanted, other=0).to(tl.float32) * (1.0 / tl.load(scale))
    else:
        acc = tl.load(far + at, mask=wanted, other=0)
    for a in range(KERNEL[0]):
        start = (first_frame + t + PADDING[0] - a * DILATION[0]).to(tl.int32)
        frame = tl.maximum(start, 0) // STRIDE[0]
        reads = (start >= 0) & (start % STRIDE[0] == 0) & (frame < T_OUT)
        moment = tl.where(reads, frame, 0).to(tl.int64)
        for tap in range(a * plane, tl.where(reads, (a + 1) * plane, a * plane)):
            row = offset_group * taps + tap
            shift_y = tap // KERNEL[2] % KERNEL[1] * DILATION[1] - PADDING[1]
            shift_x = tap % KERNEL[2] * DILATION[2] - PADDING[2]
            far_off = longest_offset(
                reach + ((n * T_OUT + moment) * OFFSET_GROUPS * taps + row) * tiles, top - shift_y, left - shift_x,
                H_OUT, W_OUT, SPAN_H, SPAN_W, STRIDE, REACH, TILE_H, TILE_W, SOURCE_H, SOURCE_W,
            )  # fmt: skip
            h0, height = window(top - shift_y - far_off, top - shift_y + TILE_H - 1 + far_off, H_OUT, STRIDE[1])
            w0, width = window(left - shift_x - far_off, left - shift_x + TILE_W - 1 + far_off, W_OUT, STRIDE[2])
            matrix = weight + ((group * taps + tap) * group_c + first % group_c) * group_o
            for block in range(0, group_o, BLOCK_O):
                o = block + tl.arange(0, BLOCK_O)
                u = tl.zeros((TILE_H * TILE_W, BLOCK_O), tl.float32)
                for m0 in range(0, height * width, BLOCK_M):
                    index = m0 + tl.arange(0, BLOCK_M)
                    h = h0 + index // width
                    w = w0 + index % width
                    some = index < height * width
                    dy, dx, m = load_tap(
                        offset + moment * offset_strides[2], mask + moment * mask_strides[2], row,
                        offset_strides[1], mask_strides[1], h * offset_strides[3] + w * offset_strides[4],
                        h * mask_strides[3] + w * mask_strides[4], some, HAS_MASK,
                    )  # fmt: skip
                    near = some & (tl.abs(dy) <= REACH) & (tl.abs(dx) <= REACH)
                    y = tl.where(near, dy, 0.0) + (h * STRIDE[1] + shift_y).to(tl.float32)
                    x = tl.where(near, dx, 0.0) + (w * STRIDE[2] + shift_x).to(tl.float32)
                    s = share_matrix(y, x, tl.where(near, m, 0.0), top, left, kind, TILE_H, TILE_W)
                    g = load_gradient(rows + moment * H_OUT * W_OUT * O, h * W_OUT + w, some, o, group_o, O)
                    u = tl.dot(s, g, u, input_precision=PRECISION)
                b = load_matrix(matrix, c, o, RUN, group_o, even)
                acc = tl.dot(u.to(kind), tl.trans(b), acc, input_precision=PRECISION)
    grad_x += n * grad_strides[0] + (first_frame + t) * grad_strides[2]
    at = (py * grad_strides[3] + px * grad_strides[4])[:, None] + (first + c).to(tl.int64)[None, :] * grad_strides[1]
    tl.store(grad_x + at, acc.to(grad_x.dtype.element_ty), mask=wanted)
