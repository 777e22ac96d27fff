"""Tiles: the same result as without them, no seams, smaller ones when memory runs out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ls3d.errors import InputError
from ls3d.inference.memory import largest_tile, peak_bytes
from ls3d.inference.tiling import Tiler


def blur(frames: Tensor) -> Tensor:
    """A network with a receptive field of 17 x 17 and zero padding."""
    flat = frames.flatten(0, 2)[:, None]
    kernel = torch.full((1, 1, 17, 17), 1 / 289)
    return F.conv2d(flat, kernel, padding=8)[:, 0].reshape(frames.shape)


@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    tile=st.sampled_from([64, 96, 128]),
    multiple=st.sampled_from([1, 8, 32]),
    scale=st.sampled_from([1, 2]),
)
def test_tiles_do_not_change_pointwise_networks(height: int, width: int, tile: int, multiple: int, scale: int) -> None:
    frames = torch.rand(1, 3, 2, height, width)

    def double(part: Tensor) -> Tensor:
        assert part.shape[-1] % multiple == part.shape[-2] % multiple == 0
        assert max(part.shape[-2:]) <= max(tile, multiple)
        return part.repeat_interleave(scale, -1).repeat_interleave(scale, -2) * 2 - 1

    tiled = Tiler(multiple, scale, tile)(double, frames)
    whole = frames.repeat_interleave(scale, -1).repeat_interleave(scale, -2) * 2 - 1
    assert torch.allclose(tiled, whole, atol=1e-5)


@pytest.mark.parametrize("size", [(200, 333), (64, 500), (129, 65)])
def test_no_seams_within_a_quarter_of_the_overlap(size: tuple[int, int]) -> None:
    frames = torch.rand(1, 3, 2, *size)
    tiled = Tiler(tile=96, overlap=48)(blur, frames)
    assert torch.allclose(tiled, blur(frames), atol=1e-5)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError("there isn't enough memory for the workspace of ls3d_conv3d"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    ],
    ids=str,
)
def test_memory_running_out_halves_the_tiles(error: Exception) -> None:
    sides = []

    def small_memory(part: Tensor) -> Tensor:
        sides.append(max(part.shape[-2:]))
        if sides[-1] > 100:
            raise error
        return part

    frames = torch.rand(1, 3, 1, 150, 300)
    tiler = Tiler()
    assert torch.allclose(tiler(small_memory, frames), frames, atol=1e-6)
    assert sides[:3] == [300, 150, 75]
    assert tiler.tile == 75
    sides.clear()
    tiler(small_memory, frames)
    assert max(sides) == 75  # permanently


def test_no_memory_at_all_is_one_sentence() -> None:
    def no_memory(part: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(InputError, match="memory runs out"):
        Tiler()(no_memory, torch.rand(1, 3, 1, 128, 128))


def test_other_errors_are_raised() -> None:
    def broken(part: Tensor) -> Tensor:
        raise RuntimeError("shapes don't match")

    with pytest.raises(RuntimeError, match="shapes"):
        Tiler()(broken, torch.rand(1, 3, 1, 8, 8))


def test_peak_memory_is_measured() -> None:
    def three_copies(part: Tensor) -> Tensor:
        first = part + 1
        second = first + 1
        return first + second

    sample = torch.zeros(1, 3, 1, 100, 100)
    assert peak_bytes(three_copies, sample) == 4 * sample.numel() * 4
    assert largest_tile(three_copies, sample, 12 * 4 * 200 * 200) == 200


def test_peak_memory_forgets_what_is_freed() -> None:
    chain = nn.Sequential(*[nn.ReLU() for _ in range(20)])
    sample = torch.zeros(1, 3, 1, 100, 100)
    with torch.inference_mode():
        assert peak_bytes(chain, sample) <= 3 * sample.numel() * 4
