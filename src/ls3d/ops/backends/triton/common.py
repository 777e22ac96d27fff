"""Functions that the Triton kernels share: tiles of positions, and sampling (section 3.2 of the LS3D paper).

A program computes a rectangle of positions within one frame. So the start of each frame is a scalar of 64 bits, and
indices within a frame fit 32 bits. Coordinates and weights of corners are float32.

A bilinear sample has 2x2 corners. A bicubic one has 4x4, which are visited as four quads of 2x2, numbered row by row.

The kernels' tuples and constants:

======================================= ===========================================================================
in_size, out_size                       (T, H, W) of the input and (T_OUT, H_OUT, W_OUT) of the output
offset_strides, ...                     strides of a tensor in elements, in the order of its shape
C, O                                    channels of the input and of the output
GROUPS, OFFSET_GROUPS                   groups of the weight, and of the offsets
RUN                                     consecutive input channels that share a group and an offset group
BICUBIC                                 whether samples are bicubic
KERNEL, STRIDE, PADDING, DILATION       (T, H, W) each, as in ``torch.nn.Conv3d``
HAS_MASK, HAS_BIAS, NEED_OFFSET, ...    whether the tensor exists; if not, its pointer is never used
PAIRS                                   load two 16-bit channels as one 32-bit word
PARTS                                   parts in which the rows of a block are loaded, see :func:`words_of_block`
PRECISION                               how float32 is multiplied: "tf32" or "tf32x3"
TILE_H, TILE_W                          the rectangle of positions of a program
BLOCK_C, BLOCK_O                        input and output channels of a matrix product
======================================= ===========================================================================
"""

from __future__ import annotations

import triton
import triton.language as tl

from ls3d.ops._geometry import CUBIC

A: tl.constexpr = tl.constexpr(CUBIC)


@triton.jit
def tile_positions(program, frames, height, width, TILE_H: tl.constexpr, TILE_W: tl.constexpr):
    """The tile of a program: sample, frame, number in the frame; rows and columns of its positions, and which exist.

    ``frames``, ``height`` and ``width`` are the size of the tensor that is divided into tiles.
    """
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
    """The taps ``[begin, end)`` with which output frame ``t`` reads input frames ``[first, last)``."""
    start = (t * STRIDE[0] - PADDING[0]).to(tl.int32)
    begin = tl.maximum(first - start + DILATION[0] - 1, 0) // DILATION[0]
    end = tl.minimum(tl.maximum(last - 1 - start + DILATION[0], 0) // DILATION[0], KERNEL[0])
    return begin * (KERNEL[1] * KERNEL[2]), end * (KERNEL[1] * KERNEL[2])


@triton.jit
def load_tap(
    offset, mask, row, offset_stride, mask_stride, offset_lane, mask_lane, inside, HAS_MASK: tl.constexpr
):  # fmt: skip
    """dy, dx and mask of one tap in float32; 0 outside the frame, and ones without a mask.

    ``offset`` and ``mask`` point to an output frame. ``row`` is the tap's number, counted over all offset groups;
    ``offset_stride`` and ``mask_stride`` are the strides of the channels, the lanes the distances of the positions.
    """
    at = offset + tl.cast(2 * row, tl.int64) * offset_stride + offset_lane
    dy = tl.load(at, mask=inside, other=0).to(tl.float32)
    dx = tl.load(at + offset_stride, mask=inside, other=0).to(tl.float32)
    if HAS_MASK:
        at = mask + tl.cast(row, tl.int64) * mask_stride + mask_lane
        m = tl.load(at, mask=inside, other=0).to(tl.float32)
    else:
        m = tl.where(inside, 1.0, 0.0)
    return dy, dx, m


@triton.jit
def corners(
    dy, dx, h, w, tap, quad, inside, height, width,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, DILATION: tl.constexpr, BICUBIC: tl.constexpr,
):  # fmt: skip
    """Where a tap samples: the pixel of a quad's top left corner, which corners are in the frame, and fractions.

    The sample is zero unless -1 < y < height and -1 < x < width, or one pixel more on each side with BICUBIC. These
    comparisons are false for NaN.
    """
    y = dy + (h * STRIDE[1] - PADDING[1] + tap // KERNEL[2] % KERNEL[1] * DILATION[1]).to(tl.float32)
    x = dx + (w * STRIDE[2] - PADDING[2] + tap % KERNEL[2] * DILATION[2]).to(tl.float32)
    if BICUBIC:
        sampled = inside & (y > -2) & (y < height + 1) & (x > -2) & (x < width + 1)
    else:
        sampled = inside & (y > -1) & (y < height) & (x > -1) & (x < width)
    y = tl.where(sampled, y, 0.0)
    x = tl.where(sampled, x, 0.0)
    top = tl.floor(y)
    left = tl.floor(x)
    row = top.to(tl.int32)
    column = left.to(tl.int32)
    if BICUBIC:
        row += quad // 2 * 2 - 1
        column += quad % 2 * 2 - 1
        upper = sampled & (row >= 0) & (row < height)
        lower = sampled & (row >= -1) & (row < height - 1)
        left_inside = (column >= 0) & (column < width)
        right_inside = (column >= -1) & (column < width - 1)
    else:
        upper = sampled & (row >= 0)
        lower = sampled & (row < height - 1)
        left_inside = column >= 0
        right_inside = column < width - 1
    pixel = row * width + column
    ok00 = upper & left_inside
    ok01 = upper & right_inside
    ok10 = lower & left_inside
    ok11 = lower & right_inside
    return pixel, ok00, ok01, ok10, ok11, y - top, x - left


@triton.jit
def cubic_pair(fraction, second):
    """The weights of two of the four pixels along an axis: of the first two, or of the last two if ``second`` is 1.

    By Keys 1981. ``fraction`` is the position's distance from the second pixel.
    """
    near = tl.where(second == 1, 1 - fraction, fraction)
    outer = A * near * (1 - near) * (1 - near)
    inner = ((A + 2) * near - (A + 3)) * near * near + 1
    return tl.where(second == 1, inner, outer), tl.where(second == 1, outer, inner)


@triton.jit
def cubic_slopes(fraction, second):
    """The derivatives of the weights of :func:`cubic_pair` by the position."""
    near = tl.where(second == 1, 1 - fraction, fraction)
    sign = tl.where(second == 1, -1.0, 1.0)
    outer = A * (1 - near) * (1 - 3 * near) * sign
    inner = (3 * (A + 2) * near - 2 * (A + 3)) * near * sign
    return tl.where(second == 1, inner, outer), tl.where(second == 1, outer, inner)


@triton.jit
def corner_weights(fy, fx, scale, quad, BICUBIC: tl.constexpr):
    """The weights of a quad's four corners, times ``scale``."""
    if BICUBIC:
        top, bottom = cubic_pair(fy, quad // 2)
        left, right = cubic_pair(fx, quad % 2)
        upper = top * scale
        lower = bottom * scale
        return upper * left, upper * right, lower * left, lower * right
    else:
        lower = fy * scale
        upper = scale - lower
        return upper - upper * fx, upper * fx, lower - lower * fx, lower * fx


@triton.jit
def words_of_block(PAIRS: tl.constexpr, BLOCK_C: tl.constexpr, PARTS: tl.constexpr):
    """The words of a block's rows, (PARTS, 1, words): BLOCK_C / PARTS channels, half as many words with PAIRS.

    The layout of a gathered tile decides how often each position's coordinates are computed. With PARTS, a warp loads a
    part of the rows at a time, for PARTS times as many positions.
    """
    words: tl.constexpr = BLOCK_C // PARTS // (2 if PAIRS else 1)
    return tl.arange(0, PARTS)[:, None, None] * words + tl.arange(0, words)[None, None, :]


@triton.jit
def load_corners(
    frame, pixel, ok00, ok01, ok10, ok11, width, word, words,
    C: tl.constexpr, EVEN: tl.constexpr, PAIRS: tl.constexpr,
):  # fmt: skip
    """Features of the four corners, (PARTS, positions, words) each; zero outside the frame.

    Args:
        frame: pointer to the first channel of the run in a channels-last frame, (H, W, C).
        pixel: number of each position's top left corner.
        ok00, ok01, ok10, ok11: which corners are in the frame.
        width: W.
        word: the block's words in the run, see :func:`words_of_block`.
        words: words in the run; EVEN says that no block exceeds it.
    """
    if PAIRS:
        frame = frame.to(tl.pointer_type(tl.int32), bitcast=True)
    step: tl.constexpr = C // 2 if PAIRS else C
    at = frame + ((pixel * step)[None, :, None] + word)
    below = at + width * step
    in_run = True if EVEN else word < words
    v00 = tl.load(at, mask=ok00[None, :, None] & in_run, other=0)
    v01 = tl.load(at + step, mask=ok01[None, :, None] & in_run, other=0)
    v10 = tl.load(below, mask=ok10[None, :, None] & in_run, other=0)
    v11 = tl.load(below + step, mask=ok11[None, :, None] & in_run, other=0)
    return v00, v01, v10, v11


@triton.jit
def widen(v, kind: tl.constexpr, PAIRS: tl.constexpr, HIGH: tl.constexpr):
    """Convert to float32: values of type ``kind``, or with PAIRS the low or high half of words.

    bfloat16 is the upper half of float32.
    """
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
    """Samples in float32: of all channels, or with PAIRS of the even (low) or odd (high) ones."""
    v = widen(v00, kind, PAIRS, HIGH) * w00[None, :, None]
    v += widen(v01, kind, PAIRS, HIGH) * w01[None, :, None]
    v += widen(v10, kind, PAIRS, HIGH) * w10[None, :, None]
    return v + widen(v11, kind, PAIRS, HIGH) * w11[None, :, None]


@triton.jit
def blend(
    v00, v01, v10, v11, w00, w01, w10, w11, kind: tl.constexpr,
    PAIRS: tl.constexpr, POSITIONS: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Samples from features and weights of the corners, (POSITIONS, BLOCK_C) in dtype ``kind``; summed in float32."""
    v = blend_half(v00, v01, v10, v11, w00, w01, w10, w11, kind, PAIRS, False).to(kind)
    if PAIRS:
        high = blend_half(v00, v01, v10, v11, w00, w01, w10, w11, kind, PAIRS, True).to(kind)
        v = tl.join(v, high).permute(1, 0, 2, 3)
    else:
        v = v.permute(1, 0, 2)
    return v.reshape(POSITIONS, BLOCK_C)


@triton.jit
def load_matrix(matrix, c, o, rows, columns, EVEN: tl.constexpr):
    """A block of one tap's weight, (input channels, output channels); zero beyond ``rows`` and ``columns``.

    ``matrix`` points to the first row of the run in the tap's matrix, whose rows have ``columns`` elements; ``c`` and
    ``o`` are the block's channels. EVEN says that all ``c`` are less than ``rows``.
    """
    ok = (o < columns)[None, :] if EVEN else (o < columns)[None, :] & (c < rows)[:, None]
    return tl.load(matrix + c[:, None] * columns + o[None, :], mask=ok, other=0)


@triton.jit
def load_gradient(rows, lane, inside, o, channels, O: tl.constexpr):
    """A block of the output's gradient, (positions, output channels).

    ``rows`` points to the first channel of the group in a channels-last frame, ``lane`` are the positions' numbers in
    the frame, ``o`` the block's channels out of ``channels``.
    """
    return tl.load(rows + (lane * O)[:, None] + o[None, :], mask=inside[:, None] & (o < channels)[None, :], other=0)


@triton.jit
def grad_samples(
    rows, lane, inside, matrix, c, channels,
    O: tl.constexpr, GROUP_O: tl.constexpr, EVEN: tl.constexpr, BLOCK_O: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The gradient of a block's modulated samples, (positions, input channels) in float32.

    d[m, c] = sum over o of grad_output[m, o] * weight[c, o]; arguments as in :func:`load_gradient` and
    :func:`load_matrix`.
    """
    d = tl.zeros((lane.shape[0], c.shape[0]), tl.float32)
    for block in range(0, GROUP_O, BLOCK_O):
        o = block + tl.arange(0, BLOCK_O)
        g = load_gradient(rows, lane, inside, o, GROUP_O, O)
        b = load_matrix(matrix, c, o, channels, GROUP_O, EVEN)
        d = tl.dot(g, tl.trans(b), d, input_precision=PRECISION)
    return d
