"""The Triton kernels of ``bilateral_motion`` against the reference: in Triton's interpreter on the CPU, and on a GPU.

The interpreter must be selected before triton is imported, so these tests run in a process of their own, which
``test_in_the_interpreter`` starts. With a GPU: `pytest -m gpu -n 0 tests/ops/test_triton_motion.py`.
"""

from __future__ import annotations

import os

import pytest
import torch
from helpers.interpreter import INTERPRETED, interpreted, run_in_the_interpreter
from helpers.marks import slow_except
from helpers.motion_calls import random_call, shifted
from torch import Tensor

pytest.importorskip("triton", reason="triton is not installed: pip install 'ls3d[test]'")

from ls3d.ops import bilateral_motion, use_backend
from ls3d.ops._motion_plan import default_levels
from ls3d.ops.backends import reference_motion
from ls3d.ops.backends.triton import motion as triton


@pytest.fixture(autouse=True)
def fast_interpreter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large programs, for which the interpreter takes as long as for small ones, and a search for short motion."""
    if INTERPRETED:
        monkeypatch.setattr(triton, "BLOCK", 4096)
        if request.node.get_closest_marker("slow") is None:
            for module in (triton, reference_motion):
                monkeypatch.setattr(module, "search_radii", lambda levels: (2, *[1] * (levels - 1)))


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.cpu(), expected.cpu(), atol=1e-5, rtol=0)


@pytest.mark.skipif(INTERPRETED, reason="starts the others")
@pytest.mark.parametrize("marked", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_in_the_interpreter(marked: str) -> None:
    run_in_the_interpreter(__file__, marked)


@interpreted
@pytest.mark.parametrize("seed", slow_except(range(int(os.environ.get("LS3D_FUZZ", "8"))), [2, 3]))
def test_random_geometries_agree_with_the_reference(seed: int) -> None:
    call = random_call(seed, most_levels=3)
    assert_same(triton.bilateral_motion(*call), reference_motion.bilateral_motion(*call))


@interpreted
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8, 16))
def test_random_geometries_agree_with_the_whole_search(seed: int) -> None:
    call = random_call(seed, most_levels=4)
    assert_same(triton.bilateral_motion(*call), reference_motion.bilateral_motion(*call))


@interpreted
@pytest.mark.parametrize("size", [(1, 1), (2, 31), (19, 23)])
def test_odd_sizes_and_several_times(size: tuple[int, int]) -> None:
    first, second = shifted(*size, 1, -2)
    call = first, second, [0.25, 1.0], 2
    assert_same(triton.bilateral_motion(*call), reference_motion.bilateral_motion(*call))


@interpreted
def test_bands_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = shifted(25, 28, 3, 1)
    call = first, second, [0.4], 2
    whole = triton.bilateral_motion(*call)
    monkeypatch.setattr(triton, "WORKSPACE_BYTES", 30_000)
    assert torch.equal(triton.bilateral_motion(*call), whole)


@interpreted
def test_values_that_are_no_colors_give_finite_motion() -> None:
    first, second = (frame.clone() for frame in shifted(21, 25, 1, 2))
    first[..., 10:14, 20:23] = float("nan")
    second[..., 3, :] = float("inf")
    assert triton.bilateral_motion(first, second, [0.5], 2).isfinite().all()


@interpreted
def test_use_backend_runs_the_triton_kernels() -> None:
    first, second = shifted(16, 20, 1, 1)
    with use_backend("triton"):
        motion = bilateral_motion(first, second, [0.5], 2)
    assert torch.equal(motion, triton.bilateral_motion(first, second, [0.5], 2))


@pytest.mark.skipif(INTERPRETED, reason="the interpreter runs on any device")
def test_a_backend_that_can_not_run_is_explained() -> None:
    first, second = shifted(16, 20, 1, 1)
    with use_backend("triton"), pytest.raises(ValueError, match=r"backend 'triton' can't run .* not on cpu"):
        bilateral_motion(first, second, [0.5], 2)


def test_sizes_beyond_32_bits_are_refused() -> None:
    assert "32 bits" in str(triton.supports(torch.empty(1, 3, 2**15 + 2, 2**15, device="meta")))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("seed", range(40))
def test_the_gpu_finds_the_motion_of_the_reference(seed: int) -> None:
    first, second, times, levels = random_call(seed)
    found = bilateral_motion(first.cuda(), second.cuda(), times, levels)
    assert_same(found, reference_motion.bilateral_motion(first, second, times, levels))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("height", "width"), [(360, 640), (717, 1279), (2160, 3840)])
def test_the_gpu_agrees_with_the_cpu_on_videos_sizes(height: int, width: int) -> None:
    first, second = shifted(height, width, 6, -40)
    levels = default_levels(height, width)
    motion = bilateral_motion(first.cuda(), second.cuda(), [0.25, 0.5], levels)
    assert_same(motion, bilateral_motion(first, second, [0.25, 0.5], levels))
    inside = motion[:, 1, :, 40:-40, 40:-40].cpu() - torch.tensor([6.0, -40.0])[:, None, None]
    assert inside.norm(dim=1).mean() < 0.35
