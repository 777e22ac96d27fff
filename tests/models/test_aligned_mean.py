"""Denoising without weights: gains over noise on static and moving clips, borders, sizes, levels."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.data.degradations import get_degradation
from ls3d.models import load_enhancement_model, load_model
from ls3d.models.enhancement.aligned_mean import AlignedMean, spatial_mean

SIGMA = 25 / 255


def texture(height: int, width: int, seed: int = 3) -> Tensor:
    """Smooth random colors ``(3, height, width)`` from 0.2 to 0.8."""
    noise = torch.rand(1, 3, height // 4 + 2, width // 4 + 2, generator=torch.Generator().manual_seed(seed))
    return 0.2 + 0.6 * F.interpolate(noise, scale_factor=4, mode="bicubic").clamp(0, 1)[0, :, :height, :width]


def moving(dy: int, dx: int, size: int = 64) -> Tensor:
    """Seven frames ``(1, 3, 7, size, size)`` of a texture that moves by whole pixels."""
    margin = 3 * max(abs(dy), abs(dx))
    wide = texture(size + 2 * margin, size + 2 * margin)
    views = [wide[:, margin + n * dy :, margin + n * dx :][:, :size, :size] for n in range(-3, 4)]
    return torch.stack(views, dim=1)[None]


def add_noise(clip: Tensor, sigma: float = SIGMA) -> Tensor:
    return clip + sigma * torch.randn(clip.shape, generator=torch.Generator().manual_seed(1))


def error(output: Tensor, clip: Tensor) -> float:
    """Root mean square."""
    return float((output[:, :, 0] - clip[:, :, 3]).square().mean().sqrt())


def test_seven_frames_and_the_noise_level_make_one_frame() -> None:
    model = load_enhancement_model("aligned_mean", "denoising")
    traits = model.traits
    assert (traits.frames_before, traits.frames_after, traits.takes_sigma, traits.size_multiple) == (3, 3, True, 1)
    with pytest.raises(ValueError, match="sigma is None"):
        model(torch.rand(1, 3, 7, 8, 8))


@pytest.mark.parametrize("side", [2, 3])
def test_static_clip_gains_the_square_root_of_the_frames(side: int) -> None:
    """Without the spatial part; with it, the gain is larger still."""
    clip = moving(0, 0)
    window = slice(3 - side, 4 + side)
    noisy = add_noise(clip)[:, :, window]
    gains = [SIGMA / error(AlignedMean(side, spatial)(noisy, torch.tensor([SIGMA])), clip) for spatial in (False, True)]
    assert gains[0] > 0.85 * math.sqrt(2 * side + 1)
    assert gains[1] > 1.1 * gains[0]


@pytest.mark.parametrize("motion", [(0, 2), (3, -1), (-4, 4)])
def test_moving_texture_gains(motion: tuple[int, int]) -> None:
    clip = moving(*motion)
    output = AlignedMean(spatial=False)(add_noise(clip), torch.tensor([SIGMA]))
    inner = (..., slice(16, -16), slice(16, -16))
    assert SIGMA / error(output[inner], clip[inner]) > 2


@pytest.mark.parametrize("color", [(0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.1, 0.4, 0.1), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("sigma", [0.0, SIGMA])
def test_flat_color_stays_flat_to_the_border(color: tuple[float, float, float], sigma: float) -> None:
    clip = torch.tensor(color).view(1, 3, 1, 1, 1).expand(1, 3, 7, 33, 47)
    output = AlignedMean()(clip, torch.tensor([sigma]))
    assert (output - clip[:, :, 3:4]).abs().max() <= 1 / 255


def test_noisy_flat_color_is_within_three_values_at_the_border() -> None:
    clip = torch.full((1, 3, 7, 64, 64), 0.5)
    output = AlignedMean()(add_noise(clip), torch.tensor([SIGMA]))[:, :, 0]
    border = torch.ones(64, 64, dtype=torch.bool)
    border[4:-4, 4:-4] = False
    assert (output - 0.5).mean().abs() < 1 / 255
    assert (output[..., border] - 0.5).square().mean().sqrt() < 4 / 255
    assert (output[..., border] - 0.5).mean().abs() < 1 / 255


def test_no_noise_is_the_identity() -> None:
    clip = moving(1, 2)
    output = AlignedMean()(clip, torch.tensor([0.0]))
    torch.testing.assert_close(output[:, :, 0], clip[:, :, 3], atol=1e-5, rtol=0)


def test_a_cut_keeps_the_middle_frame() -> None:
    """Frames of another scene don't count."""
    clip = moving(0, 0)
    cut = clip.clone()
    cut[:, :, :3] = 1 - texture(64, 64, seed=9)[None, :, None]
    sigma = torch.tensor([10 / 255])
    noisy = add_noise(cut, 10 / 255)
    assert error(AlignedMean(spatial=False)(noisy, sigma), clip) < 10 / 255


def test_repeated_frames_do_not_count() -> None:
    """At the ends of a clip the window repeats the last frame, whose noise is the same each time."""
    noisy = add_noise(moving(1, 0))
    sigma = torch.tensor([SIGMA])
    start = noisy[:, :, [3, 3, 3, 3, 4, 5, 5]]
    expected = AlignedMean(side=2)(noisy[:, :, [3, 3, 3, 4, 5]], sigma)
    torch.testing.assert_close(AlignedMean()(start, sigma), expected)
    alone = AlignedMean(spatial=False)(noisy[:, :, [3] * 7], sigma)
    torch.testing.assert_close(alone, noisy[:, :, 3:4])
    assert error(AlignedMean()(start, sigma), moving(1, 0)) < SIGMA / 2.5


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (5, 7), (16, 31)])
def test_any_size(size: tuple[int, int]) -> None:
    output = AlignedMean()(torch.rand(2, 3, 7, *size), torch.tensor([0.1, 0.0]))
    assert output.shape == (2, 3, 1, *size)
    assert output.isfinite().all()


def test_samples_of_a_batch_do_not_depend_on_each_other() -> None:
    clips = torch.cat([add_noise(moving(0, 2)), add_noise(moving(1, 0), 0.02)])
    sigmas = torch.tensor([SIGMA, 0.02])
    together = AlignedMean()(clips, sigmas)
    for index in range(2):
        alone = AlignedMean()(clips[index : index + 1], sigmas[index : index + 1])
        torch.testing.assert_close(together[index : index + 1], alone)


def test_dtype_of_the_frames_is_kept() -> None:
    clip = add_noise(moving(0, 1, 32))
    expected = AlignedMean()(clip, torch.tensor([SIGMA]))
    for dtype, tolerance in ((torch.float64, 1e-3), (torch.bfloat16, 0.05)):
        output = load_model("aligned_mean")(clip.to(dtype), torch.tensor([SIGMA]))
        assert output.dtype == dtype
        assert (output.float() - expected).abs().mean() < tolerance


def test_non_local_mean_is_that_of_the_formula() -> None:
    """Against the definition, pixel by pixel, at a place whose patches all lie inside."""
    generator = torch.Generator().manual_seed(0)
    frame = torch.rand(1, 3, 16, 16, generator=generator, dtype=torch.float64)
    variance = 0.02 + 0.05 * torch.rand(1, 1, 16, 16, generator=generator, dtype=torch.float64)
    y, x = 7, 8
    weights, colors = [], []
    for v in range(y - 3, y + 4):
        for u in range(x - 3, x + 4):
            here, there = (frame[0, :, b - 1 : b + 2, a - 1 : a + 2] for b, a in ((y, x), (v, u)))
            noise = float(variance[0, 0, y, x] + variance[0, 0, v, u])
            excess = max(0.0, float((here - there).square().mean()) - noise)
            weights.append(1.0 if (v, u) == (y, x) else math.exp(-excess / (0.6**2 * noise)))
            colors.append(frame[0, :, v, u])
    expected = sum(w * c for w, c in zip(weights, colors, strict=True)) / sum(weights)
    torch.testing.assert_close(spatial_mean(frame, variance)[0, :, y, x], expected)


def test_better_than_the_noisy_frame_under_the_protocols_noise() -> None:
    clip = moving(1, 1)
    degradation = get_degradation("noise-25")
    noisy = torch.stack([degradation(frame, "clip", n) for n, frame in enumerate(clip[0].unbind(1))], dim=1)
    output = AlignedMean()(noisy[None], torch.tensor([SIGMA]))
    assert error(output, clip) < SIGMA / 3
