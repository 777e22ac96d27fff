"""Interpolation without weights: exact motion, any time and size, text; test_pictures.py has more difficult inputs."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.textures import random_texture
from torch import Tensor

from ls3d.models import load_model
from ls3d.models.enhancement import _synthesis


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    """A random texture ``(1, 3, H, W)`` in [0, 1]."""
    return random_texture(height, width, seed).clamp(0, 1)


def moved(height: int, width: int, dy: int, dx: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Three frames of a texture that moves by ``(2 * dy, 2 * dx)`` in the interval: first, middle, second."""
    margin = 2 * max(abs(dy), abs(dx))
    large = texture(height + 2 * margin, width + 2 * margin, seed)
    frames = []
    for k in range(3):
        top, left = margin - k * dy, margin - k * dx
        frames.append(large[..., top : top + height, left : left + width])
    return frames[0], frames[1], frames[2]


def psnr(output: Tensor, truth: Tensor, margin: int = 0) -> float:
    """In dB, without a margin on every side."""
    inside = [slice(margin, size - margin) for size in output.shape[-2:]]
    return -10 * math.log10((output - truth)[..., inside[0], inside[1]].square().mean().clamp_min(1e-10).item())


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (1, 0), (0, -3), (4, 5), (-7, 10)])
def test_a_moving_texture_is_found_again_in_the_middle(dy: int, dx: int) -> None:
    first, middle, second = moved(96, 112, dy, dx)
    output = load_model("bilateral")(torch.stack([first, second], dim=2), [0.5])
    assert psnr(output[:, :, 0], middle, 16) > 40


def test_any_time_and_the_inputs_at_the_ends() -> None:
    first, _, second = moved(64, 80, 0, 4)
    frames = torch.stack([first, second], dim=2)
    model = load_model("bilateral")
    times = [0.0, 0.125, 0.375, 1.0, 0.75]
    output = model(frames, times)
    assert output.shape == (1, 3, 5, 64, 80)
    assert torch.equal(output[:, :, 0], first)
    assert torch.equal(output[:, :, 3], second)
    for index, time in enumerate(times):
        assert torch.equal(output[:, :, index : index + 1], model(frames, [time]))
    eighth = first.roll(1, dims=-1)  # 8 pixels in the interval
    assert psnr(output[:, :, 1], eighth, 12) > 38
    assert model(frames).shape == (1, 3, 5, 64, 80)


def test_time_runs_backwards_when_the_frames_are_swapped() -> None:
    first, _, second = moved(48, 64, 2, 3)
    model = load_model("bilateral")
    forward = model(torch.stack([first, second], dim=2), [0.25])
    backward = model(torch.stack([second, first], dim=2), [0.75])
    assert psnr(forward, backward, 8) > 40


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (15, 17), (33, 16)])
def test_small_and_odd_sizes(size: tuple[int, int]) -> None:
    frames = torch.rand(2, 3, 2, *size, generator=torch.Generator().manual_seed(3))
    output = load_model("bilateral")(frames, [0.5, 0.25])
    assert output.shape == (2, 3, 2, *size)
    assert output.isfinite().all()


def test_bands_of_rows_are_one_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _, second = moved(47, 52, 3, -2)
    frames = torch.stack([first, second], dim=2)
    model = load_model("bilateral")
    whole = model(frames, [0.5])
    monkeypatch.setattr(_synthesis, "_BAND_PIXELS", 52 * 9)
    torch.testing.assert_close(model(frames, [0.5]), whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("noise", [0.0, 0.004])
def test_burned_in_text_is_not_torn_by_what_moves_behind_it(noise: float) -> None:
    """White strokes, two pixels wide, over a texture that moves by 8 pixels; the noise is that of compression."""
    generator = torch.Generator().manual_seed(0)
    first, middle, second = (frame.clone() for frame in moved(96, 112, 0, 4))
    strokes = (torch.rand(8, 20, generator=generator) < 0.5).repeat_interleave(4, 0).repeat_interleave(2, 1)
    text = torch.zeros(96, 112, dtype=torch.bool)
    text[32:64, 36:76] = strokes
    for frame in (first, middle, second):
        frame[..., text] = 1
    frames = torch.stack([first, second], dim=2)
    frames += noise * torch.randn(frames.shape, generator=generator)
    output = load_model("bilateral")(frames, [0.5])[:, :, 0]
    assert ((output - middle).abs().amax(1)[0][text] > 0.25).float().mean() < 0.02
    # what the strokes hide in one of the frames leaves few traces
    around = text.roll(8, 1) | text.roll(-8, 1)
    assert ((output - middle).abs().amax(1)[0][around & ~text] > 0.25).float().mean() < 0.2


def test_times_outside_the_interval_are_refused() -> None:
    with pytest.raises(ValueError, match="times"):
        load_model("bilateral")(torch.rand(1, 3, 2, 8, 8), [1.5])
