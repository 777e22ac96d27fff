"""The networks of the paper on videos, from their weights files: the output is what the networks compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.videos import Clip, decode
from torch import Tensor

from ls3d.enhance import EnhanceOptions, denoise, interpolate, upscale
from ls3d.models import EnhancementNetwork, create_model, load_enhancement_model, save_weights

LOSSLESS = EnhanceOptions(threads=1, codec="ffv1")
SMALL: dict[str, dict[str, Any]] = {
    "vsr_ls3d": {"width": 4, "num_blocks": 1},
    "vsr_p3d_ls3d": {"width": 4, "num_blocks": 1},
    "vdn_ls3d": {"width": 4},
    "vfi_ls3d": {"width": 4},
}


def clip(frames: int = 9, size: tuple[int, int] = (23, 30)) -> Clip:
    """Lossless packed RGB of an odd size, so that frames can be compared exactly."""
    return Clip(frames, size, "ffv1", "bgr0", options={})


def weights(name: str, folder: Path) -> Path:
    """A weights file of a network with slightly perturbed initial weights."""
    model = create_model(name, **SMALL[name])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return save_weights(model, folder / f"{name}.safetensors")


def pictures(path: Path) -> np.ndarray:
    """``(T, H, W, 3)`` uint8."""
    return np.stack([frame.to_ndarray(format="rgb24") for frame in decode(path)])


def rounded(frames: Tensor) -> np.ndarray:
    """``(3, T, H, W)`` in [0, 1] as ``pictures`` returns them."""
    return (frames.clamp(0, 1) * 255).round().permute(1, 2, 3, 0).numpy().astype(np.uint8)


@torch.inference_mode()
def restored(model: EnhancementNetwork, frames: np.ndarray, *arguments: Tensor) -> np.ndarray:
    """Each frame from its own window, the first and last frames repeated; odd sizes are padded with their edge."""
    clip = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 255
    height, width = clip.shape[-2:]
    multiple = model.traits.size_multiple
    scale = model.traits.scale
    before = model.traits.frames_before
    after = model.traits.frames_after
    padding = (0, -width % multiple, 0, -height % multiple, before, after)
    padded = F.pad(clip, padding, mode="replicate")
    windows = padded.unfold(2, before + 1 + after, 1).permute(0, 2, 1, 5, 3, 4)[0]
    made = torch.cat([model(window[None], *arguments)[:, :, before] for window in windows])
    return rounded(made.transpose(0, 1)[..., : scale * height, : scale * width])


def assert_same(first: np.ndarray, second: np.ndarray) -> None:
    """Equal, except for the rounding of values half-way between two integers."""
    assert first.shape == second.shape
    difference = np.abs(first.astype(int) - second.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("name", ["vsr_ls3d", "vsr_p3d_ls3d"])
def test_upscaled_frames_are_those_of_the_network(tmp_path: Path, name: str) -> None:
    source, file = clip().write(tmp_path / "in.mkv"), weights(name, tmp_path)
    report = upscale(source, tmp_path / "out.mkv", model=str(file), options=LOSSLESS)
    assert (report.frames_in, report.frames_out) == (9, 9)
    made = pictures(tmp_path / "out.mkv")
    assert made.shape == (9, 92, 120, 3)
    assert_same(made, restored(load_enhancement_model(file), pictures(source)))


def test_untrained_super_resolution_is_bicubic(tmp_path: Path) -> None:
    source = clip(3).write(tmp_path / "in.mkv")
    untrained = create_model("vsr_ls3d", **SMALL["vsr_ls3d"])
    assert isinstance(untrained, EnhancementNetwork)
    upscale(source, tmp_path / "net.mkv", model=untrained, options=LOSSLESS)
    upscale(source, tmp_path / "bicubic.mkv", model="bicubic", options=LOSSLESS)
    assert_same(pictures(tmp_path / "net.mkv"), pictures(tmp_path / "bicubic.mkv"))


@pytest.mark.parametrize("sigma", [5.0, 55.0])
def test_denoised_frames_are_those_of_the_network(tmp_path: Path, sigma: float) -> None:
    source, file = clip().write(tmp_path / "in.mkv"), weights("vdn_ls3d", tmp_path)
    denoise(source, tmp_path / "out.mkv", sigma=sigma, model=str(file), options=LOSSLESS)
    level = torch.tensor([sigma / 255])
    assert_same(pictures(tmp_path / "out.mkv"), restored(load_enhancement_model(file), pictures(source), level))


def test_the_noise_level_is_measured_unless_given(tmp_path: Path) -> None:
    source, file = clip(2).write(tmp_path / "in.mkv"), weights("vdn_ls3d", tmp_path)
    denoise(source, tmp_path / "out.mkv", model=str(file), options=LOSSLESS)
    assert pictures(tmp_path / "out.mkv").shape == (2, 23, 30, 3)


@pytest.mark.parametrize("factor", [2, 4, 8])
@torch.inference_mode()
def test_interpolated_frames_are_those_of_the_network(tmp_path: Path, factor: int) -> None:
    """Between the first two frames; at a factor of 8, every other new frame is made between two new ones."""
    source, file = clip(3).write(tmp_path / "in.mkv"), weights("vfi_ls3d", tmp_path)
    interpolate(source, tmp_path / "out.mkv", factor=factor, model=str(file), options=LOSSLESS)
    old, new = pictures(source), pictures(tmp_path / "out.mkv")
    assert new.shape == (3 * factor, 23, 30, 3)
    assert np.array_equal(new[::factor], old)
    pair = torch.from_numpy(old[:2]).permute(3, 0, 1, 2)[None].float() / 255
    model = load_enhancement_model(file)

    def quarters(pair: Tensor) -> Tensor:
        """The frames at 0, 1/4, 1/2, 3/4 and 1, the outer ones as they are given."""
        padded = F.pad(pair, (0, -30 % 4, 0, -23 % 4, 0, 0), mode="replicate")
        made = model(padded, (0.25, 0.5, 0.75))[..., :23, :30]
        return torch.cat([pair[:, :, :1], made, pair[:, :, 1:]], dim=2)

    grid = quarters(pair)
    step = max(1, 4 // factor)
    expected = [grid[0, :, index] for index in range(step, 4, step)]
    if factor == 8:
        between = [quarters(grid[:, :, index : index + 2])[0, :, 2] for index in range(4)]
        expected = [frame for index in range(4) for frame in (grid[0, :, index], between[index])][1:]
    assert_same(new[1:factor], rounded(torch.stack(expected, dim=1)))
