"""``ls3d_conv3d`` as users and torch's subsystems meet it."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from helpers.operator_cases import CASES, Case
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ls3d.ops import deform_conv2d, diagnosis, ls3d_conv3d
from ls3d.ops.backends import choose as _backends
from ls3d.ops.backends.cpu import library as _kernel

OPERATOR = torch.ops.ls3d.conv3d.default
TINY = Case(batch=1, channels=2, out_channels=2, size=(2, 4, 4), kernel=(2, 2, 2), padding=(1, 0, 1))


def drawn(case: Case, dtype: torch.dtype = torch.float64) -> list[Tensor | None]:
    return [None if t is None else t.requires_grad_() for t in case.draw(dtype=dtype)]


@pytest.mark.parametrize(
    "case",
    [TINY, replace(TINY, mask=False), replace(TINY, groups=2, offset_groups=2, channels=1, out_channels=1)],
    ids=["mask", "no mask", "groups"],
)
def test_gradcheck(case: Case) -> None:
    assert torch.autograd.gradcheck(lambda *t: ls3d_conv3d(*t, *case.sizes), drawn(case), fast_mode=False)


@pytest.mark.parametrize("name", ["usual", "no mask", "groups"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "permuted"])
def test_opcheck(name: str, layout: str) -> None:
    tensors = drawn(CASES[name], torch.float32)
    if layout != "contiguous":
        order = (0, 4, 2, 3, 1) if layout == "permuted" else (0, 2, 3, 4, 1)
        back = [order.index(k) for k in range(5)]
        tensors[:4] = [
            None if t is None else t.detach().permute(order).contiguous().permute(back).requires_grad_()
            for t in tensors[:4]
        ]
    torch.library.opcheck(OPERATOR, (*tensors, *CASES[name].sizes))


def test_the_layout_of_the_input_is_kept() -> None:
    tensors = drawn(Case(channels=6))
    assert ls3d_conv3d(*tensors, padding=1).is_contiguous()
    last = [tensors[0].detach().to(memory_format=torch.channels_last_3d).requires_grad_(), *tensors[1:]]
    output = ls3d_conv3d(*last, padding=1)
    assert output.is_contiguous(memory_format=torch.channels_last_3d)
    output.sum().backward()
    assert last[0].grad.is_contiguous(memory_format=torch.channels_last_3d)


def test_strided_views_give_what_their_copies_give() -> None:
    case = Case()
    tensors = case.draw()
    views = [
        None if t is None else torch.stack((t, t + 1), dim=-1)[..., 0] if t.dim() == 1 else t.mT.contiguous().mT
        for t in tensors
    ]
    expanded = [tensors[0][:1].expand(2, -1, -1, -1, -1), *tensors[1:]]
    torch.testing.assert_close(ls3d_conv3d(*views, *case.sizes), ls3d_conv3d(*tensors, *case.sizes))
    copies = [t.clone() for t in expanded]
    torch.testing.assert_close(ls3d_conv3d(*expanded, *case.sizes), ls3d_conv3d(*copies, *case.sizes))


def test_only_asked_gradients_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    from ls3d.ops.backends.cpu import backend as cpu

    asked = []
    original = cpu.backward

    def spy(*arguments):
        asked.append(list(arguments[-1]))
        return original(*arguments)

    monkeypatch.setattr(cpu, "backward", spy)
    case = CASES["usual"]
    for needed in range(4):
        tensors = case.draw()
        tensors[needed].requires_grad_()
        ls3d_conv3d(*tensors, *case.sizes).sum().backward()
        assert asked.pop() == [k == needed for k in range(4)]
    tensors = case.draw()
    tensors[4].requires_grad_()
    ls3d_conv3d(*tensors, *case.sizes).sum().backward()
    assert asked == []


def test_gradient_of_the_bias() -> None:
    tensors = drawn(CASES["usual"])
    output = ls3d_conv3d(*tensors, padding=1)
    output.sum().backward()
    assert tensors[4].grad.tolist() == [output.numel() / output.shape[1]] * output.shape[1]


def test_a_second_derivative_is_refused() -> None:
    tensors = drawn(TINY)
    grad = torch.autograd.grad(ls3d_conv3d(*tensors, *TINY.sizes).sum(), tensors[3], create_graph=True)[0]
    with pytest.raises(RuntimeError, match="first derivative only"):
        grad.sum().backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_autocast_narrows_features_and_keeps_float32_offsets(dtype: torch.dtype) -> None:
    tensors = drawn(CASES["usual"], torch.float32)
    with torch.autocast("cpu", dtype=dtype):
        output = ls3d_conv3d(*tensors, padding=1)
    assert output.dtype == dtype
    output.float().sum().backward()
    assert [t.grad.dtype for t in tensors] == [torch.float32] * 5
    narrow = [t.detach().to(dtype) if k in (0, 3, 4) else t.detach() for k, t in enumerate(tensors)]
    assert torch.equal(output, ls3d_conv3d(*narrow, padding=1))


def test_autocast_leaves_float64_alone() -> None:
    tensors = CASES["usual"].draw()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ls3d_conv3d(*tensors, padding=1).dtype == torch.float64


def test_compile_makes_one_graph_for_all_sizes() -> None:
    def layer(*tensors: Tensor) -> Tensor:
        return ls3d_conv3d(*tensors, padding=1).relu()

    # Sizes of the first clip differ from the kernel's: equal ones would be taken for the same symbol.
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for size in ((5, 7, 8), (2, 9, 6), (4, 6, 11)):
        ours, truth = drawn(Case(size=size)), drawn(Case(size=size))
        with torch._dynamo.config.patch(error_on_recompile=size != (5, 7, 8)):
            output = compiled(*ours)
        expected = layer(*truth)
        torch.testing.assert_close(output, expected)
        output.sum().backward()
        expected.sum().backward()
        for a, b in zip(ours, truth, strict=True):
            torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.slow
def test_compile_with_the_default_backend() -> None:
    tensors = drawn(CASES["usual"])
    compiled = torch.compile(lambda *t: ls3d_conv3d(*t, padding=1).relu(), fullgraph=True)
    torch.testing.assert_close(compiled(*tensors), ls3d_conv3d(*tensors, padding=1).relu())


class _Module(torch.nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight)

    def forward(self, input: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        return ls3d_conv3d(input, offset, mask, self.weight, padding=1)


def test_export_with_dynamic_height_and_width() -> None:
    input, offset, mask, weight, _ = CASES["usual"].draw()
    height, width = torch.export.Dim("height", min=3), torch.export.Dim("width", min=3)
    sizes = {3: height, 4: width}
    program = torch.export.export(
        _Module(weight), (input, offset, mask), dynamic_shapes={"input": sizes, "offset": sizes, "mask": sizes}
    )
    assert any(node.target is OPERATOR for node in program.graph.nodes)
    input, offset, mask, *_ = Case(size=(3, 5, 12)).draw()
    torch.testing.assert_close(program.module()(input, offset, mask), _Module(weight)(input, offset, mask))


def test_deterministic_algorithms_give_equal_bits() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        runs = []
        for _ in range(2):
            tensors = drawn(Case(batch=1, channels=16, size=(3, 19, 21)), torch.float32)
            output = ls3d_conv3d(*tensors, padding=1)
            output.sum().backward()
            runs.append([output.detach(), *[t.grad for t in tensors]])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_functional_gradients() -> None:
    tensors = CASES["usual"].draw()

    def loss(weight: Tensor, *others: Tensor) -> Tensor:
        return ls3d_conv3d(others[0], others[1], others[2], weight, padding=1).square().sum()

    found = torch.func.grad(loss)(tensors[3], *tensors[:3])
    weight = tensors[3].clone().requires_grad_()
    loss(weight, *tensors[:3]).backward()
    torch.testing.assert_close(found, weight.grad)


def test_gradients_per_sample() -> None:
    input, offset, mask, weight, _ = CASES["usual"].draw()

    def loss(weight: Tensor, *sample: Tensor) -> Tensor:
        return ls3d_conv3d(*[t.unsqueeze(0) for t in sample], weight, padding=1).square().sum()

    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0, 0))(weight, input, offset, mask)
    for k in range(2):
        expected = torch.func.grad(loss)(weight, input[k], offset[k], mask[k])
        torch.testing.assert_close(found[k], expected)


def test_meta_tensors_have_the_output_s_shape() -> None:
    case = CASES["uneven"]
    tensors = [None if t is None else t.to("meta") for t in case.draw()]
    output = ls3d_conv3d(*tensors, *case.sizes)
    assert output.is_meta
    assert output.shape == ls3d_conv3d(*case.draw(), *case.sizes).shape


def test_operations_are_counted_as_a_convolution_s() -> None:
    case = Case(batch=2, channels=2, out_channels=3)
    input, offset, mask, weight, bias = drawn(case)
    with FlopCounterMode(display=False) as ours:
        ls3d_conv3d(input, offset, mask, weight, bias, *case.sizes).sum().backward()
    with FlopCounterMode(display=False) as plain:
        torch.nn.functional.conv3d(input, weight, bias, *case.sizes).sum().backward()
    assert ours.get_total_flops() == plain.get_total_flops()


WRONG = [
    ({"offset": (2, 53, 3, 7, 8)}, "offset has 53 channels, expected 2 x 27 taps"),
    ({"offset": (2, 54, 3, 7, 9)}, r"offset has shape \(2, 54, 3, 7, 9\), expected \(2, 54, 3, 7, 8\)"),
    ({"mask": (2, 26, 3, 7, 8)}, r"mask has shape \(2, 26, 3, 7, 8\), expected \(2, 27, 3, 7, 8\)"),
    ({"weight": (3, 5, 3, 3, 3)}, "weight takes 5 channels in each of 1 groups, but the input has 4"),
    ({"weight": (3, 4, 3, 3)}, "weight has shape .* expected five dimensions"),
    ({"bias": (4,)}, r"bias has shape \(4\), expected \(3\)"),
    ({"input": (2, 4, 3, 7)}, "input has shape .* expected five dimensions"),
    ({"input": (2, 4, 3, 0, 8)}, "the input's size .* expected at least 1"),
    ({"offset": (2, 3 * 54, 3, 7, 8)}, "divides the 4 input channels"),
]


@pytest.mark.parametrize(("shapes", "message"), WRONG)
def test_wrong_shapes_are_named(shapes: dict[str, tuple[int, ...]], message: str) -> None:
    names = ("input", "offset", "mask", "weight", "bias")
    tensors = dict(zip(names, Case().draw(), strict=True))
    tensors |= {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}
    with pytest.raises(ValueError, match=message):
        ls3d_conv3d(**tensors, padding=1)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"stride": 0}, r"stride is \(0, 0, 0\), expected at least 1"),
        ({"padding": (1, -1, 1)}, r"padding is \(1, -1, 1\), expected at least 0"),
        ({"dilation": (1, 1)}, "dilation has 2 values"),
        ({"groups": 0}, "groups is 0, expected at least 1"),
        ({"groups": 3}, "weight takes 4 channels in each of 3 groups"),
        ({"dilation": 9}, "too small for kernel"),
    ],
)
def test_wrong_sizes_are_named(sizes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ls3d_conv3d(*Case().draw(), **{"padding": 1, **sizes})


def test_wrong_dtypes_are_named() -> None:
    input, offset, mask, weight, bias = Case().draw()
    with pytest.raises(ValueError, match=r"weight is torch.float32, expected torch.float64"):
        ls3d_conv3d(input, offset, mask, weight.float(), bias, padding=1)
    with pytest.raises(ValueError, match=r"offset is torch.bfloat16, expected torch.float64 or float32"):
        ls3d_conv3d(input, offset.bfloat16(), mask, weight, bias, padding=1)
    with pytest.raises(ValueError, match=r"floating-point features, not torch\.int64"):
        ls3d_conv3d(*[t.long() if k in (0, 3, 4) else t.float() for k, t in enumerate(Case().draw())], padding=1)


def test_without_a_kernel_the_reference_serves_and_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = Case().draw()
    expected = ls3d_conv3d(*tensors, padding=1)
    monkeypatch.setattr(_kernel, "load", lambda: (None, "the compiled kernel is not here"))
    _backends._warn_once.cache_clear()
    with pytest.warns(RuntimeWarning, match="slow reference path: the compiled kernel is not here"):
        torch.testing.assert_close(ls3d_conv3d(*tensors, padding=1), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ls3d_conv3d(*tensors, padding=1)


def test_a_library_that_is_none_is_explained(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "libls3d.so"
    broken.write_bytes(b"not a library")
    for place, reason in ((broken, "can't be loaded"), (tmp_path / "nowhere.so", "is missing")):
        monkeypatch.setenv("LS3D_KERNEL", str(place))
        library, why_not = _kernel.load.__wrapped__()
        assert library is None
        assert reason in why_not


def test_the_self_test_finds_a_wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    from ls3d.ops.backends.cpu import backend as cpu

    assert all(check.passed for check in diagnosis.self_test(0))
    original = cpu.forward
    monkeypatch.setattr(cpu, "forward", lambda *arguments: original(*arguments) * 1.01)
    assert not any(check.passed for check in diagnosis.self_test(0) if "float64" in check.name)


@pytest.mark.parametrize("mask", [True, False])
def test_deform_conv2d_is_the_case_of_one_frame(mask: bool) -> None:
    case = Case(
        size=(1, 7, 8), kernel=(1, 3, 2), padding=(0, 1, 2), stride=(1, 2, 1), groups=2, offset_groups=2, mask=mask
    )
    input, offset, strength, weight, bias = case.draw()
    expected = ls3d_conv3d(input, offset, strength, weight, bias, *case.sizes).squeeze(2)
    flat = [None if t is None else t.squeeze(2) for t in (input, offset, weight, strength)]
    found = deform_conv2d(flat[0], flat[1], flat[2], bias, stride=(2, 1), padding=(1, 2), dilation=1, mask=flat[3])
    assert torch.equal(found, expected)


def test_deform_conv2d_on_unfolded_frames_is_ls3d_conv3d() -> None:
    """The kT zero-padded frames stacked in the channels, one offset group for each: the same sum."""
    case = Case(channels=4, size=(4, 6, 7))
    input, offset, mask, weight, bias = case.draw()
    padded = torch.nn.functional.pad(input, (0, 0, 0, 0, 1, 1))
    frames = torch.cat([padded[:, :, a : a + 4] for a in range(3)], 1).transpose(1, 2).flatten(0, 1)
    by_frame = [t.transpose(1, 2).flatten(0, 1) for t in (offset, mask)]
    kernels = weight.transpose(1, 2).flatten(1, 2)
    found = deform_conv2d(frames, by_frame[0], kernels, bias, padding=1, mask=by_frame[1])
    expected = ls3d_conv3d(input, offset, mask, weight, bias, padding=1)
    torch.testing.assert_close(found.unflatten(0, (2, 4)).transpose(1, 2), expected)


def test_deform_conv2d_names_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="offset has shape"):
        deform_conv2d(torch.zeros(1, 2, 4, 4), torch.zeros(1, 18, 4), torch.zeros(2, 2, 3, 3))
    with pytest.raises(ValueError, match="stride has 3 values"):
        deform_conv2d(torch.zeros(1, 2, 4, 4), torch.zeros(1, 18, 4, 4), torch.zeros(2, 2, 3, 3), stride=(1, 1, 1))
