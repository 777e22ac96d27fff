"""The Triton backend on a GPU (`pytest -m gpu -n 0 tests/ops/test_triton.py`), and without one what it refuses."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from helpers.operator_cases import CASES, Arguments, Case, Results, assert_close
from torch import Tensor
from torch.nn import functional as F

from ls3d.ops import ls3d_conv3d
from ls3d.ops._call import Call
from ls3d.ops.backends import reference
from ls3d.ops.backends.triton import backend as triton

HAS_GPU = torch.cuda.is_available() and importlib.util.find_spec("triton") is not None
on_gpu = [pytest.mark.gpu, pytest.mark.skipif(not HAS_GPU, reason="needs a CUDA device and triton")]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda d: str(d).removeprefix("torch."))
PLAIN = Case()
WIDE = Case(batch=2, channels=64, out_channels=64, size=(3, 19, 37))


def gpu(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that needs a GPU."""
    for mark in on_gpu:
        test = mark(test)
    return test


@pytest.fixture(autouse=True)
def full_precision() -> Iterator[None]:
    """No tf32, in our kernels and in torch's convolutions."""
    conv = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before, conv.fp32_precision = conv.fp32_precision, "ieee"
    yield
    conv.fp32_precision = before


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def draw(case: Case, dtype: torch.dtype = torch.float32, spread: float = 2.0, last: bool = True) -> Arguments:
    """Arguments on the GPU."""
    tensors = case.draw(dtype=dtype, spread=spread).map(lambda tensor: tensor.cuda())
    return tensors.channels_last() if last else tensors


def forward_and_backward(case: Case, tensors: Arguments, operator: Callable[..., Tensor] = ls3d_conv3d) -> Results:
    """The output and the gradients of input, offset, mask and weight."""
    leaves = tensors.requiring_gradients()
    output = operator(*leaves, *case.sizes)
    generator = torch.Generator().manual_seed(7)
    grad = torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output)
    found = iter(torch.autograd.grad(output, [leaf for leaf in leaves[:4] if leaf is not None], grad))
    return [output.detach(), *(None if leaf is None else next(found) for leaf in leaves[:4])]


def expected(case: Case, tensors: Arguments) -> Results:
    """The same by the reference in float64, on the CPU."""
    wide = tensors.map(lambda tensor: tensor.double().cpu())
    return forward_and_backward(case, wide, lambda *arguments: reference.forward(Call.of(*arguments)))


def test_unsupported_dtypes_and_devices_are_explained() -> None:
    geometry = PLAIN.call(PLAIN.draw()).geometry
    assert "not torch.float64" in str(triton.supports(geometry, torch.float64, torch.device("cuda")))
    if importlib.util.find_spec("triton") is None:
        assert triton.supports(geometry, torch.float32, torch.device("cpu")) == "triton is not installed"
    else:
        assert "not on cpu" in str(triton.supports(geometry, torch.float32, torch.device("cpu")))


def test_frames_beyond_32_bits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "unsupported_device", lambda device: None)
    geometry = PLAIN.call(PLAIN.draw()).geometry
    device = torch.device("cuda")
    assert triton.supports(geometry, torch.float32, device) is None
    frame = triton.supports(replace(geometry, in_size=(1, 2**15, 2**15)), torch.float32, device)
    assert frame == f"a frame of the input has {4 * 2**30} elements, the Triton kernels support fewer than {2**31}"
    assert triton.supports(replace(geometry, in_size=(2**20, 2**10, 2**10)), torch.float32, device) is None


@gpu
@dtypes
@pytest.mark.parametrize("last", [True, False], ids=["channels_last", "contiguous"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_agrees_with_the_reference(case: Case, dtype: torch.dtype, last: bool) -> None:
    tensors = draw(case, dtype, last=last)
    assert_close(forward_and_backward(case, tensors), expected(case, tensors), TOLERANCE[dtype])


@gpu
@dtypes
@pytest.mark.parametrize("spread", [0.3, 6.0, 40.0])
def test_agrees_at_every_length_of_offset(spread: float, dtype: torch.dtype) -> None:
    tensors = draw(WIDE, dtype, spread)
    assert_close(forward_and_backward(WIDE, tensors), expected(WIDE, tensors), TOLERANCE[dtype])


@gpu
@pytest.mark.parametrize("channels", [1, 3, 8, 17, 48, 100, 256, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_agrees_at_every_number_of_channels(channels: int, dtype: torch.dtype) -> None:
    case = Case(batch=1, channels=channels, out_channels=301 - channels, size=(2, 9, 11), kernel=(2, 2, 2))
    tensors = draw(case, dtype)
    assert_close(forward_and_backward(case, tensors), expected(case, tensors), TOLERANCE[dtype])


@gpu
@pytest.mark.parametrize("first", [0, 1, 8], ids=["same", "odd", "multiple of 16 bytes"])
def test_a_repeated_call_agrees_at_another_address(first: int) -> None:
    tensors = draw(PLAIN, torch.bfloat16)
    before = forward_and_backward(PLAIN, tensors)
    moved = tensors.map(lambda tensor: tensor.new_empty(tensor.numel() + first)[first:].view_as(tensor).copy_(tensor))
    assert_close(forward_and_backward(PLAIN, moved), expected(PLAIN, tensors), TOLERANCE[torch.bfloat16])
    assert_close(before, expected(PLAIN, tensors), TOLERANCE[torch.bfloat16])


@gpu
def test_float64_falls_back_to_the_reference() -> None:
    tensors = draw(PLAIN, torch.float64)
    assert_close(forward_and_backward(PLAIN, tensors), expected(PLAIN, tensors), 1e-12)


@gpu
@dtypes
def test_zero_offsets_are_the_convolution(dtype: torch.dtype) -> None:
    tensors = draw(WIDE, dtype)
    assert tensors.mask is not None
    tensors = tensors._replace(offset=torch.zeros_like(tensors.offset), mask=torch.ones_like(tensors.mask))
    ours = ls3d_conv3d(*tensors, *WIDE.sizes)
    wide = tensors.to(torch.float64)
    theirs = F.conv3d(wide.input, wide.weight, wide.bias, *WIDE.sizes)
    assert (ours.double() - theirs).abs().max() <= TOLERANCE[dtype] * theirs.abs().max()


@gpu
def test_bfloat16_errs_at_most_twice_as_much_as_a_convolution() -> None:
    tensors = draw(WIDE, torch.bfloat16)
    wide = tensors.to(torch.float64)
    exact = reference.forward(WIDE.call(wide))
    ours = (ls3d_conv3d(*tensors, *WIDE.sizes) - exact).norm() / exact.norm()
    exact = F.conv3d(wide.input, wide.weight, wide.bias, *WIDE.sizes)
    theirs = (F.conv3d(tensors.input, tensors.weight, tensors.bias, *WIDE.sizes) - exact).norm() / exact.norm()
    assert ours <= 2 * theirs


@gpu
def test_agrees_with_torchvision() -> None:
    ops = pytest.importorskip("torchvision.ops")
    case = Case(channels=16, out_channels=8, size=(1, 21, 33), kernel=(1, 3, 3), padding=(0, 1, 1))
    x, offset, mask, weight, bias = draw(case)
    assert mask is not None
    theirs = ops.deform_conv2d(x[:, :, 0], offset[:, :, 0], weight[:, :, 0], bias, padding=1, mask=mask[:, :, 0])
    ours = ls3d_conv3d(x, offset, mask, weight, bias, *case.sizes)[:, :, 0]
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@gpu
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30])
def test_offsets_that_are_not_finite_or_huge_sample_zero(value: float) -> None:
    tensors = draw(WIDE)
    tensors.offset[:, ::3, :, ::2] = value
    found = forward_and_backward(WIDE, tensors)
    assert all(t is not None and t.isfinite().all() for t in found)
    assert_close(found, expected(WIDE, tensors), 1e-5)


@gpu
@dtypes
def test_deterministic_gradients_repeat_and_are_right(dtype: torch.dtype, deterministic: None) -> None:
    tensors = draw(WIDE, dtype, spread=15.0)
    first = forward_and_backward(WIDE, tensors)
    assert_close(first, expected(WIDE, tensors), TOLERANCE[dtype])
    for _ in range(5):
        again = forward_and_backward(WIDE, tensors)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True) if a is not None and b is not None)


@gpu
def test_an_empty_batch() -> None:
    case = replace(PLAIN, batch=0)
    found = forward_and_backward(case, draw(case))
    assert [len(t) for t in found[:4] if t is not None] == [0, 0, 0, 0]
    assert found[4] is not None
    assert not found[4].any()


@gpu
def test_a_small_workspace_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = draw(WIDE, spread=15.0)
    whole = forward_and_backward(WIDE, tensors)
    monkeypatch.setattr(triton, "WORKSPACE_BYTES", 2**18)
    assert_close(forward_and_backward(WIDE, tensors), whole, 1e-6)


@gpu
def test_a_recorded_graph_replays_on_new_data() -> None:
    tensors, other = draw(WIDE, torch.bfloat16), draw(WIDE, torch.bfloat16, spread=5.0)
    forward_and_backward(WIDE, tensors)
    call, other_call = WIDE.call(tensors), WIDE.call(other)
    grad = torch.randn(call.geometry.out_shape, device="cuda", dtype=torch.bfloat16)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = triton.forward(call)
        grads = triton.backward(call, grad, (True,) * 4)
    for recorded, new in zip(tensors, other, strict=True):
        assert recorded is not None
        assert new is not None
        recorded.copy_(new)
    graph.replay()
    assert torch.equal(output, triton.forward(other_call))
    again = triton.backward(other_call, grad, (True,) * 4)
    assert_close([output, *grads], [output, *again], 1e-2)


@gpu
def test_compiled_whole_with_dynamic_shapes() -> None:
    compiled = torch.compile(ls3d_conv3d, fullgraph=True, dynamic=True)
    for size in ((3, 19, 37), (2, 21, 30)):
        case = replace(WIDE, size=size)
        tensors = draw(case)
        assert_close(forward_and_backward(case, tensors, compiled), forward_and_backward(case, tensors), 1e-6)


@gpu
def test_opcheck_with_permuted_layouts() -> None:
    tensors = draw(PLAIN, last=False)
    permuted = tensors.map(lambda t: t if t.dim() == 1 else t.transpose(0, -1).contiguous().transpose(0, -1))
    leaves = permuted.requiring_gradients()
    torch.library.opcheck(torch.ops.ls3d.conv3d, (*leaves, *PLAIN.sizes), atol=1e-4, rtol=1e-4)


@gpu
def test_autocast_runs_on_half_precision_features_and_float32_offsets() -> None:
    tensors = draw(WIDE)
    with torch.autocast("cuda", torch.bfloat16):
        output = ls3d_conv3d(*tensors, *WIDE.sizes)
    assert output.dtype == torch.bfloat16
    exact = expected(WIDE, tensors)[0]
    assert exact is not None
    assert (output.double().cpu() - exact).norm() <= 1e-2 * exact.norm()


@gpu
def test_addresses_beyond_32_bits() -> None:
    case = Case(batch=3, channels=64, out_channels=8, size=(12, 1000, 1000), kernel=(1, 1, 1), padding=(0, 0, 0))
    free, _ = torch.cuda.mem_get_info()
    if free < 20 * 2**30:
        pytest.skip("needs 20 GiB of GPU memory")
    x = torch.randn(3, 12, 1000, 1000, 64, device="cuda", dtype=torch.bfloat16).permute(0, 4, 1, 2, 3)
    assert x.numel() > 2**31
    offset = torch.rand(3, 2, 12, 1000, 1000, device="cuda", dtype=torch.bfloat16) - 0.5
    weight = torch.randn(8, 64, 1, 1, 1, device="cuda", dtype=torch.bfloat16)
    output = ls3d_conv3d(x, offset, None, weight, None, *case.sizes)
    alone = ls3d_conv3d(x[2:, :, 11:], offset[2:, :, 11:], None, weight, None, *case.sizes)
    # A few of the 8 million values are rounded differently; a wrong address would be off by about 8.
    torch.testing.assert_close(output[2:, :, 11:], alone, rtol=2**-7, atol=2**-4)


@gpu
def test_workspace_is_bounded() -> None:
    size = (4, 64, 7, 270, 480)
    x = torch.randn(size, device="cuda", dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last_3d)
    offset = torch.randn(4, 54, *size[2:], device="cuda", dtype=torch.bfloat16)
    mask = torch.rand(4, 27, *size[2:], device="cuda", dtype=torch.bfloat16)
    weight = torch.randn(64, 64, 3, 3, 3, device="cuda", dtype=torch.bfloat16)
    case = Case(batch=4, channels=64, out_channels=64, size=size[2:], bias=False)
    call = case.call(Arguments(x, offset, mask, weight, None))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    output = triton.forward(call)
    grads = triton.backward(call, torch.ones_like(output), (True,) * 4)
    kept = sum(t.numel() * t.element_size() for t in (output, output, *grads) if t is not None)
    assert torch.cuda.max_memory_allocated() - before - kept <= 256 * 2**20
