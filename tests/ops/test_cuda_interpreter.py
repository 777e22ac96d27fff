"""The Triton kernels, forward and every gradient, against the reference in float64, in Triton's interpreter on the CPU.

The interpreter must be chosen before triton is imported, so a default run starts these tests in a process of their own.
It gets bfloat16 products wrong without a word: features here are float32 and float16.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

pytest.importorskip("triton", reason="triton is not installed: pip install 'ls3d[gpu-test]'")

from ls3d.ops import cuda, reference  # noqa: E402
from ls3d.ops._geometry import Geometry  # noqa: E402

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
    """Random tensors for one call; ``far`` scales the offsets, in pixels."""

    def __init__(
        self,
        *,
        batch: int = 1,
        channels: int = 4,
        outputs: int = 5,
        size: tuple[int, int, int] = (2, 5, 6),
        kernel: tuple[int, int, int] = (3, 3, 3),
        stride: tuple[int, int, int] = (1, 1, 1),
        padding: tuple[int, int, int] = (1, 1, 1),
        dilation: tuple[int, int, int] = (1, 1, 1),
        groups: int = 1,
        offset_groups: int = 1,
        mask: bool = True,
        bias: bool = True,
        far: float = 1.5,
        dtype: torch.dtype = torch.float32,
        offset_dtype: torch.dtype | None = None,
        channels_last: bool = True,
    ) -> None:
        taps = math.prod(kernel)
        x = torch.randn(batch, channels, *size).to(dtype)
        weight = torch.randn(outputs, channels // groups, *kernel) / math.sqrt(channels // groups * taps)
        out = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
        ]
        offset = far * torch.randn(batch, 2 * taps * offset_groups, *out)
        self.x = x.contiguous(memory_format=torch.channels_last_3d) if channels_last else x
        self.offset = offset.to(offset_dtype or dtype)
        self.mask = torch.rand(batch, taps * offset_groups, *out).to(self.offset.dtype) if mask else None
        self.weight = weight.to(dtype)
        self.bias = torch.randn(outputs).to(dtype) if bias else None
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.grad = torch.randn(batch, outputs, *out).to(dtype)

    def geometry(self) -> Geometry:
        shapes = [None if t is None else t.shape for t in (self.x, self.offset, self.mask, self.weight, self.bias)]
        return Geometry.of(*shapes, self.stride, self.padding, self.dilation, self.groups)  # type: ignore[arg-type]

    def run(self, backend: Any, wide: bool = False) -> list[Tensor | None]:
        """The output and the four gradients, in float64 with ``wide``."""
        x, offset, mask, weight, bias, grad = (
            t.double() if wide and t is not None else t
            for t in (self.x, self.offset, self.mask, self.weight, self.bias, self.grad)
        )
        geometry = self.geometry()
        output = backend.forward(x, offset, mask, weight, bias, geometry)
        return [output, *backend.backward(grad, x, offset, mask, weight, geometry, [True] * 4)]

    def check(self) -> None:
        """Ours against the reference: every element within the error of the dtype, on the scale of its tensor."""
        names = ("output", "grad_input", "grad_offset", "grad_mask", "grad_weight")
        tolerance = 2e-3 if self.x.dtype == torch.float16 else 2e-6
        for name, ours, true in zip(names, self.run(cuda), self.run(reference, wide=True), strict=True):
            assert (ours is None) == (true is None), name
            if ours is None or true is None:
                continue
            assert ours.shape == true.shape, name
            if true.numel() == 0:
                continue
            error = (ours.double() - true).abs().max() / true.abs().max().clamp_min(1e-30)
            assert error < 4 * tolerance, f"{name}: {error:.2e}"


CASES = {
    "plain": Problem,
    "many channels, rows of words": lambda: Problem(channels=72, outputs=40, kernel=(1, 2, 2), dtype=torch.float16),
    "float32 of many channels": lambda: Problem(channels=40, outputs=20, kernel=(2, 1, 2)),
    "odd channels in half precision": lambda: Problem(channels=5, outputs=3, dtype=torch.float16, kernel=(1, 3, 3)),
    "offsets in float32": lambda: Problem(dtype=torch.float16, offset_dtype=torch.float32, kernel=(2, 2, 1)),
    "strides": lambda: Problem(size=(4, 7, 8), stride=(2, 2, 3), kernel=(2, 3, 2)),
    "dilation": lambda: Problem(size=(4, 5, 6), dilation=(2, 1, 2), kernel=(2, 1, 3)),
    "no padding": lambda: Problem(size=(3, 6, 7), padding=(0, 0, 0)),
    "much padding": lambda: Problem(size=(1, 3, 4), padding=(2, 3, 2), kernel=(2, 3, 2)),
    "groups": lambda: Problem(channels=6, outputs=4, groups=2, kernel=(1, 2, 3)),
    "offset groups": lambda: Problem(channels=6, offset_groups=3, kernel=(3, 1, 1)),
    "groups across offset groups": lambda: Problem(channels=12, outputs=6, groups=2, offset_groups=3, kernel=(1, 1, 2)),
    "no mask, no bias": lambda: Problem(mask=False, bias=False, kernel=(2, 2, 2)),
    "contiguous": lambda: Problem(batch=2, channels_last=False, kernel=(1, 3, 1)),
    "several tiles": lambda: Problem(size=(1, 9, 18), kernel=(1, 2, 1), far=3.0),
    "far offsets": lambda: Problem(size=(1, 9, 20), kernel=(1, 1, 2), padding=(0, 0, 1), far=12.0),
    "one pixel": lambda: Problem(size=(1, 1, 1), far=0.5),
    "zero offsets": lambda: Problem(far=0.0, kernel=(1, 3, 3)),
    "empty batch": lambda: Problem(batch=0),
}


@interpreted
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_reference(case: str) -> None:
    CASES[case]().check()


@st.composite
def problems(draw: st.DrawFn) -> dict[str, Any]:
    """Sizes of small calls of every kind."""
    groups, offset_groups = draw(st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 2), (2, 4), (3, 2)]))
    unit = math.lcm(groups, offset_groups)
    triple = st.tuples(*[st.integers(1, 3)] * 3)
    kernel = draw(triple.filter(lambda k: math.prod(k) <= 6))
    dilation = draw(st.tuples(*[st.integers(1, 2)] * 3))
    least = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    return {
        "batch": draw(st.integers(1, 2)),
        "channels": unit * draw(st.integers(1, 3)),
        "outputs": groups * draw(st.integers(1, 3)),
        "size": tuple(n + draw(st.integers(0, 3)) for n in least),
        "kernel": kernel,
        "stride": draw(st.tuples(*[st.integers(1, 3)] * 3)),
        "padding": draw(st.tuples(*[st.integers(0, 2)] * 3)),
        "dilation": dilation,
        "groups": groups,
        "offset_groups": offset_groups,
        "mask": draw(st.booleans()),
        "bias": draw(st.booleans()),
        "far": draw(st.sampled_from([0.3, 2.0, 10.0])),
        "dtype": draw(st.sampled_from([torch.float32, torch.float16])),
        "channels_last": draw(st.booleans()),
    }


@interpreted
@settings(max_examples=int(os.environ.get("LS3D_FUZZ", "8")))
@given(problems())
def test_random_geometries_agree_with_the_reference(sizes: dict[str, Any]) -> None:
    Problem(**sizes).check()


@interpreted
def test_borders_and_positions_that_are_no_numbers() -> None:
    """-1, H and beyond don't count; between -1 and 0 a position fades; NaN and infinity read nothing."""
    problem = Problem(size=(1, 4, 7), kernel=(1, 1, 1), padding=(0, 0, 0), far=0.0)
    row = torch.arange(4.0)
    columns = torch.tensor([-1.0, -0.5, -1e30, math.nan, math.inf, 3.5, 4.0])
    problem.offset[0, 0, 0] = columns - torch.where(columns.isfinite(), row[:, None], 0)
    problem.check()
    output, grad_input, grad_offset, *_ = problem.run(cuda)
    assert output is not None
    assert grad_input is not None
    assert grad_offset is not None
    assert problem.bias is not None
    assert grad_input.isfinite().all()
    for column in (0, 2, 3, 4, 6):
        assert torch.equal(output[0, :, 0, :, column], problem.bias[:, None].expand(-1, 4))
        assert not grad_offset[..., column].any()


@interpreted
def test_infinite_features_stay_where_they_are() -> None:
    """A corner outside the frame is zero, not zero times its neighbour."""
    problem = Problem(size=(1, 5, 5), kernel=(1, 1, 1), padding=(0, 0, 0), far=0.0, mask=False)
    problem.x[:, :, :, 0, 0] = math.inf
    problem.offset[:, :, :, 4, 4] = 100.0
    output = problem.run(cuda)[0]
    assert output is not None
    assert output[..., 4, 4].isfinite().all()
    assert output[..., 2, 2].isfinite().all()


@interpreted
def test_deterministic_gradients_are_exact_and_repeat() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        problem = Problem(size=(1, 4, 20), kernel=(1, 1, 2), padding=(0, 0, 0), far=15.0)
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
        problem = Problem(size=(1, 4, 4), kernel=(1, 1, 1), padding=(0, 0, 0))
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
    Problem(batch=2, size=(2, 4, 5), kernel=(2, 1, 1), far=9.0, channels_last=channels_last).check()


@interpreted
@pytest.mark.parametrize("asked", range(4))
def test_only_the_gradients_that_are_asked_for(asked: int) -> None:
    problem = Problem(kernel=(1, 2, 2))
    needs = [number == asked for number in range(4)]
    geometry = problem.geometry()
    every = problem.run(cuda)[1:]
    found = cuda.backward(problem.grad, problem.x, problem.offset, problem.mask, problem.weight, geometry, needs)
    assert [grad is not None for grad in found] == needs
    one, same = found[asked], every[asked]
    assert one is not None
    assert same is not None
    assert torch.allclose(one, same, atol=1e-6)


@interpreted
def test_any_strides_in_and_the_layout_kept() -> None:
    problem = Problem(channels=6, kernel=(1, 2, 2))
    straight = problem.run(cuda)
    problem.offset = problem.offset.permute(4, 3, 2, 1, 0).contiguous().permute(4, 3, 2, 1, 0)
    assert problem.mask is not None
    problem.mask = problem.mask.contiguous(memory_format=torch.channels_last_3d)
    problem.grad = problem.grad.permute(2, 1, 0, 4, 3).contiguous().permute(2, 1, 0, 4, 3)
    problem.weight = problem.weight.transpose(0, 1).contiguous().transpose(0, 1)
    for before, after in zip(straight, problem.run(cuda), strict=True):
        assert before is not None
        assert after is not None
        assert torch.allclose(before, after, atol=1e-6)
    assert straight[0] is not None
    assert straight[0].is_contiguous(memory_format=torch.channels_last_3d)


@interpreted
def test_rows_of_words_at_an_odd_address() -> None:
    """Half-precision features that don't start at a whole 32-bit word are read one by one."""
    problem = Problem(channels=4, dtype=torch.float16, kernel=(1, 2, 2))
    shifted = torch.empty(problem.x.numel() + 1, dtype=torch.float16)[1:]
    n, c, t, h, w = problem.x.shape
    view = shifted.view(n, t, h, w, c).permute(0, 4, 1, 2, 3).copy_(problem.x)
    straight = problem.run(cuda)
    problem.x = view
    assert problem.x.data_ptr() % 4 == 2
    for before, after in zip(straight, problem.run(cuda), strict=True):
        assert before is not None
        assert after is not None
        assert torch.equal(before, after)
