"""Super-resolution and denoising beyond the paper: shapes, initialization, use of the neighbors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.networks import create
from helpers.restoration_checks import perturb
from torch import Tensor, nn

from ls3d.models import create_model, list_models, load_model, model_info, save_weights
from ls3d.models.enhancement._alignment import mirror_repetitions, new_neighbors
from ls3d.models.enhancement.restoration_plus import RestorationNetPlus
from ls3d.nn.resize import imresize

NAMES = [name for kind in ("vsr", "vdn") for name in list_models(f"{kind}_ls3d_plus_*")]


def inputs_for(model: RestorationNetPlus, height: int = 24, width: int = 32) -> tuple[Tensor, ...]:
    frames = torch.rand(2, 3, 5, height, width)
    return (frames, torch.tensor([0.1, 0.2])) if model.traits.takes_sigma else (frames,)


def create_small(name: str) -> RestorationNetPlus:
    return create(RestorationNetPlus, name, width=8, blocks=1)


def bias_of(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def test_three_sizes_of_each() -> None:
    assert len(NAMES) == 6
    for kind in ("vsr", "vdn"):
        sizes = [sum(p.numel() for p in create_model(f"{kind}_ls3d_plus_{size}").parameters()) for size in "sml"]
        assert sizes == sorted(sizes)


@pytest.mark.parametrize("name", NAMES)
def test_five_frames_become_one(name: str) -> None:
    model = create_small(name)
    assert (model.traits.frames_before, model.traits.frames_after) == (2, 2)
    scale = model.traits.scale
    assert scale == (4 if model_info(name).task == "super-resolution" else 1)
    assert model(*inputs_for(model)).shape == (2, 3, 1, 24 * scale, 32 * scale)


def test_initialized_as_the_enlarged_or_unchanged_middle_frame() -> None:
    for name, scale in (("vsr_ls3d_plus_s", 4), ("vdn_ls3d_plus_s", 1)):
        model = create_small(name)
        inputs = inputs_for(model)
        middle = inputs[0][:, :, 2:3]
        torch.testing.assert_close(model(*inputs), imresize(middle, scale) if scale > 1 else middle)


@pytest.mark.parametrize("name", ["vsr_ls3d_plus_s", "vdn_ls3d_plus_s"])
@torch.no_grad()
def test_every_frame_and_the_noise_level_count(name: str) -> None:
    model = perturb(create_small(name))
    frames, *sigma = inputs_for(model)
    output = model(frames, *sigma)
    for index in range(5):
        changed = frames.clone()
        changed[:, :, index] += 0.1 * torch.rand_like(changed[:, :, index])
        assert not torch.allclose(model(changed, *sigma), output, atol=1e-5)
    if sigma:
        assert not torch.allclose(model(frames, 2 * sigma[0]), output, atol=1e-5)
        with pytest.raises(ValueError, match="sigma is None"):
            model(frames)


@torch.no_grad()
def test_pyramid_has_the_downsampled_neighbors_and_the_output() -> None:
    model = create_small("vdn_ls3d_plus_s")
    frames, sigma = inputs_for(model, 32, 32)
    *coarse, output = model.forward_pyramid(frames, sigma)
    torch.testing.assert_close(output, model(frames, sigma))
    for level, shrink in zip(coarse, (8, 4, 2), strict=True):
        small = torch.nn.functional.avg_pool3d(frames[:, :, [0, 1, 3, 4]], (1, shrink, shrink))
        torch.testing.assert_close(level, small)


@torch.no_grad()
def test_motion_moves_the_samples() -> None:
    """Shifted neighbors with the motion of the shift have the output of equal neighbors without motion."""
    model = perturb(create_small("vsr_ls3d_plus_s"))
    for layer in (model.coarse, model.fine, model.sampling):
        layer.weight.zero_()
    for layer in (model.coarse, model.fine):
        bias_of(layer).zero_()
    wide = torch.rand(1, 3, 1, 64, 96)
    middle, neighbor = wide[..., 16:80], wide[..., 12:76]
    static = model(middle.expand(-1, -1, 5, -1, -1))
    moving = torch.cat([neighbor, neighbor, middle, neighbor, neighbor], dim=2)
    inner = (..., slice(80, -80), slice(80, -80))
    assert not torch.allclose(model(moving)[inner], static[inner], atol=1e-3)
    bias_of(model.coarse)[1] = 1  # at a quarter of the size: 4 pixels to the right
    torch.testing.assert_close(model(moving)[inner], static[inner])


@pytest.mark.parametrize("name", ["vsr_ls3d_plus_s", "vdn_ls3d_plus_s"])
def test_a_few_steps_train_every_parameter(name: str) -> None:
    model = create_small(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    inputs = inputs_for(model, 16, 16)
    for _ in range(4):
        optimizer.zero_grad()
        *coarse, output = model.forward_pyramid(*inputs)
        loss = (output - 0.5).square().mean() + sum((level - 0.5).square().mean() for level in coarse)
        loss.backward()
        optimizer.step()
    assert not [key for key, value in model.state_dict().items() if torch.equal(value, before[key])]


@torch.no_grad()
def test_half_precision_keeps_motion_and_pixels_exact() -> None:
    model = create_small("vdn_ls3d_plus_s").eval()
    inputs = inputs_for(model)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(*inputs)
    torch.testing.assert_close(rounded.float(), model(*inputs))


@torch.no_grad()
def test_weights_round_trip(tmp_path: Path) -> None:
    model = perturb(create_small("vdn_ls3d_plus_m"))
    inputs = inputs_for(model)
    loaded = load_model(save_weights(model, tmp_path / "w.safetensors"))
    torch.testing.assert_close(loaded(*inputs), model(*inputs), rtol=0, atol=0)


@torch.no_grad()
def test_compiles_in_one_graph() -> None:
    model = perturb(create_small("vsr_ls3d_plus_s"))
    inputs = inputs_for(model)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(*inputs), model(*inputs))


def create_aligned(seed: int = 0) -> RestorationNetPlus:
    torch.manual_seed(seed)
    return perturb(create(RestorationNetPlus, "vdn_ls3d_plus_s", width=8, blocks=1, side=3, aligned=True))


def test_aligned_network_starts_between_the_middle_frame_and_the_aligned_mean() -> None:
    model = create(RestorationNetPlus, "vdn_ls3d_plus_s", width=8, blocks=1, side=3, aligned=True)
    assert (model.traits.frames_before, model.traits.frames_after) == (3, 3)
    frames, sigma = torch.rand(2, 3, 7, 24, 32), torch.tensor([0.1, 0.2])
    mean = load_model("aligned_mean")(frames, sigma)
    expected = frames[:, :, 3:4] + torch.tensor(-0.85).sigmoid() * (mean - frames[:, :, 3:4])
    torch.testing.assert_close(model(frames, sigma), expected)


@pytest.mark.parametrize("color", [(0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.1, 0.4, 0.1)])
@torch.no_grad()
def test_aligned_network_treats_the_border_of_a_flat_picture_as_its_inside(color: tuple[float, float, float]) -> None:
    model = create_aligned()
    clip = torch.tensor(color).view(1, 3, 1, 1, 1).expand(1, 3, 7, 32, 48)
    output = model(clip, torch.tensor([0.1]))
    torch.testing.assert_close(output, output[..., 16:18, 24:26].repeat(1, 1, 1, 16, 24), atol=1e-5, rtol=0)


@torch.no_grad()
def test_aligned_network_mirrors_repeated_frames() -> None:
    model = create_aligned()
    window = torch.rand(1, 3, 7, 24, 32)
    sigma = torch.tensor([0.1])
    start = window[:, :, [3, 3, 3, 3, 4, 5, 6]]
    features = model._prepare(start, sigma)[0]
    mirrored = model._prepare(window[:, :, [6, 5, 4, 3, 4, 5, 6]], sigma)[0]
    assert torch.equal(features, mirrored)
    still = window[:, :, [3] * 7]
    assert torch.equal(mirror_repetitions(still, new_neighbors(still, 3), 3), still)


@torch.no_grad()
def test_aligned_network_learns_through_the_operator() -> None:
    model = create_aligned()
    with torch.enable_grad():
        model(torch.rand(1, 3, 7, 24, 32), torch.tensor([0.1])).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_networks_without_alignment_have_the_parameters_of_the_bundled_weights(name: str) -> None:
    """Weights of version 0.1 load: alignment is an argument, and off where a weights file doesn't ask for it."""
    assert not {key for key in create_small(name).state_dict() if key.split(".")[0] in ("hint", "trust")}


@pytest.mark.parametrize("color", [(0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.08, 0.35, 0.08), (1.0, 1.0, 1.0)])
@torch.inference_mode()
def test_bundled_denoiser_keeps_flat_pictures_flat_to_their_border(color: tuple[float, float, float]) -> None:
    model = load_model("vdn")
    clip = torch.tensor(color).view(1, 3, 1, 1, 1).expand(1, 3, 7, 64, 96)
    for sigma in (0.0, 5.0, 25.0):
        output = model(clip, torch.tensor([sigma / 255]))
        assert (output - clip[:, :, 3:4]).abs().max() <= 3 / 255


@torch.inference_mode()
def test_bundled_denoiser_treats_the_ends_of_a_clip_as_its_middle() -> None:
    """Windows at the ends repeat the last frame; a static scene is cleaned there nearly as well."""
    generator = torch.Generator().manual_seed(3)
    scene = torch.nn.functional.interpolate(
        torch.rand(1, 3, 12, 16, generator=generator), scale_factor=8, mode="bicubic"
    )
    sigma = 25 / 255
    noisy = scene[:, :, None] + sigma * torch.randn(1, 3, 7, 96, 128, generator=generator)
    model = load_model("vdn")
    errors = []
    for window in ([0, 1, 2, 3, 4, 5, 6], [3, 3, 3, 3, 4, 5, 6]):
        output = model(noisy[:, :, window], torch.tensor([sigma]))[:, :, 0]
        errors.append(float((output - scene).square().mean().sqrt()))
    assert errors[0] < sigma / 3
    assert errors[1] < 1.35 * errors[0]
