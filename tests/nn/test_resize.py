"""``imresize`` against the kernel of the paper, and against properties of any bicubic resizing."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ls3d.nn.resize import cubic, imresize, resize_taps

QUARTER = Fraction(1, 4)


def line(values: list[float]) -> torch.Tensor:
    """Four equal rows of pixels."""
    return torch.tensor(values, dtype=torch.float64).expand(4, -1)


def test_kernel_is_keys_cubic() -> None:
    x = torch.tensor([0, 0.5, 1, 1.5, 2, 2.5, -0.5], dtype=torch.float64)
    expected = torch.tensor([1, 0.5625, 0, -0.0625, 0, 0, 0.5625], dtype=torch.float64)
    torch.testing.assert_close(cubic(x), expected, atol=1e-15, rtol=0)


def test_enlarging_an_impulse_by_two_gives_the_kernel() -> None:
    pixels = torch.zeros(1, 9, dtype=torch.float64).expand(9, 9).clone()
    pixels[:, 4] = 1
    # The center of output pixel i is at input position (i + 0.5) / 2 - 0.5.
    distances = (torch.arange(18, dtype=torch.float64) + 0.5) / 2 - 0.5 - 4
    near = distances.abs() < 2
    expected = torch.where(near, paper_kernel(distances), 0.0)
    torch.testing.assert_close(imresize(pixels, 2)[7], expected, atol=1e-12, rtol=0)


def paper_kernel(x: torch.Tensor) -> torch.Tensor:
    """The cubic through (0, 1), (1, 0), (2, 0) written with powers, as in Keys' paper."""
    a, x = -0.5, x.abs()
    inner = (a + 2) * x**3 - (a + 3) * x**2 + 1
    outer = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return torch.where(x <= 1, inner, outer)


def test_shrinking_by_four_stretches_the_kernel() -> None:
    indices, weights = resize_taps(64, QUARTER)
    center = (8 + 0.5) * 4 - 0.5
    distances = (indices[8].double() - center) / 4
    expected = paper_kernel(distances) / 4
    assert indices.shape[1] == 16
    torch.testing.assert_close(weights[8], expected / expected.sum(), atol=1e-12, rtol=0)
    # The weights of a reduction by 4 sum to one without normalization.
    torch.testing.assert_close(expected.sum(), torch.tensor(1.0, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("scale", [Fraction(1, 4), Fraction(1, 3), Fraction(2, 3), 1, Fraction(3, 2), 2, 4])
def test_a_constant_stays_constant(scale: Fraction) -> None:
    output = imresize(torch.full((2, 12, 15), 0.3, dtype=torch.float64), scale)
    torch.testing.assert_close(output, torch.full_like(output, 0.3), atol=1e-14, rtol=0)


@pytest.mark.parametrize("scale", [QUARTER, Fraction(1, 2), 2, 4])
def test_a_ramp_stays_a_ramp_inside(scale: Fraction) -> None:
    width = 64
    output = imresize(line([float(x) for x in range(width)]), scale)
    expected = (torch.arange(output.shape[1], dtype=torch.float64) + 0.5) / float(scale) - 0.5
    inside = (expected > 9) & (expected < width - 10)
    torch.testing.assert_close(output[0, inside], expected[inside], atol=1e-12, rtol=0)


@pytest.mark.parametrize("scale", [QUARTER, 2])
def test_borders_are_mirrored_with_the_edge_pixel_repeated(scale: Fraction) -> None:
    pixels = torch.rand(16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    padded = torch.cat([pixels.flip(1), pixels, pixels.flip(1)], dim=1)
    padded = torch.cat([padded.flip(0), padded, padded.flip(0)])
    size = int(16 * scale)
    middle = imresize(padded, scale)[size : 2 * size, size : 2 * size]
    torch.testing.assert_close(imresize(pixels, scale), middle, atol=1e-12, rtol=0)


@given(st.integers(5, 40), st.integers(5, 40), st.sampled_from([QUARTER, Fraction(1, 3), 2, Fraction(5, 2)]))
def test_mirrored_images_give_mirrored_results(height: int, width: int, scale: Fraction) -> None:
    exact = (height * scale).denominator == 1 and (width * scale).denominator == 1
    pixels = torch.rand(height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(height))
    output = imresize(pixels, scale)
    assert output.shape == (-(-height * scale // 1), -(-width * scale // 1))
    if exact:
        torch.testing.assert_close(imresize(pixels.flip(0, 1), scale).flip(0, 1), output, atol=1e-12, rtol=0)
    torch.testing.assert_close(imresize(pixels.mT, scale).mT, output, atol=1e-12, rtol=0)


def test_size_is_rounded_up_like_matlab() -> None:
    assert imresize(torch.zeros(5, 9), QUARTER).shape == (2, 3)


def test_each_axis_has_its_scale() -> None:
    pixels = torch.rand(8, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    tall = imresize(pixels, (2, 1))
    assert tall.shape == (16, 12)
    torch.testing.assert_close(imresize(tall, (1, Fraction(1, 2))), imresize(pixels, (2, Fraction(1, 2))))


@pytest.mark.parametrize(
    ("images", "scale", "name"),
    [(torch.zeros(4, 4), 0, "scale"), (torch.zeros(4, 4, dtype=torch.uint8), 2, "dtype")],
)
def test_wrong_arguments_are_named(images: torch.Tensor, scale: int, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        imresize(images, scale)


def test_gradients_work_after_inference_mode() -> None:
    with torch.inference_mode():
        imresize(torch.rand(1, 5, 6), 4)
    pixels = torch.rand(1, 5, 6, dtype=torch.float64, requires_grad=True)
    imresize(pixels, 4).sum().backward()
    assert pixels.grad is not None
    torch.testing.assert_close(pixels.grad.sum(), torch.tensor(480.0, dtype=torch.float64))


def test_compiles_to_one_graph_for_changing_sizes() -> None:
    compiled = torch.compile(lambda pixels: imresize(pixels, 4), backend="eager", fullgraph=True)
    for height, width in ((9, 11), (12, 20), (7, 20)):
        pixels = torch.rand(2, height, width, generator=torch.Generator().manual_seed(5))
        torch.testing.assert_close(compiled(pixels), imresize(pixels, 4))
