"""Interpolation of difficult pictures: scores of the middle frame, and parts of it that must be right.

docs/interpolation.md says what the remaining errors look like; scripts/picture_strips.py shows them.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch
from helpers.pictures import SCENES, Triplet, render
from helpers.scripts import load_script
from torch import Tensor

from ls3d.metrics import measure
from ls3d.models import load_model

#: The PSNR that the middle frame must reach, by scene and model, in dB; half a dB below what was measured.
LEAST = {
    "logo": {"bilateral": 31.1, "vfi": 34.1},
    "watermark": {"bilateral": 32.7, "vfi": 36.1},
    "subtitles": {"bilateral": 27.7, "vfi": 28.2},
    "letterbox": {"bilateral": 29.2, "vfi": 34.3},
    "fade": {"bilateral": 39.4, "vfi": 40.5},
    "animation": {"bilateral": 25.0, "vfi": 25.0},
    "fence": {"bilateral": 29.0, "vfi": 28.9},
    "facade": {"bilateral": 25.2, "vfi": 25.4},
    "wires": {"bilateral": 30.6, "vfi": 34.3},
    "limb": {"bilateral": 26.2, "vfi": 26.3},
}

each_model = pytest.mark.parametrize("model", ["bilateral", "vfi"])

render_once = cache(render)


def psnr(output: Tensor, truth: Tensor) -> float:
    """In dB, over RGB rounded to 8 bit."""
    return measure(["psnr-rgb"], output, truth)["psnr-rgb"].item()


@torch.no_grad()
def interpolate(model: str, first: Tensor, second: Tensor) -> Tensor:
    """The frame in the middle, ``(1, 3, H, W)``."""
    output: Tensor = load_model(model)(torch.stack([first, second], dim=2), [0.5])
    return output[:, :, 0]


def still_pixels(triplet: Triplet) -> Tensor:
    """Where text, logos or bars are, ``(H, W)``: pixels that are the same in all three frames."""
    return (torch.stack(triplet).amax(0) == torch.stack(triplet).amin(0)).all(1)[0]


def wrong_pixels(output: Tensor, truth: Tensor) -> Tensor:
    """Where a channel is off by more than a quarter of the range, ``(H, W)``."""
    return ((output - truth).abs() > 0.25).any(1)[0]


@pytest.mark.parametrize("scene", SCENES)
def test_the_middle_frame_is_as_good_as_it_was_and_better_than_a_blend(scene: str) -> None:
    triplet = render_once(scene)
    blend = psnr(interpolate("blend", triplet.first, triplet.second), triplet.middle)
    for model, least in LEAST[scene].items():
        score = psnr(interpolate(model, triplet.first, triplet.second), triplet.middle)
        assert score > least, model
        assert score > blend, model


@each_model
def test_a_picture_that_animation_shows_twice_stays_as_it_is(model: str) -> None:
    picture = render_once("animation").first
    assert psnr(interpolate(model, picture, picture), picture) > 50


@each_model
def test_letterbox_bars_stay_black(model: str) -> None:
    triplet = render_once("letterbox")
    output = interpolate(model, triplet.first, triplet.second)
    assert output[..., :18, :].abs().max() < 0.01
    assert output[..., -18:, :].abs().max() < 0.01


@each_model
def test_a_logo_stays_where_it_is(model: str) -> None:
    triplet = render_once("logo")
    still = still_pixels(triplet)
    output = interpolate(model, triplet.first, triplet.second)
    assert psnr(output[..., still][..., None], triplet.middle[..., still][..., None]) > 35


@each_model
@pytest.mark.parametrize("noise", [0.0, 0.004])
def test_subtitles_are_not_torn_by_what_moves_behind_them(model: str, noise: float) -> None:
    """Few of their pixels are wrong. The noise is that of compression."""
    triplet = render_once("subtitles")
    still = still_pixels(triplet)
    generator = torch.Generator().manual_seed(0)
    given = [frame + noise * torch.randn(frame.shape, generator=generator) for frame in (triplet.first, triplet.second)]
    output = interpolate(model, given[0], given[1])
    assert psnr(output, triplet.middle) > 27.3
    wrong = wrong_pixels(output, triplet.middle)
    assert wrong[still].float().mean() < 0.01
    # The strokes hide one of the frames here, which must leave few traces.
    beside = still.roll(4, 1) | still.roll(-4, 1)
    assert wrong[beside & ~still].float().mean() < 0.1


@each_model
def test_brightness_of_a_fade_is_halfway_between_the_frames(model: str) -> None:
    triplet = render_once("fade")
    output = interpolate(model, triplet.first, triplet.second)
    torch.testing.assert_close(output.mean((2, 3)), triplet.middle.mean((2, 3)), atol=2e-3, rtol=0)


def test_a_strip_has_five_frames_above_their_errors() -> None:
    script = load_script("picture_strips")
    triplet = render_once("fade")
    made = dict.fromkeys(script.MODELS, triplet.middle)
    strip = script.make_strip(triplet, made)
    height, width = (script.ZOOM * size for size in triplet.first.shape[-2:])
    assert strip.shape == (1, 3, 2 * height, 5 * width)
    errors = strip[..., height:, width:]
    assert errors.abs().max() == 0
    assert torch.equal(strip[..., :height:2, :width:2], triplet.first)
