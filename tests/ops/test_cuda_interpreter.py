"""The Triton kernels, forward and every gradient, against the reference in float64, in Triton's interpreter on the CPU.

The interpreter must be chosen before triton is imported, so a default run starts these tests in a process of their own.
It gets bfloat16 products wrong without a word: features here are float32 and float16.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.operator_cases import CASES, Case
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

pytest.importorskip("triton", reason="triton is not installed: pip install 'ls3d[test]'")

from ls3d.ops.backends import reference
from ls3d.ops.backends.triton import backend as cuda

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
interpreted = pytest.mark.skipif(not INTERPRETED, reason="runs in a process with TRITON_INTERPRET=1")


@pytest.mark.skipif(INTERPRETED, reason="starts the others")
def test_in_the_interpreter() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", __file__]
    run = subprocess.run(command, env={**environment, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert " passed" in run.stdout


class Problem:
    """A drawn case, with the gradient of its output; ``far`` scales the offsets, in pixels."""

    def __init__(
        self,
        case: Case,
        dtype: torch.dtype = torch.float32,
        far: float = 1.5,
        offset_dtype: torch.dtype | None = None,
        channels_last: bool = True,
    ) -> None:
        self.case = case
        tensors = case.draw(dtype=dtype, spread=far)
        if channels_last and tensors[0] is not None:
            tensors[0] = tensors[0].contiguous(memory_format=torch.channels_last_3d)
        sampling = [t if t is None else t.to(offset_dtype or dtype) for t in tensors[1:3]]
        self.tensors = [tensors[0], *sampling, *tensors[3:]]
        self.grad = torch.randn(case.geometry(self.tensors).out_shape).to(dtype)

    def run(self, backend: Any, wide: bool = False) -> list[Tensor | None]:
        """The output and the four gradients, in float64 with ``wide``."""
        tensors = [t.double() if wide and t is not None else t for t in (*self.tensors, self.grad)]
        geometry = self.case.geometry(self.tensors)
        output = backend.forward(*tensors[:5], geometry)
        return [output, *backend.backward(tensors[5], *tensors[:4], geometry, [True] * 4)]

    def check(self) -> None:
        """Ours against the reference: every element within the error of the dtype, on the scale of its tensor."""
        names = ("output", "grad_input", "grad_offset", "grad_mask", "grad_weight")
        tolerance = 8e-3 if self.grad.dtype == torch.float16 else 8e-6
        for name, ours, true in zip(names, self.run(cuda), self.run(reference, wide=True), strict=True):
            assert (ours is None) == (true is None), name
            if ours is None or true is None:
                continue
            assert ours.shape == true.shape, name
            error = (ours.double() - true).abs().max() / true.abs().max().clamp_min(1e-30)
            assert error < tolerance, f"{name}: {error:.2e}"


SMALL = Case(batch=1, out_channels=5, size=(1, 5, 6), kernel=(1, 2, 3), padding=(0, 1, 1))
SPECIAL = {
    "27 taps": lambda: Problem(replace(SMALL, size=(2, 4, 5), kernel=(3, 3, 3), padding=(1, 1, 1))),
    "many channels in words": lambda: Problem(replace(SMALL, channels=72, out_channels=40), torch.float16),
    "many channels in float32": lambda: Problem(replace(SMALL, channels=40, out_channels=20)),
    "odd channels in half precision": lambda: Problem(replace(SMALL, channels=5), torch.float16),
    "offsets in float32": lambda: Problem(SMALL, torch.float16, offset_dtype=torch.float32),
    "contiguous": lambda: Problem(replace(SMALL, batch=2), channels_last=False),
    "several tiles": lambda: Problem(replace(SMALL, size=(1, 9, 18)), far=3.0),
    "far offsets": lambda: Problem(replace(SMALL, size=(1, 9, 20), kernel=(1, 1, 2)), far=12.0),
    "one pixel": lambda: Problem(replace(SMALL, size=(1, 1, 1), kernel=(1, 3, 3)), far=0.5),
}


@interpreted
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_reference(case: str) -> None:
    """The CPU kernel's cases; with fewer taps where they have 27, as a program takes a millisecond here."""
    few = {"kernel": (2, 1, 3), "padding": (1, 0, 1), "size": (2, 4, 5)} if CASES[case].kernel == (3, 3, 3) else {}
    Problem(replace(CASES[case], batch=1, **few)).check()


@interpreted
@pytest.mark.parametrize("special", SPECIAL)
def test_agrees_where_the_kernels_take_another_way(special: str) -> None:
    SPECIAL[special]().check()


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Sizes of small calls of every kind."""
    groups, offset_groups = draw(st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 2), (2, 3), (3, 2)]))
    triple = st.tuples(*[st.integers(1, 3)] * 3)
    kernel = draw(triple.filter(lambda k: math.prod(k) <= 6))
    dilation = draw(st.tuples(*[st.integers(1, 2)] * 3))
    least = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    return Case(
        batch=draw(st.integers(1, 2)),
        channels=draw(st.integers(1, 3)),
        out_channels=draw(st.integers(1, 3)),
        size=(
            least[0] + draw(st.integers(0, 1)),
            least[1] + draw(st.integers(0, 4)),
            least[2] + draw(st.integers(0, 4)),
        ),
        kernel=kernel,
        stride=draw(triple),
        padding=draw(st.tuples(*[st.integers(0, 2)] * 3)),
        dilation=dilation,
        groups=groups,
        offset_groups=offset_groups,
        mask=draw(st.booleans()),
        bias=draw(st.booleans()),
    )


@interpreted
@settings(max_examples=int(os.environ.get("LS3D_FUZZ", "8")))
@given(
    cases(),
    st.sampled_from([torch.float32, torch.float16]),
    st.sampled_from([0.3, 2.0, 10.0]),
    st.booleans(),
)
def test_random_geometries_agree_with_the_reference(
    case: Case, dtype: torch.dtype, far: float, channels_last: bool
) -> None:
    Problem(case, dtype, far, channels_last=channels_last).check()


@interpreted
def test_an_empty_batch_gives_empty_tensors_and_a_zero_weight_gradient() -> None:
    problem = Problem(replace(SMALL, batch=0))
    output, grad_input, grad_offset, grad_mask, grad_weight = problem.run(cuda)
    assert output is not None
    assert output.shape == problem.grad.shape
    for grad, like in zip((grad_input, grad_offset, grad_mask), problem.tensors, strict=False):
        assert grad is not None
        assert like is not None
        assert grad.shape == like.shape
    assert grad_weight is not None
    assert not grad_weight.any()


POINTS = Case(batch=1, out_channels=5, size=(1, 4, 7), kernel=(1, 1, 1), padding=(0, 0, 0))


@interpreted
def test_borders_and_positions_that_are_no_numbers() -> None:
    """-1, H and beyond don't count; between -1 and 0 a position fades; NaN and infinity read nothing."""
    problem = Problem(POINTS)
    bias, rows = problem.tensors[4], torch.tensor([-1.0, -0.5, -1e30, math.nan, math.inf, 3.5, 4.0])
    assert problem.tensors[1] is not None
    problem.tensors[1][0, 0, 0] = rows - torch.arange(4.0)[:, None]
    problem.tensors[1][0, 1] = 0
    problem.check()
    output, grad_input, grad_offset, *_ = problem.run(cuda)
    assert output is not None
    assert grad_input is not None
    assert grad_offset is not None
    assert bias is not None
    assert grad_input.isfinite().all()
    for column in (0, 2, 3, 4, 6):
        assert torch.equal(output[0, :, 0, :, column], bias[:, None].expand(-1, 4))
        assert not grad_offset[..., column].any()


@interpreted
def test_infinite_features_stay_where_they_are() -> None:
    """A corner outside the frame is zero, not zero times its neighbor."""
    problem = Problem(replace(POINTS, mask=False))
    x, offset = problem.tensors[:2]
    assert x is not None
    assert offset is not None
    x[..., 0, 0] = math.inf
    offset.zero_()
    offset[..., 3, 6] = 100.0
    offset[:, :, :, 0, 0] = -0.5
    output = problem.run(cuda)[0]
    assert output is not None
    assert output[..., 3, 6].isfinite().all()
    assert output[..., 2, 2].isfinite().all()
    assert not output[..., 0, 0].isfinite().any()


@interpreted
def test_deterministic_gradients_are_exact_and_repeat() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        problem = Problem(replace(POINTS, size=(1, 4, 20), kernel=(1, 1, 2)), far=15.0)
        problem.check()
        for first, second in zip(problem.run(cuda), problem.run(cuda), strict=True):
            assert first is not None
            assert second is not None
            assert torch.equal(first, second)
    finally:
        torch.use_deterministic_algorithms(False)


@interpreted
def test_deterministic_gradients_of_infinity_are_not_finite() -> None:
    """A loss scaler must see an overflow in fixed point, too."""
    torch.use_deterministic_algorithms(True)
    try:
        problem = Problem(POINTS)
        problem.grad[0, 0, 0, 0, 0] = math.inf
        grad_input = problem.run(cuda)[1]
    finally:
        torch.use_deterministic_algorithms(False)
    assert grad_input is not None
    assert not grad_input.isfinite().all()


@interpreted
@pytest.mark.parametrize("channels_last", [True, False])
def test_passes_over_parts_of_the_batch_and_of_the_frames(channels_last: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "WORKSPACE", 400)
    case = Case(batch=2, size=(2, 4, 5), kernel=(2, 1, 1), padding=(1, 0, 0))
    Problem(case, far=9.0, channels_last=channels_last).check()


@interpreted
@pytest.mark.parametrize("asked", range(4))
def test_only_the_gradients_that_are_asked_for(asked: int) -> None:
    problem = Problem(POINTS)
    needs = [number == asked for number in range(4)]
    every = problem.run(cuda)[1:]
    geometry = POINTS.geometry(problem.tensors)
    found = cuda.backward(problem.grad, *problem.tensors[:4], geometry, needs)  # type: ignore[arg-type]
    assert [grad is not None for grad in found] == needs
    one, same = found[asked], every[asked]
    assert one is not None
    assert same is not None
    assert torch.allclose(one, same, atol=1e-6)


@interpreted
def test_any_strides_in_and_the_layout_kept() -> None:
    problem = Problem(SMALL)
    straight = problem.run(cuda)
    turned = [t if t is None else t.transpose(0, -1).contiguous().transpose(0, -1) for t in problem.tensors[1:]]
    problem.tensors = [problem.tensors[0], *turned]
    problem.grad = problem.grad.transpose(1, 3).contiguous().transpose(1, 3)
    for before, after in zip(straight, problem.run(cuda), strict=True):
        assert before is not None
        assert after is not None
        assert torch.allclose(before, after, atol=1e-5)
    assert straight[0] is not None
    assert straight[0].is_contiguous(memory_format=torch.channels_last_3d)


@interpreted
def test_rows_of_words_at_an_odd_address() -> None:
    """Half-precision features that don't start at a whole 32-bit word are read one by one."""
    problem = Problem(POINTS, torch.float16)
    straight, x = problem.run(cuda), problem.tensors[0]
    assert x is not None
    n, c, t, h, w = x.shape
    shifted = torch.empty(x.numel() + 1, dtype=torch.float16)[1:]
    problem.tensors[0] = shifted.view(n, t, h, w, c).permute(0, 4, 1, 2, 3).copy_(x)
    assert shifted.data_ptr() % 4 == 2
    for before, after in zip(straight, problem.run(cuda), strict=True):
        assert before is not None
        assert after is not None
        assert torch.equal(before, after)
