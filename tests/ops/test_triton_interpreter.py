"""The Triton kernels, forward and all gradients, against the reference in float64, in Triton's interpreter on the CPU.

The interpreter must be selected before triton is imported, so these tests run in a process of their own, which
``test_in_the_interpreter`` starts. Its products of bfloat16 are wrong, so features are float32 and float16 here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import pytest
import torch
from helpers.interpreter import INTERPRETED, interpreted, run_in_the_interpreter
from helpers.marks import slow_except
from helpers.operator_cases import CASES, Case, Results, assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

pytest.importorskip("triton", reason="triton is not installed: pip install 'ls3d[test]'")

from ls3d.ops import ls3d_conv3d, use_backend
from ls3d.ops._geometry import Interpolation
from ls3d.ops.backends import reference
from ls3d.ops.backends.choose import Backend
from ls3d.ops.backends.triton import backend as triton


@pytest.mark.skipif(INTERPRETED, reason="starts the others")
@pytest.mark.parametrize("marked", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_in_the_interpreter(marked: str) -> None:
    run_in_the_interpreter(__file__, marked)


class RandomCall:
    """A case with random tensors; offsets have about ``spread`` pixels."""

    def __init__(
        self,
        case: Case,
        dtype: torch.dtype = torch.float32,
        spread: float = 1.5,
        offset_dtype: torch.dtype | None = None,
        channels_last: bool = True,
    ) -> None:
        self.case = case
        tensors = case.draw(dtype=dtype, spread=spread)
        offset = tensors.offset.to(offset_dtype or dtype)
        mask = None if tensors.mask is None else tensors.mask.to(offset_dtype or dtype)
        self.tensors = tensors._replace(offset=offset, mask=mask)
        if channels_last:
            self.tensors = self.tensors.channels_last()
        self.grad = torch.randn(case.call(self.tensors).geometry.out_shape).to(dtype)

    def results(self, backend: Backend = triton, wide: bool = False) -> Results:
        """The output and the four gradients, computed from float64 tensors with ``wide``."""
        tensors, grad = (self.tensors.to(torch.float64), self.grad.double()) if wide else (self.tensors, self.grad)
        call = self.case.call(tensors)
        return [backend.forward(call), *backend.backward(call, grad, [True] * 4)]

    def check(self) -> None:
        """Compare with the reference."""
        tolerance = 8e-3 if self.grad.dtype == torch.float16 else 8e-6
        assert_close(self.results(), self.results(reference, wide=True), tolerance)


def without_none(results: Results) -> list[Tensor]:
    """All results, none of which may be None."""
    found = [result for result in results if result is not None]
    assert len(found) == len(results)
    return found


SMALL = Case(batch=1, out_channels=5, size=(1, 5, 6), kernel=(1, 2, 3), padding=(0, 1, 1))
BICUBIC = replace(SMALL, interpolation="bicubic")
SPECIAL = {
    "27 taps": lambda: RandomCall(replace(SMALL, size=(2, 4, 5), kernel=(3, 3, 3), padding=(1, 1, 1))),
    "many channels in pairs": lambda: RandomCall(replace(SMALL, channels=72, out_channels=40), torch.float16),
    "many channels in float32": lambda: RandomCall(replace(SMALL, channels=40, out_channels=20)),
    "odd channels in half precision": lambda: RandomCall(replace(SMALL, channels=5), torch.float16),
    "offsets in float32": lambda: RandomCall(SMALL, torch.float16, offset_dtype=torch.float32),
    "contiguous": lambda: RandomCall(replace(SMALL, batch=2), channels_last=False),
    "several tiles": lambda: RandomCall(replace(SMALL, size=(1, 9, 18)), spread=3.0),
    "long offsets": lambda: RandomCall(replace(SMALL, size=(1, 9, 20), kernel=(1, 1, 2)), spread=12.0),
    "bicubic": lambda: RandomCall(replace(BICUBIC, size=(1, 9, 18)), spread=3.0),
    "bicubic in pairs": lambda: RandomCall(replace(BICUBIC, channels=40, out_channels=20), torch.float16),
    "bicubic with long offsets": lambda: RandomCall(replace(BICUBIC, size=(1, 9, 20), kernel=(1, 1, 2)), spread=12.0),
    "one pixel": lambda: RandomCall(replace(SMALL, size=(1, 1, 1), kernel=(1, 3, 3)), spread=0.5),
}


QUICK = ("usual", "uneven", "one tap", "one frame", "bicubic uneven")


@interpreted
@pytest.mark.parametrize("name", slow_except(CASES, QUICK))
def test_agrees_with_the_reference(name: str) -> None:
    """The CPU kernel's cases, but with fewer taps than 27 and few groups: each program takes a millisecond or more."""
    case = CASES[name]
    if case.kernel == (3, 3, 3):
        case = replace(case, kernel=(2, 1, 3), padding=(1, 0, 1), size=(2, 4, 5))
    if case.depthwise:
        case = replace(case, channels=min(case.channels, 2))
    RandomCall(replace(case, batch=1)).check()


QUICK_SPECIAL = ("many channels in pairs", "odd channels in half precision", "offsets in float32", "one pixel")


@interpreted
@pytest.mark.parametrize("special", slow_except(SPECIAL, QUICK_SPECIAL))
def test_agrees_in_special_cases_of_the_kernels(special: str) -> None:
    SPECIAL[special]().check()


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Sizes of small calls."""
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
        interpolation=draw(st.sampled_from(["bilinear", "bicubic"])),
    )


@interpreted
@pytest.mark.slow
@settings(max_examples=int(os.environ.get("LS3D_FUZZ", "8")))
@given(
    cases(),
    st.sampled_from([torch.float32, torch.float16]),
    st.sampled_from([0.3, 2.0, 10.0]),
    st.booleans(),
)
def test_random_geometries_agree_with_the_reference(
    case: Case, dtype: torch.dtype, spread: float, channels_last: bool
) -> None:
    RandomCall(case, dtype, spread, channels_last=channels_last).check()


@interpreted
def test_an_empty_batch_gives_empty_tensors_and_a_zero_weight_gradient() -> None:
    random_call = RandomCall(replace(SMALL, batch=0))
    output, *grads, grad_weight = without_none(random_call.results())
    assert output.shape == random_call.grad.shape
    for grad, tensor in zip(grads, random_call.tensors[:3], strict=True):
        assert tensor is not None
        assert grad.shape == tensor.shape
    assert not grad_weight.any()


POINTS = Case(batch=1, out_channels=5, size=(1, 4, 7), kernel=(1, 1, 1), padding=(0, 0, 0))


@interpreted
def test_positions_at_borders_and_positions_that_are_not_finite() -> None:
    """Positions up to -1 and from H on sample zero, as do NaN and infinity; between -1 and 0 one row has a weight."""
    random_call = RandomCall(POINTS)
    rows = torch.tensor([-1.0, -0.5, -1e30, math.nan, math.inf, 3.5, 4.0])
    random_call.tensors.offset[0, 0, 0] = rows - torch.arange(4.0)[:, None]
    random_call.tensors.offset[0, 1] = 0
    random_call.check()
    output, grad_input, grad_offset, *_ = without_none(random_call.results())
    bias = random_call.tensors.bias
    assert bias is not None
    assert grad_input.isfinite().all()
    for column in (0, 2, 3, 4, 6):
        assert torch.equal(output[0, :, 0, :, column], bias[:, None].expand(-1, 4))
        assert not grad_offset[..., column].any()


@interpreted
def test_infinite_features_affect_only_samples_of_them() -> None:
    """A corner outside the frame is zero, not zero times its neighbor."""
    random_call = RandomCall(replace(POINTS, mask=False))
    input, offset = random_call.tensors[:2]
    input[..., 0, 0] = math.inf
    offset.zero_()
    offset[..., 3, 6] = 100.0
    offset[:, :, :, 0, 0] = -0.5
    output = random_call.results()[0]
    assert output is not None
    assert output[..., 3, 6].isfinite().all()
    assert output[..., 2, 2].isfinite().all()
    assert not output[..., 0, 0].isfinite().any()


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@interpreted
@pytest.mark.parametrize("interpolation", slow_except(get_args(Interpolation), ["bilinear"]))
def test_deterministic_gradients_are_exact_and_repeat(deterministic: None, interpolation: Interpolation) -> None:
    case = replace(POINTS, size=(1, 4, 20), kernel=(1, 1, 2), interpolation=interpolation)
    random_call = RandomCall(case, spread=15.0)
    random_call.check()
    first, second = (without_none(random_call.results()) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@interpreted
def test_deterministic_gradients_of_infinity_are_not_finite(deterministic: None) -> None:
    """A loss scaler must see an overflow in fixed point, too."""
    random_call = RandomCall(POINTS)
    random_call.grad[0, 0, 0, 0, 0] = math.inf
    grad_input = random_call.results()[1]
    assert grad_input is not None
    assert not grad_input.isfinite().all()


@interpreted
@pytest.mark.parametrize("channels_last", [True, False])
def test_parts_of_the_batch_and_of_the_frames(channels_last: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "WORKSPACE_BYTES", 400)
    case = Case(batch=2, size=(2, 4, 5), kernel=(2, 1, 1), padding=(1, 0, 0))
    RandomCall(case, spread=9.0, channels_last=channels_last).check()


@interpreted
@pytest.mark.parametrize("needed", range(4))
def test_each_gradient_alone_is_the_same(needed: int) -> None:
    random_call = RandomCall(POINTS)
    needs = [number == needed for number in range(4)]
    together = random_call.results()[1:]
    alone = triton.backward(POINTS.call(random_call.tensors), random_call.grad, needs)
    assert [grad is not None for grad in alone] == needs
    torch.testing.assert_close(alone[needed], together[needed], atol=1e-6, rtol=1e-5)


@interpreted
def test_any_strides_are_supported_and_the_memory_format_is_kept() -> None:
    random_call = RandomCall(SMALL)
    expected = without_none(random_call.results())
    permuted = random_call.tensors.map(lambda t: t.transpose(0, -1).contiguous().transpose(0, -1))
    random_call.tensors = permuted._replace(input=random_call.tensors.input)
    random_call.grad = random_call.grad.transpose(1, 3).contiguous().transpose(1, 3)
    for ours, theirs in zip(without_none(random_call.results()), expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    assert expected[0].is_contiguous(memory_format=torch.channels_last_3d)


@interpreted
def test_features_at_an_address_that_is_no_multiple_of_four_bytes() -> None:
    """They are read one by one instead of in pairs."""
    random_call = RandomCall(POINTS, torch.float16)
    expected, input = without_none(random_call.results()), random_call.tensors.input
    n, c, t, h, w = input.shape
    shifted = torch.empty(input.numel() + 1, dtype=torch.float16)[1:]
    assert shifted.data_ptr() % 4 == 2
    input = shifted.view(n, t, h, w, c).permute(0, 4, 1, 2, 3).copy_(input)
    random_call.tensors = random_call.tensors._replace(input=input)
    assert all(torch.equal(a, b) for a, b in zip(without_none(random_call.results()), expected, strict=True))


@interpreted
def test_use_backend_runs_the_triton_kernels() -> None:
    tensors = SMALL.draw(dtype=torch.float32).requiring_gradients()
    with use_backend("triton"):
        output = ls3d_conv3d(*tensors, *SMALL.sizes)
    assert torch.equal(output, triton.forward(SMALL.call(tensors)))
    grads = torch.autograd.grad(output.sum(), tensors[:2])
    expected = triton.backward(SMALL.call(tensors), torch.ones_like(output), (True, True, False, False))
    assert all(b is not None and torch.equal(a, b) for a, b in zip(grads, expected[:2], strict=True))
