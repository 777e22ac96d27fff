"""The GPU backend on a GPU, `pytest -m gpu -n 0 tests/ops/test_cuda.py`; without one, what it says about itself."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from helpers.operator_cases import CASES, Case
from torch import Tensor
from torch.nn import functional as F

from ls3d.ops import ls3d_conv3d
from ls3d.ops.backends import reference
from ls3d.ops.backends.triton import backend as cuda

HAS_GPU = torch.cuda.is_available() and importlib.util.find_spec("triton") is not None
on_gpu = [pytest.mark.gpu, pytest.mark.skipif(not HAS_GPU, reason="needs a CUDA device and triton")]
NAMES = ("output", "grad_input", "grad_offset", "grad_mask", "grad_weight")
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
    """No tf32, for ours and for torch's convolutions."""
    conv = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before, conv.fp32_precision = conv.fp32_precision, "ieee"
    yield
    conv.fp32_precision = before


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def draw(case: Case, dtype: torch.dtype = torch.float32, far: float = 2.0, last: bool = True) -> list[Tensor | None]:
    """Arguments on the GPU."""
    tensors = [None if t is None else t.cuda() for t in case.draw(dtype=dtype, spread=far)]
    if last and tensors[0] is not None:
        tensors[0] = tensors[0].contiguous(memory_format=torch.channels_last_3d)
    return tensors


def both_ways(case: Case, tensors: list[Tensor | None], operator: Callable[..., Tensor]) -> list[Tensor | None]:
    """The output and the gradients of input, offset, mask and weight."""
    leaves = [None if t is None else t.detach().requires_grad_() for t in tensors]
    output = operator(*leaves, *case.sizes)
    generator = torch.Generator().manual_seed(7)
    grad = torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output)
    asked = [leaf for leaf in leaves[:4] if leaf is not None]
    found = iter(torch.autograd.grad(output, asked, grad))
    return [output.detach(), *(None if leaf is None else next(found) for leaf in leaves[:4])]


def exactly(case: Case, tensors: list[Tensor | None]) -> list[Tensor | None]:
    """The same by the reference in float64, on the CPU."""
    wide = [None if t is None else t.double().cpu() for t in tensors]
    geometry = case.geometry(tensors)
    return both_ways(case, wide, lambda *args: reference.forward(*args[:5], geometry))


def assert_close(ours: list[Tensor | None], truth: list[Tensor | None], tolerance: float) -> None:
    for name, a, b in zip(NAMES, ours, truth, strict=True):
        assert (a is None) == (b is None), name
        if a is not None and b is not None and b.numel():
            error = (a.double().cpu() - b.double().cpu()).abs().max() / b.abs().max().clamp_min(1e-30)
            assert error <= tolerance, f"{name}: {error:.2e}"


def test_says_why_it_does_not_serve() -> None:
    tensors = PLAIN.draw()
    geometry = PLAIN.geometry(tensors)
    assert "not torch.float64" in str(cuda.supports(geometry, torch.float64, torch.device("cuda")))
    if importlib.util.find_spec("triton") is None:
        assert cuda.supports(geometry, torch.float32, torch.device("cpu")) == "triton is not installed"
    else:
        assert "not on cpu" in str(cuda.supports(geometry, torch.float32, torch.device("cpu")))


def test_frames_beyond_32_bits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_unusable", lambda device: None)
    geometry = PLAIN.geometry(PLAIN.draw())
    device = torch.device("cuda")
    assert cuda.supports(geometry, torch.float32, device) is None
    frame = cuda.supports(replace(geometry, in_size=(1, 2**15, 2**15)), torch.float32, device)
    assert frame == f"a frame of the input has {4 * 2**30} elements, the Triton kernels take fewer than {2**31}"
    assert cuda.supports(replace(geometry, in_size=(2**20, 2**10, 2**10)), torch.float32, device) is None


@gpu
@dtypes
@pytest.mark.parametrize("last", [True, False], ids=["channels_last", "contiguous"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_agrees_with_the_reference(case: Case, dtype: torch.dtype, last: bool) -> None:
    tensors = draw(case, dtype, last=last)
    assert_close(both_ways(case, tensors, ls3d_conv3d), exactly(case, tensors), TOLERANCE[dtype])


@gpu
@dtypes
@pytest.mark.parametrize("far", [0.3, 6.0, 40.0])
def test_agrees_at_every_length_of_offset(far: float, dtype: torch.dtype) -> None:
    tensors = draw(WIDE, dtype, far)
    assert_close(both_ways(WIDE, tensors, ls3d_conv3d), exactly(WIDE, tensors), TOLERANCE[dtype])


@gpu
@pytest.mark.parametrize("channels", [1, 3, 8, 17, 48, 100, 256, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_agrees_at_every_number_of_channels(channels: int, dtype: torch.dtype) -> None:
    case = Case(batch=1, channels=channels, out_channels=301 - channels, size=(2, 9, 11), kernel=(2, 2, 2))
    tensors = draw(case, dtype)
    assert_close(both_ways(case, tensors, ls3d_conv3d), exactly(case, tensors), TOLERANCE[dtype])


@gpu
def test_float64_takes_the_reference_path() -> None:
    tensors = draw(PLAIN, torch.float64)
    assert_close(both_ways(PLAIN, tensors, ls3d_conv3d), exactly(PLAIN, tensors), 1e-12)


@gpu
@dtypes
def test_zero_offsets_are_the_convolution(dtype: torch.dtype) -> None:
    x, offset, mask, weight, bias = draw(WIDE, dtype)
    assert offset is not None
    assert mask is not None
    ours = ls3d_conv3d(x, torch.zeros_like(offset), torch.ones_like(mask), weight, bias, *WIDE.sizes)
    theirs = F.conv3d(x.double(), weight.double(), bias.double(), *WIDE.sizes)
    assert (ours.double() - theirs).abs().max() <= TOLERANCE[dtype] * theirs.abs().max()


@gpu
def test_bfloat16_errs_at_most_twice_as_much_as_a_convolution() -> None:
    x, offset, mask, weight, bias = draw(WIDE, torch.bfloat16)
    wide = [t.double() for t in (x, offset, mask, weight, bias)]
    geometry = WIDE.geometry([x, offset, mask, weight, bias])
    exact = reference.forward(*wide, geometry)
    ours = (ls3d_conv3d(x, offset, mask, weight, bias, *WIDE.sizes) - exact).norm() / exact.norm()
    exact = F.conv3d(wide[0], wide[3], wide[4], *WIDE.sizes)
    theirs = (F.conv3d(x, weight, bias, *WIDE.sizes) - exact).norm() / exact.norm()
    assert ours <= 2 * theirs


@gpu
def test_agrees_with_torchvision() -> None:
    ops = pytest.importorskip("torchvision.ops")
    case = Case(channels=16, out_channels=8, size=(1, 21, 33), kernel=(1, 3, 3), padding=(0, 1, 1))
    x, offset, mask, weight, bias = draw(case)
    theirs = ops.deform_conv2d(x[:, :, 0], offset[:, :, 0], weight[:, :, 0], bias, padding=1, mask=mask[:, :, 0])
    ours = ls3d_conv3d(x, offset, mask, weight, bias, *case.sizes)[:, :, 0]
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@gpu
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30])
def test_offsets_that_are_no_place_read_nothing(value: float) -> None:
    tensors = draw(WIDE)
    assert tensors[1] is not None
    tensors[1][:, ::3, :, ::2] = value
    found = both_ways(WIDE, tensors, ls3d_conv3d)
    assert all(t is not None and t.isfinite().all() for t in found)
    assert_close(found, exactly(WIDE, tensors), 1e-5)


@gpu
@dtypes
def test_deterministic_gradients_repeat_and_are_right(dtype: torch.dtype, deterministic: None) -> None:
    tensors = draw(WIDE, dtype, far=15.0)
    first = both_ways(WIDE, tensors, ls3d_conv3d)
    assert_close(first, exactly(WIDE, tensors), TOLERANCE[dtype])
    for _ in range(5):
        again = both_ways(WIDE, tensors, ls3d_conv3d)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True) if a is not None and b is not None)


@gpu
def test_an_empty_batch() -> None:
    case = replace(PLAIN, batch=0)
    found = both_ways(case, draw(case), ls3d_conv3d)
    assert [len(t) for t in found[:4] if t is not None] == [0, 0, 0, 0]
    assert found[4] is not None
    assert not found[4].any()


@gpu
def test_passes_over_frames_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = draw(WIDE, far=15.0)
    whole = both_ways(WIDE, tensors, ls3d_conv3d)
    monkeypatch.setattr(cuda, "WORKSPACE", 2**18)
    assert_close(both_ways(WIDE, tensors, ls3d_conv3d), whole, 1e-6)


@gpu
def test_a_recorded_graph_replays_on_new_data() -> None:
    tensors, other = draw(WIDE, torch.bfloat16), draw(WIDE, torch.bfloat16, far=5.0)
    both_ways(WIDE, tensors, ls3d_conv3d)
    geometry = WIDE.geometry(tensors)
    grad = torch.randn(geometry.out_shape, device="cuda", dtype=torch.bfloat16)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = cuda.forward(*tensors, geometry)
        grads = cuda.backward(grad, *tensors[:4], geometry, (True,) * 4)
    for mine, new in zip(tensors, other, strict=True):
        mine.copy_(new)
    graph.replay()
    assert torch.equal(output, cuda.forward(*other, geometry))
    again = cuda.backward(grad, *other[:4], geometry, (True,) * 4)
    assert_close([output, *grads], [output, *again], 1e-2)


@gpu
def test_compiled_whole_with_dynamic_shapes() -> None:
    compiled = torch.compile(ls3d_conv3d, fullgraph=True, dynamic=True)
    for size in ((3, 19, 37), (2, 21, 30)):
        case = replace(WIDE, size=size)
        tensors = draw(case)
        assert_close(both_ways(case, tensors, compiled), both_ways(case, tensors, ls3d_conv3d), 1e-6)


@gpu
def test_opcheck_with_permuted_layouts() -> None:
    tensors = draw(PLAIN, last=False)
    turned = [None if t is None else t.transpose(0, -1).contiguous().transpose(0, -1) for t in tensors[:4]]
    leaves = [None if t is None else t.requires_grad_() for t in (*turned, tensors[4])]
    torch.library.opcheck(torch.ops.ls3d.conv3d, (*leaves, *PLAIN.sizes), atol=1e-4, rtol=1e-4)


@gpu
def test_autocast_takes_half_precision_features_and_full_precision_offsets() -> None:
    tensors = draw(WIDE)
    with torch.autocast("cuda", torch.bfloat16):
        output = ls3d_conv3d(*tensors, *WIDE.sizes)
    assert output.dtype == torch.bfloat16
    exact = exactly(WIDE, tensors)[0]
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
    assert torch.equal(output[2:, :, 11:], alone)


@gpu
def test_workspace_is_bounded() -> None:
    size = (4, 64, 7, 270, 480)
    x = torch.randn(size, device="cuda", dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last_3d)
    offset = torch.randn(4, 54, *size[2:], device="cuda", dtype=torch.bfloat16)
    mask = torch.rand(4, 27, *size[2:], device="cuda", dtype=torch.bfloat16)
    weight = torch.randn(64, 64, 3, 3, 3, device="cuda", dtype=torch.bfloat16)
    tensors: list[Tensor | None] = [x, offset, mask, weight, None]
    case = Case(batch=4, channels=64, out_channels=64, size=size[2:], bias=False)
    geometry = case.geometry(tensors)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    output = cuda.forward(*tensors, geometry)
    grads = cuda.backward(torch.ones_like(output), *tensors[:4], geometry, (True,) * 4)
    kept = sum(t.numel() * t.element_size() for t in (output, output, *grads) if t is not None)
    assert torch.cuda.max_memory_allocated() - before - kept <= 256 * 2**20
