"""The Triton kernels of ``bilateral_motion``: what two frames differ in along candidate motions, and which is best.

A pass over a level works on a band of rows. ``difference_kernel`` compares the frames for every candidate,
``cost_kernel`` averages over a window, and ``search_kernel`` or ``select_kernel`` takes each pixel's best candidate.
Everything is added in the order of the reference, and launches switch the fusion of products and sums off, so that all
backends round alike and find the same minimum.

Planes are ``(height, width)`` and contiguous, float32. A motion has two of them, y and x, in pixels of the level. A
volume has a plane of some rows for each candidate. Shapes are those of one sample; the second axis of every grid is the
sample. A program computes ``BLOCK`` consecutive elements of its result.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def of_sample(pointer, elements):
    """The program's sample in a tensor with so many ``elements`` per sample."""
    return pointer + tl.program_id(1).to(tl.int64) * elements


@triton.jit
def clamped(value, end):
    """The nearest index from 0 to ``end - 1``."""
    return tl.minimum(tl.maximum(value, 0), end - 1)


@triton.jit
def candidate(motion, number, y, x, height, width, exists, NEIGHBOR: tl.constexpr):
    """A motion to try: a position's own (0), that above, below, left and right (1 to 4), none (5)."""
    down = tl.where(number == 1, -NEIGHBOR, tl.where(number == 2, NEIGHBOR, 0))
    across = tl.where(number == 3, -NEIGHBOR, tl.where(number == 4, NEIGHBOR, 0))
    at = motion + clamped(y + down, height) * width + clamped(x + across, width)
    wanted = exists & (number != 5)
    return tl.load(at, mask=wanted, other=0.0), tl.load(at + height * width, mask=wanted, other=0.0)


@triton.jit
def corners(y, x, height, width):
    """The four corners of a bilinear sample in a plane, and their weights; beyond the edge, the edge."""
    y = tl.minimum(tl.maximum(y, 0.0), (height - 1).to(tl.float32))
    x = tl.minimum(tl.maximum(x, 0.0), (width - 1).to(tl.float32))
    top = tl.floor(y)
    left = tl.floor(x)
    below = y - top
    right = x - left
    above = 1 - below
    beside = 1 - right
    row = top.to(tl.int32)
    column = left.to(tl.int32)
    upper = row * width
    lower = clamped(row + 1, height) * width
    next_column = clamped(column + 1, width)
    return (
        upper + column, upper + next_column, lower + column, lower + next_column,
        above * beside, above * right, below * beside, below * right,
    )  # fmt: skip


@triton.jit
def sample(plane, p0, p1, p2, p3, w0, w1, w2, w3, exists):
    """A bilinear sample of one feature."""
    total = tl.load(plane + p0, mask=exists, other=0.0) * w0
    total += tl.load(plane + p1, mask=exists, other=0.0) * w1
    total += tl.load(plane + p2, mask=exists, other=0.0) * w2
    return total + tl.load(plane + p3, mask=exists, other=0.0) * w3


@triton.jit(do_not_specialize=["height", "width", "top", "rows", "candidates", "radius"])
def difference_kernel(
    first,  # (6, height, width), features of the first frame
    second,  # of the second frame
    motion,  # (2, height, width)
    volume,  # (candidates, rows, width), written
    first_factor, second_factor, height, width, top, rows, candidates, radius,
    SEARCH: tl.constexpr, NEIGHBOR: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the difference of the frames, summed over features, in rows ``top`` to ``top + rows``.

    With SEARCH, the candidates are the grid of ``radius`` around ``motion``, else those of :func:`candidate`. The
    factors of the motion are -t and 1 - t. Grid: (blocks of the volume, N).
    """
    first = of_sample(first, 6 * height * width)
    second = of_sample(second, 6 * height * width)
    motion = of_sample(motion, 2 * height * width)
    volume = of_sample(volume, candidates * rows * width)
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    number = index // (rows * width)
    exists = number < candidates
    y = top + index // width % rows
    x = index % width
    if SEARCH:
        side = 2 * radius + 1
        dy = tl.load(motion + y * width + x, mask=exists, other=0.0) + (number // side - radius).to(tl.float32)
        dx = tl.load(motion + (height + y) * width + x, mask=exists, other=0.0) + (number % side - radius).to(
            tl.float32
        )
    else:
        dy, dx = candidate(motion, number, y, x, height, width, exists, NEIGHBOR)
    row = y.to(tl.float32)
    column = x.to(tl.float32)
    p0, p1, p2, p3, w0, w1, w2, w3 = corners(row + dy * first_factor, column + dx * first_factor, height, width)
    q0, q1, q2, q3, v0, v1, v2, v3 = corners(row + dy * second_factor, column + dx * second_factor, height, width)
    even = tl.zeros((BLOCK,), tl.float32)
    odd = tl.zeros((BLOCK,), tl.float32)
    for half in tl.static_range(2):
        for k in tl.static_range(3):  # ((0 + 4) + 2) + ((1 + 5) + 3)
            feature = half + (4 * k) % 6
            plane = feature * height * width
            ours = sample(first + plane, p0, p1, p2, p3, w0, w1, w2, w3, exists)
            apart = tl.abs(ours - sample(second + plane, q0, q1, q2, q3, v0, v1, v2, v3, exists))
            if half == 0:
                even += apart
            else:
                odd += apart
    tl.store(volume + index, even + odd, mask=exists)


@triton.jit(do_not_specialize=["height", "width", "top", "rows", "first", "count", "candidates"])
def cost_kernel(
    differences,  # (candidates, rows, width), the first row is row `top` of the level
    penalties,  # (candidates,)
    costs,  # (candidates, count, width), written
    scale, height, width, top, rows, first, count, candidates,
    WINDOW: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the mean difference over a window plus the penalty, in rows ``first`` to ``first + count``.

    ``scale`` is one over the number of values; beyond the edge, the edge. Grid: (blocks of costs, N).
    """
    differences = of_sample(differences, candidates * rows * width)
    costs = of_sample(costs, candidates * count * width)
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    number = index // (count * width)
    exists = number < candidates
    y = first + index // width % count
    x = index % width
    plane = differences + number * rows * width
    total = tl.zeros((BLOCK,), tl.float32)
    for j in range(2 * WINDOW + 1):
        row = plane + (clamped(y + j - WINDOW, height) - top) * width
        along = tl.zeros((BLOCK,), tl.float32)
        for i in tl.static_range(2 * WINDOW + 1):
            along += tl.load(row + clamped(x + i - WINDOW, width), mask=exists, other=0.0)
        total += along
    cost = total * scale + tl.load(penalties + number, mask=exists, other=0.0)
    tl.store(costs + index, cost, mask=exists)


@triton.jit
def vertex(before, best, after):
    """Where the parabola through three costs has its minimum, from -1/2 to 1/2; 0 where there is none."""
    curvature = (before - best) + (after - best)
    found = tl.div_rn((before - after) * 0.5, tl.where(curvature > 0, curvature, 1.0))
    return tl.where((curvature > 0) & (tl.abs(found) <= 0.5), found, 0.0)


@triton.jit
def step(costs, best, index, stride, position, side, pixel, size, radius, exists):
    """The best candidate's distance from the center along one axis, with its sub-pixel part.

    ``position`` is its place among ``side`` candidates along the axis, and ``stride`` their distance in the grid.
    """
    inside = (position > 0) & (position < side - 1)
    wanted = exists & inside
    before = tl.load(costs + (index - stride) * size + pixel, mask=wanted, other=0.0)
    after = tl.load(costs + (index + stride) * size + pixel, mask=wanted, other=0.0)
    part = vertex(tl.where(inside, before, best), best, tl.where(inside, after, best))
    return (position - radius).to(tl.float32) + part


@triton.jit(do_not_specialize=["height", "width", "first", "count", "radius"])
def search_kernel(
    costs,  # (candidates, count, width)
    center,  # (2, height, width)
    found,  # (2, height, width), rows `first` to `first + count` are written
    height, width, first, count, radius, BLOCK: tl.constexpr,
):  # fmt: skip
    """The best motion of the grid around ``center``, with its sub-pixel part. Grid: (blocks of pixels, N)."""
    side = 2 * radius + 1
    costs = of_sample(costs, side * side * count * width)
    center = of_sample(center, 2 * height * width)
    found = of_sample(found, 2 * height * width)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    size = count * width
    exists = pixel < count * width
    best = tl.load(costs + pixel, mask=exists, other=0.0)
    index = tl.zeros((BLOCK,), tl.int32)
    for number in range(1, side * side):
        cost = tl.load(costs + number * size + pixel, mask=exists, other=0.0)
        better = cost < best
        best = tl.where(better, cost, best)
        index = tl.where(better, number, index)
    dy = step(costs, best, index, side, index // side, side, pixel, size, radius, exists)
    dx = step(costs, best, index, 1, index % side, side, pixel, size, radius, exists)
    at = first * width + pixel
    plane = height * width
    tl.store(found + at, tl.load(center + at, mask=exists, other=0.0) + dy, mask=exists)
    tl.store(found + plane + at, tl.load(center + plane + at, mask=exists, other=0.0) + dx, mask=exists)


@triton.jit(do_not_specialize=["height", "width", "first", "count"])
def select_kernel(
    costs,  # (6, count, width)
    motion,  # (2, height, width)
    chosen,  # (2, height, width), rows `first` to `first + count` are written
    penalty, height, width, first, count, NEIGHBOR: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The best of the motions of :func:`candidate`; ``penalty`` is that of a pixel. Grid: (blocks of pixels, N)."""
    costs = of_sample(costs, 6 * count * width)
    motion = of_sample(motion, 2 * height * width)
    chosen = of_sample(chosen, 2 * height * width)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    size = count * width
    exists = pixel < count * width
    y = first + pixel // width
    x = pixel % width
    own_y, own_x = candidate(motion, 0, y, x, height, width, exists, NEIGHBOR)
    chosen_y = own_y
    chosen_x = own_x
    best = tl.load(costs + pixel, mask=exists, other=0.0)
    for number in range(1, 6):
        other_y, other_x = candidate(motion, number, y, x, height, width, exists, NEIGHBOR)
        distance = tl.abs(other_y - own_y) + tl.abs(other_x - own_x)
        cost = tl.load(costs + number * size + pixel, mask=exists, other=0.0) + distance * penalty
        better = cost < best
        best = tl.where(better, cost, best)
        chosen_y = tl.where(better, other_y, chosen_y)
        chosen_x = tl.where(better, other_x, chosen_x)
    at = first * width + pixel
    tl.store(chosen + at, chosen_y, mask=exists)
    tl.store(chosen + height * width + at, chosen_x, mask=exists)


@triton.jit
def median_of_three(a, b, c):
    """The value between the two others."""
    return tl.maximum(tl.minimum(a, b), tl.minimum(tl.maximum(a, b), c))


@triton.jit
def sorted_row(plane, y, x, height, width, exists):
    """Three neighbors of a row in ascending order; beyond the edge, the edge."""
    row = plane + clamped(y, height) * width
    a = tl.load(row + clamped(x - 1, width), mask=exists, other=0.0)
    b = tl.load(row + x, mask=exists, other=0.0)
    c = tl.load(row + clamped(x + 1, width), mask=exists, other=0.0)
    return tl.minimum(tl.minimum(a, b), c), median_of_three(a, b, c), tl.maximum(tl.maximum(a, b), c)


@triton.jit(do_not_specialize=["height", "width"])
def median_kernel(
    motion,  # (2, height, width)
    smooth,  # (2, height, width), written
    height, width, BLOCK: tl.constexpr,
):  # fmt: skip
    """The 3x3 median of each component. Grid: (blocks of motion, N).

    It is the median of three values: the largest of the rows' minima, the median of their medians, and the smallest of
    their maxima.
    """
    motion = of_sample(motion, 2 * height * width)
    smooth = of_sample(smooth, 2 * height * width)
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists = index < 2 * height * width
    y = index // width % height
    x = index % width
    plane = motion + index // (height * width) * height * width
    low0, middle0, high0 = sorted_row(plane, y - 1, x, height, width, exists)
    low1, middle1, high1 = sorted_row(plane, y, x, height, width, exists)
    low2, middle2, high2 = sorted_row(plane, y + 1, x, height, width, exists)
    low = tl.maximum(tl.maximum(low0, low1), low2)
    middle = median_of_three(middle0, middle1, middle2)
    high = tl.minimum(tl.minimum(high0, high1), high2)
    tl.store(smooth + index, median_of_three(low, middle, high), mask=exists)
