"""The reference and the CPU kernel against the formula in loops, and against each other."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from helpers import operator_loops as loops
from helpers.operator_cases import CASES, Arguments, Case, Results, assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from ls3d.ops._geometry import Interpolation
from ls3d.ops.backends import reference
from ls3d.ops.backends.choose import Backend
from ls3d.ops.backends.cpu import backend as cpu
from ls3d.ops.backends.cpu import library

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
backends = pytest.mark.parametrize("backend", [reference, cpu], ids=["reference", "cpu"])

interpolations = pytest.mark.parametrize("interpolation", get_args(Interpolation))

ALL = (True, True, True, True)


def forward_and_backward(backend: Backend, case: Case, tensors: Arguments, needs: Sequence[bool] = ALL) -> Results:
    call = case.call(tensors)
    output = backend.forward(call)
    grad = torch.randn(output.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return [output, *backend.backward(call, grad.to(output.dtype), needs)]


def test_the_kernel_is_built_where_there_is_a_compiler() -> None:
    if shutil.which("g++") is None:
        pytest.skip("there is no compiler")
    assert library.load()[1] is None


@every_case
def test_forward_is_the_formula(case: Case) -> None:
    tensors = case.draw()
    mask, bias = (None if tensor is None else tensor.numpy() for tensor in (tensors.mask, tensors.bias))
    input, offset, weight = (tensor.numpy() for tensor in (tensors.input, tensors.offset, tensors.weight))
    expected = loops.conv3d(input, offset, mask, weight, bias, *case.options)
    for backend in (reference, cpu):
        np.testing.assert_allclose(backend.forward(case.call(tensors)), expected, rtol=1e-9, atol=1e-9)


@every_case
def test_reference_backward_is_autograd_of_its_forward(case: Case) -> None:
    tensors = case.draw().requiring_gradients()
    call = case.call(tensors)
    output = reference.forward(call)
    grad = torch.randn_like(output)
    expected = torch.autograd.grad(output, [t for t in tensors[:4] if t is not None], grad)
    with torch.no_grad():
        found = reference.backward(call, grad, ALL)
    assert_close([output, *(g for g in found if g is not None)], [output, *expected], 1e-12)


@every_case
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 2e-5), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)],
    ids=["float64", "float32", "bfloat16", "float16"],
)
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
def test_kernel_agrees_with_reference(case: Case, dtype: torch.dtype, tolerance: float, last: bool) -> None:
    tensors = case.draw(dtype=dtype)
    if last:
        offset = tensors.offset.to(memory_format=torch.channels_last_3d)
        tensors = tensors.channels_last()._replace(offset=offset)
    needs = (True, True, case.mask, True)
    assert_close(
        forward_and_backward(cpu, case, tensors, needs),
        forward_and_backward(reference, case, tensors, needs),
        tolerance,
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33, 48, 64, 100, 260, 300])
@interpolations
def test_kernel_agrees_at_every_remainder_of_channels(channels: int, interpolation: Interpolation) -> None:
    case = Case(
        batch=1,
        channels=channels,
        out_channels=301 - channels,
        size=(2, 5, 7),
        kernel=(2, 2, 2),
        interpolation=interpolation,
    )
    tensors = case.draw(channels)
    assert_close(forward_and_backward(cpu, case, tensors), forward_and_backward(reference, case, tensors), 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("size", "groups", "offset_groups"),
    [(2, 8, 1), (2, 64, 1), (2, 144, 1), (4, 4, 1), (4, 8, 2), (4, 80, 1), (4, 6, 1), (8, 2, 1), (8, 34, 1), (8, 3, 1)],
)
def test_groups_whose_outputs_share_a_vector(
    size: int, groups: int, offset_groups: int, interpolation: Interpolation, dtype: torch.dtype
) -> None:
    """With the remainders of rows that an image of 35 positions has, and with more channels than a product has."""
    case = Case(
        batch=1,
        channels=size // offset_groups,
        out_channels=size,
        size=(2, 5, 7),
        kernel=(2, 3, 2),
        groups=groups,
        offset_groups=offset_groups,
        interpolation=interpolation,
    )
    tensors = case.draw(size + groups, dtype=torch.float64)
    exact = forward_and_backward(reference, case, tensors)
    found = forward_and_backward(cpu, case, tensors.to(dtype))
    assert_close(found, exact, 1e-12 if dtype == torch.float64 else 1e-4)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4), (torch.bfloat16, 2e-2)]
)
@pytest.mark.parametrize("channels", [3, 20, 71])
@pytest.mark.parametrize("outputs", range(1, 6))
def test_few_output_channels(outputs: int, channels: int, dtype: torch.dtype, tolerance: float) -> None:
    """With products that a vector doesn't divide, and with more columns than a product has."""
    case = Case(batch=1, channels=channels, out_channels=outputs, size=(2, 5, 7), kernel=(2, 3, 2))
    tensors = case.draw(channels + outputs, dtype=torch.float64)
    exact = forward_and_backward(reference, case, tensors.to(dtype).to(torch.float64))
    assert_close(forward_and_backward(cpu, case, tensors.to(dtype)), exact, tolerance)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4), (torch.bfloat16, 2e-2)]
)
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("channels", range(1, 10))
def test_few_input_channels(channels: int, last: bool, dtype: torch.dtype, tolerance: float) -> None:
    """With more taps than are sampled at a time, tiles that divide rows, and frames outside the clip."""
    case = Case(
        batch=2,
        channels=channels,
        out_channels=16 if last else 5,
        size=(3, 9, 31),
        kernel=(3, 9, 9),
        stride=(2, 1, 1),
        padding=(2, 4, 4),
        mask=channels != 3,
    )
    tensors = case.draw(channels, dtype=torch.float64, spread=3.0)
    tensors = tensors.channels_last() if last else tensors
    exact = reference.forward(case.call(tensors.to(dtype).to(torch.float64)))
    assert_close([cpu.forward(case.call(tensors.to(dtype)))], [exact], tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", [(2, 16, 20), (2, 15, 17)], ids=["whole vectors", "remainder"])
def test_one_input_channel(size: tuple[int, int, int], bias: bool, dtype: torch.dtype, tolerance: float) -> None:
    """With more outputs than a panel has, more taps than a product has, and a frame without taps in the clip."""
    case = Case(batch=2, channels=1, out_channels=37, size=size, kernel=(2, 11, 11), padding=(2, 5, 5), bias=bias)
    tensors = case.draw(dtype=torch.float64, spread=3.0)
    exact = reference.forward(case.call(tensors))
    assert_close([cpu.forward(case.call(tensors.to(dtype)))], [exact], tolerance)


STRIDED: dict[str, Callable[[Tensor], Tensor]] = {
    "every other column": lambda tensor: tensor.repeat_interleave(2, dim=4)[..., ::2],
    "part of each row": lambda tensor: F.pad(tensor, (1, 2))[..., 1:-2],
    "channels last": lambda tensor: tensor.contiguous(memory_format=torch.channels_last_3d),
    "columns before rows": lambda tensor: tensor.transpose(3, 4).contiguous().transpose(3, 4),
    "one row for all": lambda tensor: tensor[:, :, :, :1].expand_as(tensor),
    "one number for all": lambda tensor: tensor[..., :1, :1].expand_as(tensor),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [3, 20])
@pytest.mark.parametrize("width", [5, 40])
@pytest.mark.parametrize("stride", STRIDED.values(), ids=STRIDED)
def test_strides_of_offset_and_mask_change_nothing(
    stride: Callable[[Tensor], Tensor], width: int, channels: int, dtype: torch.dtype
) -> None:
    """With tiles of several rows and with tiles that end within one."""
    case = Case(batch=2, channels=channels, out_channels=6, size=(3, 21, width), kernel=(3, 3, 3), padding=(1, 1, 1))
    tensors = case.draw(dtype=dtype)
    assert tensors.mask is not None
    strided = tensors._replace(offset=stride(tensors.offset), mask=stride(tensors.mask))
    assert strided.mask is not None
    assert not strided.offset.is_contiguous()
    adjacent = tensors._replace(offset=strided.offset.contiguous(), mask=strided.mask.contiguous())
    expected = forward_and_backward(cpu, case, adjacent)
    found = forward_and_backward(cpu, case, strided)
    assert all(a is not None and b is not None and torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
@pytest.mark.parametrize("outputs", [15, 16, 35])
def test_rows_longer_than_a_vector(outputs: int, dtype: torch.dtype, tolerance: float) -> None:
    case = Case(batch=2, channels=18, out_channels=outputs, size=(2, 3, 37), kernel=(1, 3, 3), padding=(0, 1, 1))
    tensors = case.draw(outputs, dtype=torch.float64)
    exact = forward_and_backward(reference, case, tensors)
    assert_close(forward_and_backward(cpu, case, tensors.to(dtype)), exact, tolerance)


@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 3), st.integers(1, 20), st.integers(1, 40)),
    first=st.integers(0, 2),
    wide=st.booleans(),
    back=st.booleans(),
)
@settings(deadline=None)
def test_layouts_are_changed(sizes: tuple[int, ...], first: int, wide: bool, back: bool) -> None:
    """Of some frames of a tensor, as slabs are."""
    dtype = torch.float64 if wide else torch.float32
    source = torch.randn(sizes, dtype=dtype)
    target = torch.full(sizes, 7, dtype=dtype).contiguous(memory_format=torch.channels_last_3d)
    if back:
        source, target = source.contiguous(memory_format=torch.channels_last_3d), target.contiguous()
    expected = target.clone()
    expected[:, :, first:] = source[:, :, first:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "_LARGE", 1)
        cpu._copy(source[:, :, first:], target[:, :, first:])
    assert torch.equal(target, expected)


@pytest.mark.parametrize("needed", range(4))
@backends
def test_each_gradient_alone_is_the_same(backend: Backend, needed: int) -> None:
    case = CASES["groups"]
    tensors = case.draw()
    alone = forward_and_backward(backend, case, tensors, tuple(k == needed for k in range(4)))[1:]
    together = forward_and_backward(backend, case, tensors)[1:]
    assert [grad is not None for grad in alone] == [k == needed for k in range(4)]
    torch.testing.assert_close(alone[needed], together[needed])


@contextlib.contextmanager
def threads_of_torch(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# Each way in which the kernel schedules the backward pass: slices of channels, parts of frames, whole frames.
SCHEDULES = {
    "one frame": Case(batch=1, channels=70, out_channels=9, size=(1, 17, 19), kernel=(1, 3, 3), padding=(0, 1, 1)),
    "few frames": Case(batch=1, channels=17, out_channels=9, size=(3, 17, 19), kernel=(3, 3, 3)),
    "many frames": Case(batch=5, channels=6, out_channels=5, size=(4, 5, 6), kernel=(3, 1, 2), padding=(1, 0, 0)),
    "many weights": Case(batch=1, channels=256, out_channels=300, size=(2, 3, 3), kernel=(3, 3, 3)),
    "bicubic": Case(batch=1, channels=17, out_channels=9, size=(3, 17, 19), interpolation="bicubic"),
    "depthwise": Case(batch=1, channels=35, offset_groups=2, size=(1, 17, 19), depthwise=True),
    "depthwise, many frames": Case(batch=5, channels=9, size=(4, 5, 6), depthwise=True),
    "frames that no tap reads": Case(
        batch=1, channels=4, out_channels=3, size=(7, 9, 11), kernel=(1, 3, 3), stride=(3, 1, 1)
    ),
}


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("case", SCHEDULES.values(), ids=SCHEDULES)
def test_any_number_of_threads_agrees(case: Case, threads: int) -> None:
    tensors = case.draw()
    with threads_of_torch(threads):
        found = forward_and_backward(cpu, case, tensors)
    assert_close(found, forward_and_backward(reference, case, tensors), 1e-12)


@pytest.mark.parametrize("threads", [1, 2, 3])
@interpolations
def test_every_run_gives_the_same_bits(threads: int, interpolation: Interpolation) -> None:
    case = Case(batch=1, channels=32, out_channels=32, size=(3, 33, 31), interpolation=interpolation)
    tensors = case.draw(dtype=torch.float32)
    with threads_of_torch(threads):
        first = forward_and_backward(cpu, case, tensors)
        for _ in range(10):
            again = forward_and_backward(cpu, case, tensors)
            assert all(a is not None and b is not None and torch.equal(a, b) for a, b in zip(first, again, strict=True))


@every_case
@pytest.mark.parametrize("budget", [1, 3000, 20000])
def test_slabs_change_nothing(case: Case, budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = case.draw()
    needs = (True, True, case.mask, True)
    whole = forward_and_backward(cpu, case, tensors, needs)
    monkeypatch.setattr(cpu, "_SLAB_BYTES", budget)
    assert_close(forward_and_backward(cpu, case, tensors, needs), whole, 1e-12)
    narrow = tensors.to(torch.bfloat16)
    assert_close(
        forward_and_backward(cpu, case, narrow, needs), forward_and_backward(reference, case, narrow, needs), 2e-2
    )


@pytest.mark.parametrize("isa", [isa for isa in ("portable", "avx2", "avx512") if isa != library.instruction_set()])
def test_other_instruction_sets_agree(isa: str) -> None:
    program = (
        "from ls3d.ops import diagnosis;"
        "failed = [check for check in diagnosis.self_test(0) if not check.passed];"
        "print(diagnosis.cpu_kernel()[0], failed); raise SystemExit(len(failed))"
    )
    environment = os.environ | {"LS3D_ISA": isa, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[0] in (isa, "portable")


@backends
@pytest.mark.parametrize(
    "case",
    [Case(), Case(groups=2, stride=(1, 2, 1), dilation=(1, 2, 2)), Case(interpolation="bicubic")],
    ids=["plain", "grouped", "bicubic"],
)
def test_zero_offsets_and_unit_mask_are_a_plain_convolution(backend: Backend, case: Case) -> None:
    tensors = case.draw()
    assert tensors.mask is not None
    tensors = tensors._replace(offset=torch.zeros_like(tensors.offset), mask=torch.ones_like(tensors.mask))
    expected = F.conv3d(tensors.input, tensors.weight, tensors.bias, *case.sizes)
    torch.testing.assert_close(backend.forward(case.call(tensors)), expected)


EDGES = [-1.0, -1 + 1e-9, -0.5, -1e-12, 0.0, 0.25, 3.0, 4.0, 4.5, 5.0 - 1e-9, 5.0, 5.5, 1e6, -1e6, 1e30, -1e300]


@backends
@pytest.mark.parametrize("y", EDGES)
def test_samples_around_the_border_follow_the_rule(backend: Backend, y: float) -> None:
    frame = np.random.default_rng(0).normal(size=(5, 6))
    for x in (0.0, -0.75, 5.25, 2.5):
        input = torch.from_numpy(frame)[None, None, None]
        offset = torch.tensor([y, x], dtype=torch.float64).view(1, 2, 1, 1, 1).expand(1, 2, 1, 5, 6).clone()
        offset[:, 0] -= torch.arange(5).view(5, 1)
        offset[:, 1] -= torch.arange(6)
        tensors = Arguments(input, offset, None, torch.ones(1, 1, 1, 1, 1, dtype=torch.float64), None)
        found = backend.forward(Case(kernel=(1, 1, 1), padding=(0, 0, 0)).call(tensors))
        rows = [float(i + dy) for i, dy in enumerate(offset[0, 0, 0, :, 0])]
        columns = [float(j + dx) for j, dx in enumerate(offset[0, 1, 0, 0])]
        expected = [[loops.bilinear(frame, row, column) for column in columns] for row in rows]
        np.testing.assert_allclose(found[0, 0, 0], expected, rtol=0, atol=1e-12)


@backends
@pytest.mark.parametrize("place", [(-1.0, 1.0), (3.0, 1.0), (1.0, -1.0), (1.0, 4.0)])
def test_a_sample_one_pixel_outside_has_no_gradient(backend: Backend, place: tuple[float, float]) -> None:
    """As in MMCV's operator; torchvision's has the derivative from the inside there."""
    input = torch.ones(1, 1, 1, 3, 4, dtype=torch.float64)
    offset = torch.full((1, 2, 1, 3, 4), 0.5, dtype=torch.float64)
    offset[0, :, 0, 0, 0] = torch.tensor(place)
    tensors = Arguments(input, offset, torch.ones(1, 1, 1, 3, 4).double(), torch.ones(1, 1, 1, 1, 1).double(), None)
    call = Case(kernel=(1, 1, 1), padding=(0, 0, 0)).call(tensors)
    _, grad_offset, grad_mask, _ = backend.backward(call, torch.ones(1, 1, 1, 3, 4).double(), ALL)
    assert grad_offset is not None
    assert grad_mask is not None
    assert grad_offset[0, :, 0, 0, 0].tolist() == [0, 0]
    assert grad_mask[0, 0, 0, 0, 0] == 0


def bicubic_samples(tensors: Arguments) -> Tensor:
    """``grid_sample`` at the positions of a call with a kernel of one tap."""
    *_, height, width = tensors.input.shape
    rows = torch.arange(height).view(-1, 1) + tensors.offset[:, 0, 0]
    columns = torch.arange(width) + tensors.offset[:, 1, 0]
    grid = torch.stack((columns * 2 / (width - 1) - 1, rows * 2 / (height - 1) - 1), dim=-1)
    options: Any = {"mode": "bicubic", "padding_mode": "zeros", "align_corners": True}
    return F.grid_sample(tensors.input[:, :, 0], grid, **options).unsqueeze(2)


@backends
@pytest.mark.parametrize("spread", [0.4, 3.0, 12.0])
def test_bicubic_samples_and_their_gradients_are_those_of_grid_sample(backend: Backend, spread: float) -> None:
    case = Case(
        batch=2,
        channels=20,
        out_channels=20,
        size=(1, 9, 7),
        kernel=(1, 1, 1),
        padding=(0, 0, 0),
        interpolation="bicubic",
    )
    drawn = case.draw(spread=spread)
    identity = torch.eye(20, dtype=torch.float64).view(20, 20, 1, 1, 1)
    tensors = drawn._replace(mask=None, bias=None, weight=identity).requiring_gradients()
    expected = bicubic_samples(tensors)
    grad = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected_gradients = torch.autograd.grad(expected, [tensors.input, tensors.offset], grad)
    call = case.call(tensors.map(Tensor.detach))
    found = [backend.forward(call), *backend.backward(call, grad, (True, True, False, False))[:2]]
    assert_close(found, [expected.detach(), *expected_gradients], 1e-11)


@backends
@pytest.mark.parametrize("y", [-3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 1.25, 3.5, 4.0, 4.5, 5.0, 5.75, 6.0, 7.0])
def test_bicubic_samples_around_the_border_are_those_of_grid_sample(backend: Backend, y: float) -> None:
    offset = torch.tensor([y, -0.25], dtype=torch.float64).view(1, 2, 1, 1, 1).repeat(1, 1, 1, 5, 6)
    offset[:, 0] -= torch.arange(5).view(5, 1)
    input = torch.randn(1, 1, 1, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tensors = Arguments(input, offset, None, torch.ones(1, 1, 1, 1, 1, dtype=torch.float64), None)
    case = Case(kernel=(1, 1, 1), padding=(0, 0, 0), interpolation="bicubic")
    torch.testing.assert_close(backend.forward(case.call(tensors)), bicubic_samples(tensors), rtol=0, atol=1e-12)


@backends
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e38, -1e38])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@interpolations
def test_offsets_that_are_not_finite_or_huge_sample_zero(
    backend: Backend, value: float, dtype: torch.dtype, interpolation: Interpolation
) -> None:
    case = Case(interpolation=interpolation)
    tensors = case.draw(dtype=dtype)
    selected = torch.rand(tensors.offset.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    outside = tensors._replace(offset=tensors.offset.masked_fill(selected, -1e4))
    tensors = tensors._replace(offset=tensors.offset.masked_fill(selected, value))
    found, expected = forward_and_backward(backend, case, tensors), forward_and_backward(backend, case, outside)
    for a, b in zip(found, expected, strict=True):
        assert a is not None
        assert b is not None
        assert torch.equal(a, b)
        assert a.isfinite().all()


@backends
@pytest.mark.parametrize("channels", [1, 2, 3, 8, 16])
def test_a_nan_pixel_affects_only_samples_of_it(backend: Backend, channels: int) -> None:
    case = Case(batch=1, channels=channels, kernel=(1, 1, 1), padding=(0, 0, 0), size=(1, 6, 6), mask=False, bias=False)
    tensors = case.draw()
    tensors.input[..., 0, 0] = float("nan")
    tensors.offset.fill_(-50.0)
    output = backend.forward(case.call(tensors))
    assert torch.equal(output, torch.zeros_like(output))


@backends
def test_half_precision_features_are_sampled_exactly_beyond_pixel_512(backend: Backend) -> None:
    width = 1600
    ramp = torch.zeros(1, 1, 1, 1, width)
    ramp[..., 1500], ramp[..., 1501] = 0.0, 1.0
    offset = torch.zeros(1, 2, 1, 1, width)
    offset[:, 1] = 0.25
    tensors = Arguments(ramp.half(), offset.half(), None, torch.ones(1, 1, 1, 1, 1).half(), None)
    output = backend.forward(Case(kernel=(1, 1, 1), padding=(0, 0, 0)).call(tensors))
    assert output[..., 1500].item() == 0.25


@backends
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_offset_and_mask_may_be_float32_with_half_precision_features(backend: Backend, dtype: torch.dtype) -> None:
    case = Case()
    tensors = case.draw(dtype=torch.float32)
    narrow = tensors.to(dtype)._replace(offset=tensors.offset, mask=tensors.mask)
    found = forward_and_backward(backend, case, narrow)
    assert [t.dtype for t in found if t is not None] == [dtype, dtype, torch.float32, torch.float32, dtype]
    assert_close(found, forward_and_backward(reference, case, narrow.to(torch.float64)), 2e-2)


@pytest.mark.parametrize("name", ["input", "offset"])
def test_addresses_beyond_32_bits(name: str) -> None:
    case = Case(batch=1, channels=8, out_channels=4, size=(2, 5, 6), kernel=(2, 3, 3), padding=(1, 1, 1), bias=False)
    tensors = case.draw(dtype=torch.float32)
    distance = 2**31 + 4096
    try:
        memory = torch.empty(distance + 2**20)  # used at both ends only, so most of it is never allocated
    except RuntimeError:
        pytest.skip("8 GiB of address space aren't available")
    expected = forward_and_backward(cpu, case, tensors)
    tensor = tensors.input if name == "input" else tensors.offset
    _, channels, _, height, width = tensor.shape
    if name == "input":
        view = memory.as_strided(tensor.shape, (distance, 1, distance, width * channels, channels))
        tensors = tensors._replace(input=view.copy_(tensor))
    else:
        frame = distance // (tensor.shape[2] - 1)
        view = memory.as_strided(tensor.shape, (distance, height * width, frame, width, 1))
        tensors = tensors._replace(offset=view.copy_(tensor))
    assert_close(forward_and_backward(cpu, case, tensors), expected, 1e-5)


def geometries() -> st.SearchStrategy[Case]:
    def triples(low: int, high: int) -> st.SearchStrategy[tuple[int, int, int]]:
        return st.tuples(*[st.integers(low, high)] * 3)

    return st.builds(
        Case,
        batch=st.sampled_from([0, 1, 2, 3]),
        channels=st.sampled_from([1, 2, 3, 4, 7, 16, 19, 33]),
        out_channels=st.sampled_from([1, 2, 3, 5, 16, 18, 34]),
        size=st.tuples(st.integers(1, 4), st.integers(1, 11), st.integers(1, 18)),
        kernel=triples(1, 3),
        stride=triples(1, 3),
        padding=triples(0, 2),
        dilation=triples(1, 2),
        groups=st.sampled_from([1, 1, 1, 2, 3]),
        offset_groups=st.sampled_from([1, 1, 1, 2, 3]),
        mask=st.booleans(),
        bias=st.booleans(),
        interpolation=st.sampled_from(["bilinear", "bicubic"]),
        depthwise=st.sampled_from([False, False, True]),
    ).filter(
        lambda c: all(
            n + 2 * p >= d * (k - 1) + 1 for n, k, p, d in zip(c.size, c.kernel, c.padding, c.dilation, strict=True)
        )
    )


def compare(case: Case, seed: int, spread: float, last: bool) -> None:
    tensors = case.draw(seed, spread=spread)
    if last:
        tensors = tensors.channels_last()
    needs = (True, True, case.mask, True)
    assert_close(
        forward_and_backward(cpu, case, tensors, needs), forward_and_backward(reference, case, tensors, needs), 1e-11
    )


random_calls = given(
    case=geometries(),
    seed=st.integers(0, 2**31),
    spread=st.sampled_from([0.0, 0.5, 3.0, 30.0]),
    last=st.booleans(),
)


@settings(max_examples=120, deadline=None)
@random_calls
def test_random_geometries_agree(case: Case, seed: int, spread: float, last: bool) -> None:
    compare(case, seed, spread, last)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@random_calls
def test_two_thousand_random_geometries_agree(case: Case, seed: int, spread: float, last: bool) -> None:
    compare(case, seed, spread, last)


@settings(max_examples=120, deadline=None)
@random_calls
def test_random_geometries_agree_in_bfloat16(case: Case, seed: int, spread: float, last: bool) -> None:
    compare_bfloat16(case, seed, spread, last)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@random_calls
def test_two_thousand_random_geometries_agree_in_bfloat16(case: Case, seed: int, spread: float, last: bool) -> None:
    compare_bfloat16(case, seed, spread, last)


def compare_bfloat16(case: Case, seed: int, spread: float, last: bool) -> None:
    """The forward pass rounds samples at most once, and the sum once. Bicubic coefficients would need other bounds."""
    case = replace(case, interpolation="bilinear")
    tensors = case.draw(seed, spread=spread).to(torch.bfloat16)
    if last:
        tensors = tensors.channels_last()
    found = cpu.forward(case.call(tensors))
    assert found.dtype == torch.bfloat16
    exact = reference.forward(case.call(tensors.to(torch.float64)))
    magnitudes = tensors.to(torch.float64).map(torch.Tensor.abs)._replace(offset=tensors.offset.double())
    # Every sample, product and sum is within 2^-8 of its magnitude; float32 sums add little.
    bound = 2.1 * 2**-8 * reference.forward(case.call(magnitudes)) + 1e-6
    assert ((found.double() - exact).abs() <= bound).all()


@pytest.mark.parametrize("channels", [2, 5, 16, 64, 258])
@pytest.mark.parametrize("groups", [1, 3])
@interpolations
def test_bfloat16_errs_at_most_twice_as_much_as_a_convolution(
    channels: int, groups: int, interpolation: Interpolation
) -> None:
    case = Case(channels=channels, out_channels=40, size=(3, 9, 12), groups=groups, interpolation=interpolation)
    tensors = case.draw(dtype=torch.float32).to(torch.bfloat16)
    wide = tensors.to(torch.float64)
    exact = reference.forward(case.call(wide))
    ours = (cpu.forward(case.call(tensors)) - exact).norm() / exact.norm()
    exact = F.conv3d(wide.input, wide.weight, wide.bias, *case.sizes)
    theirs = (F.conv3d(tensors.input, tensors.weight, tensors.bias, *case.sizes) - exact).norm() / exact.norm()
    assert ours <= 2 * theirs


def test_a_prime_batch_and_an_empty_one() -> None:
    for batch in (0, 37):
        case = Case(batch=batch, size=(1, 3, 4))
        tensors = case.draw()
        found = forward_and_backward(cpu, case, tensors)
        assert found[0] is not None
        assert found[0].shape[0] == batch
        assert_close(found, forward_and_backward(reference, case, tensors), 1e-12)
