"""Every backend of this machine against the formula in loops, and against each other."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from helpers import operator_loops as loops
from helpers.operator_cases import CASES, Case
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from ls3d.ops.backends import reference
from ls3d.ops.backends.cpu import backend as cpu
from ls3d.ops.backends.cpu import library as _kernel

BACKENDS = [reference, cpu]
names = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
backends = pytest.mark.parametrize("backend", BACKENDS, ids=["reference", "cpu"])

ALL = (True, True, True, True)


def both_ways(backend: ModuleType, case: Case, tensors: list[Tensor | None], needs=ALL) -> list[Tensor | None]:
    geometry = case.geometry(tensors)
    output = backend.forward(*tensors, geometry)
    grad = torch.randn(output.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return [output, *backend.backward(grad.to(output.dtype), *tensors[:4], geometry, needs)]


def assert_same(ours: list[Tensor | None], truth: list[Tensor | None], tolerance: float) -> None:
    for a, b in zip(ours, truth, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None and b.numel():
            scale = max(b.double().abs().max().item(), 1e-30)
            error = (a.double() - b.double()).abs().max().item() / scale
            assert error <= tolerance, (tuple(a.shape), error)


def test_the_kernel_is_built_where_there_is_a_compiler() -> None:
    if shutil.which("g++") is None:
        pytest.skip("no compiler here")
    assert _kernel.load() == (_kernel.load()[0], None)


@names
@backends
def test_forward_is_the_formula(backend: ModuleType, case: Case) -> None:
    tensors = case.draw()
    arrays = [None if tensor is None else tensor.numpy() for tensor in tensors]
    expected = loops.conv3d(*arrays, *case.sizes)
    np.testing.assert_allclose(backend.forward(*tensors, case.geometry(tensors)), expected, rtol=1e-9, atol=1e-9)


@names
def test_reference_backward_is_autograd_of_its_forward(case: Case) -> None:
    tensors = [None if t is None else t.requires_grad_() for t in case.draw()]
    geometry = case.geometry(tensors)
    output = reference.forward(*tensors, geometry)
    grad = torch.randn_like(output)
    expected = torch.autograd.grad(output, [t for t in tensors[:4] if t is not None], grad)
    needs = tuple(t is not None for t in tensors[:4])
    with torch.no_grad():
        found = reference.backward(grad, *tensors[:4], geometry, needs)
    assert_same([g for g in found if g is not None], list(expected), 1e-12)


@names
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 2e-5), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)],
    ids=["float64", "float32", "bfloat16", "float16"],
)
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
def test_kernel_agrees_with_reference(case: Case, dtype: torch.dtype, tolerance: float, last: bool) -> None:
    tensors = case.draw(dtype=dtype)
    if last:
        tensors[0] = tensors[0].to(memory_format=torch.channels_last_3d)
        tensors[1] = tensors[1].to(memory_format=torch.channels_last_3d)
    needs = (True, True, case.mask, True)
    assert_same(both_ways(cpu, case, tensors, needs), both_ways(reference, case, tensors, needs), tolerance)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33, 48, 64, 100, 260, 300])
def test_kernel_agrees_at_every_remainder_of_channels(channels: int) -> None:
    case = Case(batch=1, channels=channels, out_channels=301 - channels, size=(2, 5, 7), kernel=(2, 2, 2))
    tensors = case.draw(channels)
    assert_same(both_ways(cpu, case, tensors), both_ways(reference, case, tensors), 1e-12)


@pytest.mark.parametrize("needed", range(4))
@backends
def test_each_gradient_alone_is_the_same(backend: ModuleType, needed: int) -> None:
    case = CASES["groups"]
    tensors = case.draw()
    alone = both_ways(backend, case, tensors, tuple(k == needed for k in range(4)))[1:]
    together = both_ways(backend, case, tensors)[1:]
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


# Each way in which the kernel can share the backward pass out: channels of few frames, parts of some, many whole ones.
SHARED = {
    "one frame": Case(batch=1, channels=70, out_channels=9, size=(1, 17, 19), kernel=(1, 3, 3), padding=(0, 1, 1)),
    "few frames": Case(batch=1, channels=17, out_channels=9, size=(3, 17, 19), kernel=(3, 3, 3)),
    "many frames": Case(batch=5, channels=6, out_channels=5, size=(4, 5, 6), kernel=(3, 1, 2), padding=(1, 0, 0)),
    "many weights": Case(batch=1, channels=256, out_channels=300, size=(2, 3, 3), kernel=(3, 3, 3)),
    "frames nobody reads": Case(
        batch=1, channels=4, out_channels=3, size=(7, 9, 11), kernel=(1, 3, 3), stride=(3, 1, 1)
    ),
}


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("case", SHARED.values(), ids=SHARED)
def test_any_number_of_threads_agrees(case: Case, threads: int) -> None:
    tensors = case.draw()
    with threads_of_torch(threads):
        found = both_ways(cpu, case, tensors)
    assert_same(found, both_ways(reference, case, tensors), 1e-12)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_run_gives_the_same_bits(threads: int) -> None:
    case = Case(batch=1, channels=32, out_channels=32, size=(3, 33, 31))
    tensors = case.draw(dtype=torch.float32)
    with threads_of_torch(threads):
        first = both_ways(cpu, case, tensors)
        for _ in range(10):
            again = both_ways(cpu, case, tensors)
            assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@names
@pytest.mark.parametrize("budget", [1, 3000, 20000])
def test_slabs_change_nothing(case: Case, budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = case.draw()
    needs = (True, True, case.mask, True)
    whole = both_ways(cpu, case, tensors, needs)
    monkeypatch.setattr(cpu, "_SLAB_BYTES", budget)
    assert_same(both_ways(cpu, case, tensors, needs), whole, 1e-12)
    narrow = [None if t is None else t.bfloat16() for t in tensors]
    assert_same(both_ways(cpu, case, narrow, needs), both_ways(reference, case, narrow, needs), 2e-2)


@pytest.mark.parametrize("isa", ["portable", "avx2"])
def test_other_instruction_sets_agree(isa: str) -> None:
    program = (
        "from ls3d.ops import diagnosis, _kernel;"
        "bad = [c for c in diagnosis.self_test(0) if not c.passed];"
        "print(_kernel.instruction_set(), bad); raise SystemExit(len(bad))"
    )
    environment = os.environ | {"LS3D_ISA": isa, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[0] in (isa, "portable")


@backends
@pytest.mark.parametrize(
    "case", [Case(), Case(groups=2, stride=(1, 2, 1), dilation=(1, 2, 2))], ids=["plain", "grouped"]
)
def test_zero_offsets_and_unit_mask_are_a_plain_convolution(backend: ModuleType, case: Case) -> None:
    input, offset, mask, weight, bias = case.draw()
    tensors = [input, torch.zeros_like(offset), torch.ones_like(mask), weight, bias]
    expected = F.conv3d(input, weight, bias, *case.sizes)
    torch.testing.assert_close(backend.forward(*tensors, case.geometry(tensors)), expected)


EDGES = [-1.0, -1 + 1e-9, -0.5, -1e-12, 0.0, 0.25, 3.0, 4.0, 4.5, 5.0 - 1e-9, 5.0, 5.5, 1e6, -1e6, 1e30, -1e300]


@backends
@pytest.mark.parametrize("y", EDGES)
def test_samples_around_the_border_follow_the_rule(backend: ModuleType, y: float) -> None:
    frame = np.random.default_rng(0).normal(size=(5, 6))
    for x in (0.0, -0.75, 5.25, 2.5):
        input = torch.from_numpy(frame)[None, None, None]
        offset = torch.tensor([y, x], dtype=torch.float64).view(1, 2, 1, 1, 1).expand(1, 2, 1, 5, 6).clone()
        offset[:, 0] -= torch.arange(5).view(5, 1)
        offset[:, 1] -= torch.arange(6)
        tensors = [input, offset, None, torch.ones(1, 1, 1, 1, 1, dtype=torch.float64), None]
        case = Case(kernel=(1, 1, 1), padding=(0, 0, 0))
        found = backend.forward(*tensors, case.geometry(tensors))
        landed = [[float(i + o) for i, o in zip(range(5), offset[0, 0, 0, :, 0], strict=True)]]
        expected = [
            [loops.bilinear(frame, row, float(j + offset[0, 1, 0, 0, j])) for j in range(6)] for row in landed[0]
        ]
        np.testing.assert_allclose(found[0, 0, 0], expected, rtol=0, atol=1e-12)


@backends
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e38, -1e38])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_offsets_that_are_no_place_sample_zero(backend: ModuleType, value: float, dtype: torch.dtype) -> None:
    case = Case()
    tensors = case.draw(dtype=dtype)
    lost = torch.rand(tensors[1].shape, generator=torch.Generator().manual_seed(1)) < 0.3
    far = [tensors[0], tensors[1].masked_fill(lost, -1e4), *tensors[2:]]
    tensors[1] = tensors[1].masked_fill(lost, value)
    found, expected = both_ways(backend, case, tensors), both_ways(backend, case, far)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)
        assert a.isfinite().all()


@backends
def test_a_bad_pixel_reaches_only_who_samples_it(backend: ModuleType) -> None:
    case = Case(batch=1, channels=16, kernel=(1, 1, 1), padding=(0, 0, 0), size=(1, 6, 6), mask=False, bias=False)
    tensors = case.draw()
    tensors[0][..., 0, 0] = float("nan")
    tensors[1].fill_(-50.0)
    output = backend.forward(*tensors, case.geometry(tensors))
    assert torch.equal(output, torch.zeros_like(output))


@backends
def test_half_precision_keeps_the_place_beyond_pixel_512(backend: ModuleType) -> None:
    width = 1600
    ramp = torch.zeros(1, 1, 1, 1, width)
    ramp[..., 1500], ramp[..., 1501] = 0.0, 1.0
    offset = torch.zeros(1, 2, 1, 1, width)
    offset[:, 1] = 0.25
    tensors = [ramp.half(), offset.half(), None, torch.ones(1, 1, 1, 1, 1).half(), None]
    case = Case(kernel=(1, 1, 1), padding=(0, 0, 0))
    assert backend.forward(*tensors, case.geometry(tensors))[..., 1500].item() == 0.25


@backends
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_float32_sampling_goes_with_narrow_features(backend: ModuleType, dtype: torch.dtype) -> None:
    case = Case()
    tensors = case.draw(dtype=torch.float32)
    narrow = [tensors[0].to(dtype), tensors[1], tensors[2], tensors[3].to(dtype), tensors[4].to(dtype)]
    found = both_ways(backend, case, narrow)
    assert [t.dtype for t in found] == [dtype, dtype, torch.float32, torch.float32, dtype]
    wide = both_ways(reference, case, [t.double() for t in narrow])
    assert_same(found, wide, 2e-2)


@pytest.mark.parametrize("which", ["input", "offset"])
def test_addresses_beyond_32_bits(which: str) -> None:
    case = Case(batch=1, channels=8, out_channels=4, size=(2, 5, 6), kernel=(2, 3, 3), padding=(1, 1, 1), bias=False)
    tensors = case.draw(dtype=torch.float32)
    far = 2**31 + 4096
    try:
        room = torch.empty(far + 2**20)  # touched at both ends only, so that it costs no memory
    except RuntimeError:
        pytest.skip("this machine gives no address space of 8 GiB")
    expected = both_ways(cpu, case, tensors)
    if which == "input":
        _, channels, frames, height, width = tensors[0].shape
        view = room.as_strided((1, channels, frames, height, width), (far, 1, far, width * channels, channels))
    else:
        _, channels, frames, height, width = tensors[1].shape
        view = room.as_strided(
            (1, channels, frames, height, width), (far, height * width, far // (frames - 1), width, 1)
        )
    position = 0 if which == "input" else 1
    view.copy_(tensors[position])
    tensors[position] = view
    assert_same(both_ways(cpu, case, tensors), expected, 1e-5)


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
    ).filter(
        lambda c: all(
            n + 2 * p >= d * (k - 1) + 1 for n, k, p, d in zip(c.size, c.kernel, c.padding, c.dilation, strict=True)
        )
    )


def compare_on(case: Case, seed: int, spread: float, last: bool) -> None:
    tensors = case.draw(seed, spread=spread)
    if last:
        tensors[0] = tensors[0].to(memory_format=torch.channels_last_3d)
    needs = (True, True, case.mask, True)
    assert_same(both_ways(cpu, case, tensors, needs), both_ways(reference, case, tensors, needs), 1e-11)


arguments = {
    "case": geometries(),
    "seed": st.integers(0, 2**31),
    "spread": st.sampled_from([0.0, 0.5, 3.0, 30.0]),
    "last": st.booleans(),
}


@settings(max_examples=250, deadline=None)
@given(**arguments)
def test_random_geometries_agree(case: Case, seed: int, spread: float, last: bool) -> None:
    compare_on(case, seed, spread, last)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(**arguments)
def test_two_thousand_random_geometries_agree(case: Case, seed: int, spread: float, last: bool) -> None:
    compare_on(case, seed, spread, last)


def test_a_prime_batch_and_an_empty_one() -> None:
    for batch in (0, 37):
        case = Case(batch=batch, size=(1, 3, 4))
        tensors = case.draw()
        found = both_ways(cpu, case, tensors)
        assert found[0].shape[0] == batch
        assert_same(found, both_ways(reference, case, tensors), 1e-12)
