"""Rendered scenes move exactly as they say."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ls3d.data.rendered import (
    Layer,
    mirrored,
    motion,
    occluding_scene,
    random_outline,
    random_scene,
    random_texture,
    render,
)

SIZE = (32, 40)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_scene_that_does_not_move_is_the_same_at_all_times() -> None:
    frames = render(random_scene(generator(), SIZE, speed=0), [0, 0.3, 1], SIZE)
    assert frames.shape == (3, 3, *SIZE)
    assert torch.equal(frames[:, 0], frames[:, 1])
    assert torch.equal(frames[:, 0], frames[:, 2])


def test_whole_pixels_of_motion_shift_the_background() -> None:
    background = Layer(random_texture(generator()), None, center=(3.0, 5.0), velocity=(4.0, -8.0))
    first, middle, last = render([background], [0, 0.5, 1], SIZE).unbind(1)
    assert torch.allclose(last[:, 4:, :-8], first[:, :-4, 8:], atol=1e-5)
    assert torch.allclose(middle[:, 2:, :-4], first[:, :-2, 4:], atol=1e-5)


@given(st.integers(0, 50), st.floats(0, 12))
def test_every_layer_moves_at_the_speed_asked_for(seed: int, speed: float) -> None:
    scene = random_scene(generator(seed), SIZE, speed, sprites=2)
    lengths = motion(scene, 0.5, SIZE).norm(dim=0)
    assert torch.allclose(lengths, torch.full_like(lengths, speed), atol=1e-3)


def test_a_sprite_hides_the_background() -> None:
    outline = random_outline(generator(), radius=8)
    still = Layer(random_texture(generator(1)), None, center=(0, 0), velocity=(0, 0))
    moving = Layer(random_texture(generator(2)), outline, center=(16, 12), velocity=(0, 10))
    moved = motion([still, moving], 1.0, SIZE)
    assert moved[:, 16, 22].tolist() == pytest.approx([0, 10], abs=1e-4)
    assert moved[:, 16, 1].tolist() == [0, 0]
    frames = render([still, moving], [0, 1], SIZE)
    alone = render([still], [0, 1], SIZE)
    assert torch.equal(frames[:, :, :, 38:], alone[:, :, :, 38:])
    assert not torch.allclose(frames[:, 1, 16, 22], alone[:, 1, 16, 22])


def test_a_spinning_layer_moves_faster_at_its_rim() -> None:
    spinning = Layer(random_texture(generator()), None, center=(16, 20), velocity=(0, 0), spin=0.1)
    lengths = motion([spinning], 0.0, SIZE).norm(dim=0)
    distance = torch.hypot(torch.tensor(0.5), torch.tensor(15.5))
    assert lengths[16, 35] == pytest.approx(2 * float(torch.sin(torch.tensor(0.05))) * float(distance), rel=1e-3)


def test_the_same_seed_gives_the_same_scene() -> None:
    scenes = [render(random_scene(generator(7), SIZE, 5.0), [0.5], SIZE) for _ in range(2)]
    assert torch.equal(scenes[0], scenes[1])


def test_textures_are_band_limited_and_repeat() -> None:
    texture = random_texture(generator(), slope=0.0).double()
    spectrum = torch.fft.fft2(texture - texture.mean(dim=(1, 2), keepdim=True)).abs()
    frequency = torch.fft.fftfreq(128)
    high = torch.hypot(frequency[:, None], frequency[None]) > 0.36
    clipped = bool(((texture == 0) | (texture == 1)).any())
    assert clipped or float(spectrum[:, high].max()) < 1e-3 * float(spectrum.max())


@given(st.integers(0, 30))
def test_occluding_sprites_show_their_textures_and_keep_to_the_speed(seed: int) -> None:
    colors = iter(range(1, 9))
    scene = occluding_scene(generator(seed), SIZE, 20.0, lambda: torch.full((3, 16, 16), next(colors) / 10))
    assert 2 <= len(scene) <= 5
    assert max(math.hypot(*layer.velocity) for layer in scene) <= 20
    shown = render(scene, [0.0], SIZE)
    assert shown.min() >= 0.1 - 1e-4
    assert shown.max() <= len(scene) / 10 + 1e-4


def test_mirrored_textures_have_no_seam() -> None:
    texture = mirrored(torch.arange(12.0).view(1, 3, 4))
    assert texture.shape == (1, 6, 8)
    assert torch.equal(texture[..., 0], texture[..., -1])
    assert torch.equal(texture[:, 0], texture[:, -1])
