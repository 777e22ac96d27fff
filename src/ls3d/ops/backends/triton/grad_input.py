"""The gradient of the input as two Triton kernels.

Each output position adds to the four corners of each tap's sample. With atomics for all of them, that memory traffic
would exceed all other (4 rows of channels for each position and tap), so `input_kernel` gathers instead: pixel p gets

    sum over taps of ( sum over positions m of s[p, m] * grad_output[m] ) * weight[tap]^T
    with s[p, m] = mask[m] * k(y[m] - p_y) * k(x[m] - p_x)

where k(d) is max(0, 1 - |d|) for bilinear samples, and the cubic kernel for bicubic ones.

For a tile of pixels, the inner sum is a matrix product over a window of positions: the tile, shifted by the tap, and
widened on all sides by the largest offset of the positions there, and by one more for bicubic samples.

`scatter_kernel` runs first. It stores the largest offset of each tile of positions and tap (`radius`), not counting
offsets of more than GATHER_RADIUS pixels. Samples with such offsets are scattered: their gradients are added by atomics
to a buffer (`scattered`). The buffer is float32, or fixed point if the result must be deterministic, because integer
sums don't depend on the order.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ls3d.ops.backends.triton.common import (
    A,
    corner_weights,
    corners,
    grad_samples,
    load_gradient,
    load_matrix,
    load_tap,
    tap_range,
    tile_positions,
)


@triton.jit
def add_scattered(buffer, d, pixel, ok, weight, c, c_ok, scale, C: tl.constexpr, FIXED: tl.constexpr):
    """Add the gradient of one corner to the buffer.

    Args:
        buffer: pointer to the run's first channel in a frame of ``scattered``, (H, W, C).
        d: gradient of the modulated samples, (positions, channels).
        pixel, ok, weight: the corner's pixel, whether it is in the frame, and its weight, (positions,) each.
        c, c_ok: channels in the run, and which of them exist.
        scale: of fixed point; not used for float32.
    """
    value = d * weight[:, None]
    at = buffer + (pixel * C)[:, None] + c[None, :]
    wanted = ok[:, None] & c_ok[None, :]
    if FIXED:
        tl.atomic_add(at, (value * scale).to(tl.int64), mask=wanted, sem="relaxed")
    else:
        tl.atomic_add(at, value, mask=wanted, sem="relaxed")


@triton.jit(do_not_specialize=["first_frame", "last_frame"])
def scatter_kernel(
    offset,  # (N, OFFSET_GROUPS * taps * 2, T_OUT, H_OUT, W_OUT), any strides
    mask,  # (N, OFFSET_GROUPS * taps, T_OUT, H_OUT, W_OUT), any strides
    weight,  # (GROUPS, taps, C / GROUPS, O / GROUPS), contiguous
    grad_out,  # (N, T_OUT, H_OUT, W_OUT, O), contiguous
    scattered,  # (N, last_frame - first_frame, H, W, C), contiguous, float32 or with FIXED int64, added to
    scale,  # (), float32: fixed-point units per 1.0; used with FIXED
    radius,  # (N, T_OUT, OFFSET_GROUPS, taps, tiles in a frame), int32, contiguous, written
    offset_strides, mask_strides, in_size, out_size, first_frame, last_frame,
    C: tl.constexpr, O: tl.constexpr, GROUPS: tl.constexpr, OFFSET_GROUPS: tl.constexpr, RUN: tl.constexpr,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, DILATION: tl.constexpr,
    BICUBIC: tl.constexpr, HAS_MASK: tl.constexpr, FIXED: tl.constexpr, GATHER_RADIUS: tl.constexpr,
    PRECISION: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_O: tl.constexpr,
):  # fmt: skip
    """Write ``radius``, and add the gradient of samples with offsets beyond GATHER_RADIUS to ``scattered``.

    Both are done only for taps that read input frames [first_frame, last_frame). Grid: (tiles of output positions,
    offset groups).
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
    radius += ((n * T_OUT + t) * OFFSET_GROUPS + offset_group) * taps * tiles + tile
    factor = tl.load(scale) if FIXED else 1.0
    begin, end = tap_range(t, first_frame, last_frame, KERNEL, STRIDE, PADDING, DILATION)

    for tap in range(begin, end):
        dy, dx, m = load_tap(
            offset, mask, offset_group * taps + tap, offset_strides[1], mask_strides[1],
            offset_lane, mask_lane, inside, HAS_MASK,
        )  # fmt: skip
        longest = tl.maximum(tl.abs(dy), tl.abs(dx))
        near = (tl.abs(dy) <= GATHER_RADIUS) & (tl.abs(dx) <= GATHER_RADIUS)
        tl.store(radius + tap * tiles, tl.ceil(tl.max(tl.where(near, longest, 0.0), 0)).to(tl.int32))
        for quad in range(4 if BICUBIC else 1):
            pixel, ok00, ok01, ok10, ok11, fy, fx = corners(
                dy, dx, h, w, tap, quad, inside & (near == 0) & (m != 0), H, W,
                KERNEL, STRIDE, PADDING, DILATION, BICUBIC,
            )  # fmt: skip
            if tl.max((ok00 | ok01 | ok10 | ok11).to(tl.int32), 0) > 0:
                w00, w01, w10, w11 = corner_weights(fy, fx, m, quad, BICUBIC)
                buffer_frame = t * STRIDE[0] - PADDING[0] + tap // plane * DILATION[0] - first_frame
                for run in range(offset_c // RUN):
                    first = offset_group * offset_c + run * RUN
                    group = first // group_c
                    matrix = weight + ((group * taps + tap) * group_c + first % group_c) * group_o
                    buffer = scattered + (n * (last_frame - first_frame) + buffer_frame) * H * W * C + first
                    for block in range(0, RUN, BLOCK_C):
                        c = block + tl.arange(0, BLOCK_C)
                        d = grad_samples(
                            rows + group * group_o, h * W_OUT + w, inside, matrix, c, RUN,
                            O, group_o, even, BLOCK_O, PRECISION,
                        )  # fmt: skip
                        add_scattered(buffer, d, pixel, ok00, w00, c, c < RUN, factor, C, FIXED)
                        add_scattered(buffer, d, pixel + 1, ok01, w01, c, c < RUN, factor, C, FIXED)
                        add_scattered(buffer, d, pixel + W, ok10, w10, c, c < RUN, factor, C, FIXED)
                        add_scattered(buffer, d, pixel + W + 1, ok11, w11, c, c < RUN, factor, C, FIXED)


@triton.jit
def window(low, high, limit, STEP: tl.constexpr):
    """The positions p with low <= p * STEP <= high and 0 <= p < limit: the first one, and their number."""
    begin = tl.maximum(low + STEP - 1, 0) // STEP
    end = tl.minimum(tl.maximum(high + STEP, 0) // STEP, limit)
    return begin, tl.maximum(end - begin, 0)


@triton.jit
def window_radius(
    radius, top, left, height, width,
    SPAN_H: tl.constexpr, SPAN_W: tl.constexpr, STRIDE: tl.constexpr, REACH: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, SOURCE_H: tl.constexpr, SOURCE_W: tl.constexpr,
):  # fmt: skip
    """The largest offset, up to GATHER_RADIUS, of all positions at most REACH from a tile of pixels.

    Args:
        radius: pointer to one tap and output frame, (tiles in a frame,).
        top, left: the first pixel of the tile, shifted by the tap.
        height, width: size of the output frame.
    """
    across = tl.cdiv(width, SOURCE_W)
    h, rows = window(top - REACH, top + TILE_H - 1 + REACH, height, STRIDE[1])
    w, columns = window(left - REACH, left + TILE_W - 1 + REACH, width, STRIDE[2])
    i = h // SOURCE_H + tl.arange(0, SPAN_H)[:, None]
    j = w // SOURCE_W + tl.arange(0, SPAN_W)[None, :]
    exists = (i * SOURCE_H < h + rows) & (j * SOURCE_W < w + columns)
    found = tl.load(radius + i * across + j, mask=exists, other=0)
    return tl.max(tl.max(found, 1), 0)


@triton.jit
def weights_along(distance, BICUBIC: tl.constexpr):
    """The weight of a pixel at some distance from a position along an axis."""
    d = tl.abs(distance)
    if BICUBIC:
        inner = ((A + 2) * d - (A + 3)) * d * d + 1
        outer = A * (d - 1) * (d - 2) * (d - 2)
        return tl.where(d <= 1, inner, tl.where(d < 2, outer, 0.0))
    else:
        return tl.clamp(1 - d, 0.0, 1.0)


@triton.jit
def pixel_weights(
    y, x, m, top, left, kind: tl.constexpr, BICUBIC: tl.constexpr, TILE_H: tl.constexpr, TILE_W: tl.constexpr
):  # fmt: skip
    """s[p, m]: the weight of pixel p of the tile at (top, left) in the modulated sample of position m."""
    lane = tl.arange(0, TILE_H * TILE_W)
    py = (top + lane // TILE_W).to(tl.float32)
    px = (left + lane % TILE_W).to(tl.float32)
    along_y = weights_along(y[None, :] - py[:, None], BICUBIC)
    along_x = weights_along(x[None, :] - px[:, None], BICUBIC)
    return (along_y * m[None, :] * along_x).to(kind)


@triton.jit(do_not_specialize=["first_frame", "last_frame"])
def input_kernel(
    offset,  # (N, OFFSET_GROUPS * taps * 2, T_OUT, H_OUT, W_OUT), any strides
    mask,  # (N, OFFSET_GROUPS * taps, T_OUT, H_OUT, W_OUT), any strides
    weight,  # (GROUPS, taps, C / GROUPS, O / GROUPS), contiguous
    grad_out,  # (N, T_OUT, H_OUT, W_OUT, O), contiguous
    scattered,  # (N, last_frame - first_frame, H, W, C), contiguous, float32 or with FIXED int64
    scale,  # (), float32: fixed-point units per 1.0; used with FIXED
    radius,  # (N, T_OUT, OFFSET_GROUPS, taps, tiles in a frame), int32, contiguous
    grad_x,  # (N, C, T, H, W), any strides, written
    offset_strides, mask_strides, grad_strides, in_size, out_size, first_frame, last_frame,
    C: tl.constexpr, O: tl.constexpr, GROUPS: tl.constexpr, OFFSET_GROUPS: tl.constexpr, RUN: tl.constexpr,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, DILATION: tl.constexpr,
    BICUBIC: tl.constexpr, HAS_MASK: tl.constexpr, FIXED: tl.constexpr, GATHER_RADIUS: tl.constexpr,
    PRECISION: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, SOURCE_H: tl.constexpr, SOURCE_W: tl.constexpr,
    SPAN_H: tl.constexpr, SPAN_W: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_M: tl.constexpr,
):  # fmt: skip
    """Write the gradient of input frames [first_frame, last_frame): the gathered part plus ``scattered``.

    Grid: (tiles of pixels, blocks of channels in a run, runs). SOURCE_H, SOURCE_W are the tile of ``scatter_kernel``;
    SPAN_H and SPAN_W powers of two that cover the number of these tiles whose samples may touch a tile of pixels.
    BLOCK_M is the number of output positions in a matrix product.
    """
    group_c: tl.constexpr = C // GROUPS
    group_o: tl.constexpr = O // GROUPS
    plane: tl.constexpr = KERNEL[1] * KERNEL[2]
    taps: tl.constexpr = KERNEL[0] * plane
    further: tl.constexpr = 1 if BICUBIC else 0  # pixels that a sample reads beyond a bilinear one
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
        acc = tl.load(scattered + at, mask=wanted, other=0).to(tl.float32) * (1.0 / tl.load(scale))
    else:
        acc = tl.load(scattered + at, mask=wanted, other=0)
    for a in range(KERNEL[0]):
        start = (first_frame + t + PADDING[0] - a * DILATION[0]).to(tl.int32)
        reader = tl.maximum(start, 0) // STRIDE[0]
        reads = (start >= 0) & (start % STRIDE[0] == 0) & (reader < T_OUT)
        t_out = tl.where(reads, reader, 0).to(tl.int64)
        for tap in range(a * plane, tl.where(reads, (a + 1) * plane, a * plane)):
            row = offset_group * taps + tap
            shift_y = tap // KERNEL[2] % KERNEL[1] * DILATION[1] - PADDING[1]
            shift_x = tap % KERNEL[2] * DILATION[2] - PADDING[2]
            widened = window_radius(
                radius + ((n * T_OUT + t_out) * OFFSET_GROUPS * taps + row) * tiles, top - shift_y, left - shift_x,
                H_OUT, W_OUT, SPAN_H, SPAN_W, STRIDE, GATHER_RADIUS + further, TILE_H, TILE_W, SOURCE_H, SOURCE_W,
            ) + further  # fmt: skip
            h0, height = window(top - shift_y - widened, top - shift_y + TILE_H - 1 + widened, H_OUT, STRIDE[1])
            w0, width = window(left - shift_x - widened, left - shift_x + TILE_W - 1 + widened, W_OUT, STRIDE[2])
            matrix = weight + ((group * taps + tap) * group_c + first % group_c) * group_o
            for block in range(0, group_o, BLOCK_O):
                o = block + tl.arange(0, BLOCK_O)
                u = tl.zeros((TILE_H * TILE_W, BLOCK_O), tl.float32)
                for m0 in range(0, height * width, BLOCK_M):
                    index = m0 + tl.arange(0, BLOCK_M)
                    h = h0 + index // width
                    w = w0 + index % width
                    active = index < height * width
                    dy, dx, m = load_tap(
                        offset + t_out * offset_strides[2], mask + t_out * mask_strides[2], row,
                        offset_strides[1], mask_strides[1], h * offset_strides[3] + w * offset_strides[4],
                        h * mask_strides[3] + w * mask_strides[4], active, HAS_MASK,
                    )  # fmt: skip
                    near = active & (tl.abs(dy) <= GATHER_RADIUS) & (tl.abs(dx) <= GATHER_RADIUS)
                    y = tl.where(near, dy, 0.0) + (h * STRIDE[1] + shift_y).to(tl.float32)
                    x = tl.where(near, dx, 0.0) + (w * STRIDE[2] + shift_x).to(tl.float32)
                    s = pixel_weights(y, x, tl.where(near, m, 0.0), top, left, kind, BICUBIC, TILE_H, TILE_W)
                    g = load_gradient(rows + t_out * H_OUT * W_OUT * O, h * W_OUT + w, active, o, group_o, O)
                    u = tl.dot(s, g, u, input_precision=PRECISION)
                b = load_matrix(matrix, c, o, RUN, group_o, even)
                acc = tl.dot(u.to(kind), tl.trans(b), acc, input_precision=PRECISION)
    grad_x += n * grad_strides[0] + (first_frame + t) * grad_strides[2]
    at = (py * grad_strides[3] + px * grad_strides[4])[:, None] + (first + c).to(tl.int64)[None, :] * grad_strides[1]
    tl.store(grad_x + at, acc.to(grad_x.dtype.element_ty), mask=wanted)
