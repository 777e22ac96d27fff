"""What the Triton kernels share: tiles of positions, and the bilinear sampling of section 3.2 of the LS3D paper.

A program owns a rectangle of positions inside one frame, so that the frames it reads and the bases of all addresses
are scalars (64 bit), and what belongs to a single position fits 32 bits. Coordinates and weights are float32.

Sizes (T, H, W), strides and the constants of the convolution travel as tuples.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tile_positions(program, frames, height, width, TILE_H: tl.constexpr, TILE_W: tl.constexpr):
    """The tile of ``program``: sample, frame, number within the frame, rows, columns, and which lie in the frame."""
    across = tl.cdiv(width, TILE_W)
    per_frame = tl.cdiv(height, TILE_H) * across
    tile = program % per_frame
    n = program // per_frame // frames
    t = program // per_frame % frames
    lane = tl.arange(0, TILE_H * TILE_W)
    h = tile // across * TILE_H + lane // TILE_W
    w = tile % across * TILE_W + lane % TILE_W
    return n.to(tl.int64), t.to(tl.int64), tile, h, w, (h < height) & (w < width)


@triton.jit
def tap_range(
    t, first, last, KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, DILATION: tl.constexpr
):
    """The taps ``[begin, end)`` of output frame ``t`` that read frames ``[first, last)``."""
    start = (t * STRIDE[0] - PADDING[0]).to(tl.int32)
    begin = tl.maximum(first - start + DILATION[0] - 1, 0) // DILATION[0]
    end = tl.minimum(tl.maximum(last - 1 - start + DILATION[0], 0) // DILATION[0], KERNEL[0])
    return begin * (KERNEL[1] * KERNEL[2]), end * (KERNEL[1] * KERNEL[2])


@triton.jit
def load_tap(
    offset, mask, row, offset_stride, mask_stride, offset_lane, mask_lane, inside, HAS_MASK: tl.constexpr
):  # fmt: skip
    """(dy, dx) and modulation of one tap in float32; ``row`` is the tap's number, counted over the offset groups."""
    at = offset + tl.cast(2 * row, tl.int64) * offset_stride + offset_lane
    dy = tl.load(at, mask=inside, other=0).to(tl.float32)
    dx = tl.load(at + offset_stride, mask=inside, other=0).to(tl.float32)
    if HAS_MASK:
        at = mask + tl.cast(row, tl.int64) * mask_stride + mask_lane
        strength = tl.load(at, mask=inside, other=0).to(tl.float32)
    else:
        strength = tl.where(inside, 1.0, 0.0)
    return dy, dx, strength


@triton.jit
def corners(
    dy, dx, h, w, tap, inside, height, width,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, DILATION: tl.constexpr,
):  # fmt: skip
    """Where a tap samples: upper left pixel, which of the four corners lie in the frame, and the fractions.

    A position counts when -1 < y < height and -1 < x < width: true comparisons, so NaN and infinity read nothing.
    """
    y = dy + (h * STRIDE[1] - PADDING[1] + tap // KERNEL[2] % KERNEL[1] * DILATION[1]).to(tl.float32)
    x = dx + (w * STRIDE[2] - PADDING[2] + tap % KERNEL[2] * DILATION[2]).to(tl.float32)
    counts = inside & (y > -1) & (y < height) & (x > -1) & (x < width)
    y = tl.where(counts, y, 0.0)
    x = tl.where(counts, x, 0.0)
    top = tl.floor(y)
    left = tl.floor(x)
    row = top.to(tl.int32)
    column = left.to(tl.int32)
    upper = counts & (row >= 0)
    lower = counts & (row < height - 1)
    starts = column >= 0
    ends = column < width - 1
    pixel = row * width + column
    return pixel, upper & starts, upper & ends, lower & starts, lower & ends, y - top, x - left


@triton.jit
def corner_weights(fy, fx, strength):
    """The four bilinear weights, times ``strength``."""
    lower = fy * strength
    upper = strength - lower
    return upper - upper * fx, upper * fx, lower - lower * fx, lower * fx


@triton.jit
def words_of_block(PAIRS: tl.constexpr, BLOCK_C: tl.constexpr, PARTS: tl.constexpr):
    """Where the rows of a block are loaded: (PARTS, 1, BLOCK_C / PARTS) channels, or words of two of them with PAIRS.

    The layout of a gathered tile decides how often a position's coordinates are computed: with PARTS, a warp covers
    PARTS times the positions and a part of their rows at a time. Two 16-bit channels travel as one word with PAIRS.
    """
    words: tl.constexpr = BLOCK_C // PARTS // (2 if PAIRS else 1)
    return tl.arange(0, PARTS)[:, None, None] * words + tl.arange(0, words)[None, None, :]


@triton.jit
def load_corners(
    frame, pixel, ok00, ok01, ok10, ok11, width, word, words,
    C: tl.constexpr, EVEN: tl.constexpr, PAIRS: tl.constexpr,
):  # fmt: skip
    """The rows of the four corners in a channels-last frame, (parts, positions, words); zero outside the frame."""
    if PAIRS:
        frame = frame.to(tl.pointer_type(tl.int32), bitcast=True)
    step: tl.constexpr = C // 2 if PAIRS else C
    at = frame + ((pixel * step)[None, :, None] + word)
    below = at + width * step
    some = True if EVEN else word < words
    v00 = tl.load(at, mask=ok00[None, :, None] & some, other=0)
    v01 = tl.load(at + step, mask=ok01[None, :, None] & some, other=0)
    v10 = tl.load(below, mask=ok10[None, :, None] & some, other=0)
    v11 = tl.load(below + step, mask=ok11[None, :, None] & some, other=0)
    return v00, v01, v10, v11


@triton.jit
def widen(v, kind: tl.constexpr, PAIRS: tl.constexpr, HIGH: tl.constexpr):
    """To float32: plain values, or the low or high half of words of two. bfloat16 is a float32's upper half."""
    if PAIRS:
        if kind == tl.bfloat16:
            wide = (v & -65536 if HIGH else v << 16).to(tl.float32, bitcast=True)
        else:
            wide = (v >> 16 if HIGH else v).to(tl.int16).to(kind, bitcast=True).to(tl.float32)
    else:
        wide = v.to(tl.float32)
    return wide


@triton.jit
def blend_half(v00, v01, v10, v11, w00, w01, w10, w11, kind: tl.constexpr, PAIRS: tl.constexpr, HIGH: tl.constexpr):
    """Samples of plain channels, or of the even or odd ones with PAIRS, in float32."""
    v = widen(v00, kind, PAIRS, HIGH) * w00[None, :, None]
    v += widen(v01, kind, PAIRS, HIGH) * w01[None, :, None]
    v += widen(v10, kind, PAIRS, HIGH) * w10[None, :, None]
    return v + widen(v11, kind, PAIRS, HIGH) * w11[None, :, None]


@triton.jit
def blend(
    v00, v01, v10, v11, w00, w01, w10, w11, kind: tl.constexpr,
    PAIRS: tl.constexpr, POSITIONS: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Samples from their corners, (positions, channels) in the features' dtype ``kind``; the sums are float32."""
    v = blend_half(v00, v01, v10, v11, w00, w01, w10, w11, kind, PAIRS, False).to(kind)
    if PAIRS:
        high = blend_half(v00, v01, v10, v11, w00, w01, w10, w11, kind, PAIRS, True).to(kind)
        v = tl.join(v, high).permute(1, 0, 2, 3)
    else:
        v = v.permute(1, 0, 2)
    return v.reshape(POSITIONS, BLOCK_C)


@triton.jit
def load_matrix(matrix, c, o, rows, columns, EVEN: tl.constexpr):
    """A block of one tap's weight, (input channels, output channels)."""
    ok = (o < columns)[None, :] if EVEN else (o < columns)[None, :] & (c < rows)[:, None]
    return tl.load(matrix + c[:, None] * columns + o[None, :], mask=ok, other=0)


@triton.jit
def load_gradient(rows, lane, inside, o, channels, O: tl.constexpr):
    """Rows of the channels-last gradient of the output, (positions, output channels)."""
    return tl.load(rows + (lane * O)[:, None] + o[None, :], mask=inside[:, None] & (o < channels)[None, :], other=0)
