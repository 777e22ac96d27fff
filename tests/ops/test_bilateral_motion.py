"""The operator ``bilateral_motion``: known motions, the compiled kernel against plain torch, and odd inputs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from helpers.motion_calls import random_call, shifted
from helpers.textures import random_texture
from torch import Tensor

from ls3d.ops import bilateral_motion, use_backend
from ls3d.ops.backends import reference_motion
from ls3d.ops.backends.cpu import library
from ls3d.ops.backends.cpu import motion as cpu_motion

OPERATOR = torch.ops.ls3d.bilateral_motion.default

needs_kernel = pytest.mark.skipif(
    cpu_motion.supports(torch.zeros(1, 3, 2, 2)) is not None, reason="there is no compiled kernel here"
)


def error(motion: Tensor, dy: float, dx: float, margin: int) -> float:
    """Mean distance from the true motion, in pixels, without a margin at half the size."""
    inside = motion[..., margin:-margin, margin:-margin]
    return float((inside - torch.tensor([dy, dx])[:, None, None]).norm(dim=-3).mean())


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (0, 4), (-6, 2), (3, -5), (12, 20), (-30, 17)])
@pytest.mark.parametrize("time", [0.0, 0.3, 0.5, 1.0])
def test_a_translation_is_found(dy: int, dx: int, time: float) -> None:
    first, second = shifted(128, 160, dy, dx)
    motion = bilateral_motion(first, second, [time])
    assert motion.shape == (1, 1, 2, 64, 80)
    assert error(motion[:, 0], dy, dx, 18) < 0.35


def test_frames_that_are_the_same_do_not_move() -> None:
    frame = random_texture(50, 70)
    assert bilateral_motion(frame, frame, [0.25, 0.5]).abs().max() < 0.5
    flat = torch.full((1, 3, 40, 40), 0.3)
    assert bilateral_motion(flat, flat, [0.5]).abs().max() == 0


@pytest.mark.parametrize(("gain", "bias"), [(1.0, 0.1), (1.1, 0.0), (0.85, -0.05)])
def test_a_change_in_brightness_changes_little(gain: float, bias: float) -> None:
    first, second = shifted(128, 160, 5, -8)
    assert error(bilateral_motion(first, second * gain + bias, [0.5])[:, 0], 5, -8, 12) < 0.3


def assert_kernel_is_the_reference(seed: int) -> None:
    call = random_call(seed)
    expected = reference_motion.bilateral_motion(*call)
    torch.testing.assert_close(cpu_motion.bilateral_motion(*call), expected, atol=1e-5, rtol=0)


@needs_kernel
@pytest.mark.parametrize("seed", range(8))
def test_the_kernel_finds_the_motion_of_the_reference(seed: int) -> None:
    assert_kernel_is_the_reference(seed)


@needs_kernel
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8, 220))
def test_the_kernel_finds_the_motion_of_the_reference_on_many_sizes(seed: int) -> None:
    assert_kernel_is_the_reference(seed)


@needs_kernel
def test_the_number_of_threads_changes_nothing() -> None:
    first, second = shifted(131, 77, 3, 9)
    threads = torch.get_num_threads()
    try:
        found = []
        for number in (1, 2, 3, 7):
            torch.set_num_threads(number)
            found.append(bilateral_motion(first, second, [0.5, 0.2]))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(motion, found[0]) for motion in found)


@needs_kernel
@pytest.mark.parametrize("isa", [isa for isa in ("portable", "avx2") if isa != library.instruction_set()])
def test_other_instruction_sets_agree(isa: str) -> None:
    program = (
        "import torch; from ls3d.ops import bilateral_motion;"
        "g = torch.Generator().manual_seed(5); a, b = torch.rand(2, 1, 3, 45, 61, generator=g);"
        "print(bilateral_motion(a, b * 0.5 + a * 0.5, [0.4]).double().square().sum().item())"
    )
    found = []
    for name in ("", isa):
        environment = os.environ | {"LS3D_ISA": name, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append(float(done.stdout))
    assert found[0] == found[1]


def test_the_reference_runs_on_request() -> None:
    first, second = shifted(24, 30, 1, 2)
    with use_backend("reference"):
        motion = bilateral_motion(first, second, [0.5], 2)
    assert torch.equal(motion, reference_motion.bilateral_motion(first, second, [0.5], 2))


def test_many_times_and_samples_are_each_alone() -> None:
    pairs = [shifted(40, 52, 2, 3), shifted(40, 52, -4, 1)]
    first, second = (torch.cat(frames) for frames in zip(*pairs, strict=True))
    times = [0.5, 0.125, 0.9]
    motion = bilateral_motion(first, second, times)
    for sample, pair in enumerate(pairs):
        for number, time in enumerate(times):
            assert torch.equal(motion[sample, number], bilateral_motion(*pair, [time])[0, 0])


def test_layout_and_dtype() -> None:
    first, second = shifted(42, 54, 2, -3)
    plain = bilateral_motion(first, second, [0.5])
    clip = torch.stack([first, second], dim=2)
    assert torch.equal(bilateral_motion(clip[:, :, 0], clip[:, :, 1], [0.5]), plain)
    last = [frame.contiguous(memory_format=torch.channels_last) for frame in (first, second)]
    assert torch.equal(bilateral_motion(last[0], last[1], [0.5]), plain)
    flipped = [frame.flip(-1).flip(-1) for frame in (first, second)]
    assert torch.equal(bilateral_motion(flipped[0], flipped[1], [0.5]), plain)
    assert torch.equal(bilateral_motion(first.double(), second.double(), [0.5]), plain)
    assert bilateral_motion(first.bfloat16(), second.bfloat16(), [0.5]).dtype == torch.float32


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e38])
def test_values_that_are_no_colors_give_finite_motion(value: float) -> None:
    first, second = (frame.clone() for frame in shifted(37, 45, 1, 2))
    first[..., 10:14, 20:23] = value
    second[..., 3, :] = value
    assert bilateral_motion(first, second, [0.5]).isfinite().all()


def test_nothing_to_do() -> None:
    frame = torch.rand(1, 3, 9, 7)
    assert bilateral_motion(frame, frame, []).shape == (1, 0, 2, 5, 4)
    assert bilateral_motion(frame[:0], frame[:0], [0.5]).shape == (0, 1, 2, 5, 4)


def test_no_gradient_flows_through() -> None:
    first, second = (frame.clone().requires_grad_() for frame in shifted(20, 24, 0, 1))
    assert not bilateral_motion(first, second, [0.5]).requires_grad


@pytest.mark.parametrize(
    ("first", "second", "times", "levels", "message"),
    [
        ((1, 3, 8, 8), (1, 3, 8, 9), [0.5], 4, "second"),
        ((1, 4, 8, 8), (1, 4, 8, 8), [0.5], 4, "first"),
        ((3, 8, 8), (3, 8, 8), [0.5], 4, "first"),
        ((1, 3, 0, 8), (1, 3, 0, 8), [0.5], 4, "first"),
        ((1, 3, 8, 8), (1, 3, 8, 8), [-0.1], 4, "times"),
        ((1, 3, 8, 8), (1, 3, 8, 8), [float("nan")], 4, "times"),
        ((1, 3, 8, 8), (1, 3, 8, 8), [0.5], 0, "levels"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    first: tuple[int, ...], second: tuple[int, ...], times: list[float], levels: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        bilateral_motion(torch.zeros(first), torch.zeros(second), times, levels)


def test_opcheck() -> None:
    first, second = shifted(21, 26, 1, 1)
    torch.library.opcheck(OPERATOR, (first, second, [0.5, 0.25], 3))


def test_compiled_as_one_graph() -> None:
    first, second = shifted(30, 34, 1, 1)

    def double(first: Tensor, second: Tensor) -> Tensor:
        return bilateral_motion(first, second, [0.5]) * 2

    compiled = torch.compile(double, fullgraph=True, backend="eager")
    assert torch.equal(compiled(first, second), double(first, second))


@pytest.mark.slow
@needs_kernel
def test_large_frames() -> None:
    first, second = shifted(2160, 3840, 6, -40)
    assert error(bilateral_motion(first, second, [0.5])[:, 0], 6, -40, 40) < 0.25
