"""``ls3d_conv3d`` as users and torch's subsystems call it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.marks import slow_except
from helpers.operator_cases import CASES, Arguments, Case
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ls3d.ops import deform_conv2d, diagnosis, ls3d_conv3d
from ls3d.ops._call import Call, Gradients
from ls3d.ops.backends.cpu import backend as cpu
from ls3d.ops.backends.cpu import library

OPERATOR = torch.ops.ls3d.conv3d.default
TINY = Case(batch=1, channels=2, out_channels=2, size=(2, 4, 4), kernel=(2, 2, 2), padding=(1, 0, 1))


def draw(case: Case, dtype: torch.dtype = torch.float64) -> Arguments:
    """Tensors that require gradients."""
    return case.draw(dtype=dtype).requiring_gradients()


def gradients(tensors: Sequence[Tensor | None]) -> list[Tensor]:
    """The gradients of all tensors."""
    found = [tensor.grad for tensor in tensors if tensor is not None]
    return [gradient for gradient in found if gradient is not None]


@pytest.mark.parametrize(
    "case",
    [
        TINY,
        replace(TINY, mask=False),
        replace(TINY, groups=2, offset_groups=2, channels=1, out_channels=1),
        replace(TINY, interpolation="bicubic"),
    ],
    ids=["mask", "no mask", "groups", "bicubic"],
)
def test_gradcheck(case: Case) -> None:
    arguments = draw(case)

    def operator(*tensors: Tensor) -> Tensor:
        remaining = iter(tensors)
        return ls3d_conv3d(*arguments.map(lambda _: next(remaining)), *case.options)

    tensors = [tensor for tensor in arguments if tensor is not None]
    assert torch.autograd.gradcheck(operator, tensors, fast_mode=False)


@pytest.mark.parametrize("name", ["usual", "no mask", "groups", "bicubic"])
@pytest.mark.parametrize("layout", slow_except(["contiguous", "channels_last", "permuted"], ["permuted"]))
def test_opcheck(name: str, layout: str) -> None:
    tensors = draw(CASES[name], torch.float32)
    if layout != "contiguous":
        order = (0, 4, 2, 3, 1) if layout == "permuted" else (0, 2, 3, 4, 1)
        back = [order.index(k) for k in range(5)]
        permuted = tensors.map(lambda t: t if t.dim() == 1 else t.permute(order).contiguous().permute(back))
        tensors = permuted.requiring_gradients()
    torch.library.opcheck(OPERATOR, (*tensors, *CASES[name].options))


def test_the_layout_of_the_input_is_kept() -> None:
    tensors = draw(Case(channels=6))
    assert ls3d_conv3d(*tensors, padding=1).is_contiguous()
    last = tensors.channels_last().requiring_gradients()
    output = ls3d_conv3d(*last, padding=1)
    assert output.is_contiguous(memory_format=torch.channels_last_3d)
    output.sum().backward()
    assert last.input.grad is not None
    assert last.input.grad.is_contiguous(memory_format=torch.channels_last_3d)


def test_strided_views_give_what_their_copies_give() -> None:
    case = Case()
    tensors = case.draw()

    def view(tensor: Tensor) -> Tensor:
        return torch.stack((tensor, tensor + 1), dim=-1)[..., 0] if tensor.dim() == 1 else tensor.mT.contiguous().mT

    expected = ls3d_conv3d(*tensors, *case.sizes)
    torch.testing.assert_close(ls3d_conv3d(*tensors.map(view), *case.sizes), expected)
    expanded = tensors._replace(input=tensors.input[:1].expand(2, -1, -1, -1, -1))
    expected = ls3d_conv3d(*expanded.map(torch.clone), *case.sizes)
    torch.testing.assert_close(ls3d_conv3d(*expanded, *case.sizes), expected)


def test_only_needed_gradients_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = []
    original = cpu.backward

    def spy(call: Call, grad_output: Tensor, needs: Sequence[bool]) -> Gradients:
        needed.append(list(needs))
        return original(call, grad_output, needs)

    monkeypatch.setattr(cpu, "backward", spy)
    case = CASES["usual"]
    for number in range(5):
        tensors = case.draw()
        tensor = tensors[number]
        assert tensor is not None
        tensor.requires_grad_()
        ls3d_conv3d(*tensors, *case.sizes).sum().backward()
        if number < 4:
            assert needed.pop() == [k == number for k in range(4)]
    assert needed == []


def test_gradient_of_the_bias() -> None:
    tensors = draw(CASES["usual"])
    output = ls3d_conv3d(*tensors, padding=1)
    output.sum().backward()
    assert tensors.bias is not None
    assert tensors.bias.grad is not None
    assert tensors.bias.grad.tolist() == [output.numel() / output.shape[1]] * output.shape[1]


def test_a_second_derivative_is_refused() -> None:
    tensors = draw(TINY)
    grad = torch.autograd.grad(ls3d_conv3d(*tensors, *TINY.sizes).sum(), tensors.weight, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="first derivative only"):
        grad.sum().backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_autocast_narrows_features_and_keeps_float32_offsets(dtype: torch.dtype) -> None:
    tensors = draw(CASES["usual"], torch.float32)
    with torch.autocast("cpu", dtype=dtype):
        output = ls3d_conv3d(*tensors, padding=1)
    assert output.dtype == dtype
    output.float().sum().backward()
    assert [gradient.dtype for gradient in gradients(tensors)] == [torch.float32] * 5
    narrow = tensors.to(dtype)._replace(offset=tensors.offset, mask=tensors.mask)
    assert torch.equal(output, ls3d_conv3d(*narrow, padding=1))


def test_autocast_leaves_float64_alone() -> None:
    tensors = CASES["usual"].draw()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ls3d_conv3d(*tensors, padding=1).dtype == torch.float64


def layer(input: Tensor, offset: Tensor, mask: Tensor | None, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The operator and an activation, to be compiled."""
    return ls3d_conv3d(input, offset, mask, weight, bias, padding=1).relu()


def test_compile_makes_one_graph_for_all_sizes() -> None:
    # No size of the first clip equals one of the kernel's: torch.compile would take them for the same symbol.
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for size in ((5, 7, 8), (2, 9, 6), (4, 6, 11)):
        ours, theirs = draw(Case(size=size)), draw(Case(size=size))
        with torch._dynamo.config.patch(error_on_recompile=size != (5, 7, 8)):
            output = compiled(*ours)
        expected = layer(*theirs)
        torch.testing.assert_close(output, expected)
        output.sum().backward()
        expected.sum().backward()
        assert len(gradients(ours)) == 5
        for a, b in zip(gradients(ours), gradients(theirs), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.slow
def test_compile_with_the_default_backend() -> None:
    tensors = draw(CASES["usual"])
    compiled = torch.compile(layer, fullgraph=True)
    torch.testing.assert_close(compiled(*tensors), layer(*tensors))


class _Module(torch.nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight)

    def forward(self, input: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        return ls3d_conv3d(input, offset, mask, self.weight, padding=1)


def test_export_with_dynamic_height_and_width() -> None:
    input, offset, mask, weight, _ = CASES["usual"].draw()
    assert mask is not None
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
            tensors = draw(Case(batch=1, channels=16, size=(3, 19, 21)), torch.float32)
            output = ls3d_conv3d(*tensors, padding=1)
            output.sum().backward()
            runs.append([output.detach(), *gradients(tensors)])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_functional_gradients() -> None:
    tensors = CASES["usual"].draw()

    def loss(weight: Tensor) -> Tensor:
        return ls3d_conv3d(tensors.input, tensors.offset, tensors.mask, weight, padding=1).square().sum()

    found = torch.func.grad(loss)(tensors.weight)
    weight = tensors.weight.clone().requires_grad_()
    loss(weight).backward()
    torch.testing.assert_close(found, weight.grad)


def test_functional_gradients_of_bicubic_samples() -> None:
    tensors, sizes = CASES["bicubic"].draw(), CASES["bicubic"].options

    def loss(offset: Tensor) -> Tensor:
        return ls3d_conv3d(*tensors._replace(offset=offset), *sizes).square().sum()

    found = torch.func.grad(loss)(tensors.offset)
    offset = tensors.offset.clone().requires_grad_()
    loss(offset).backward()
    torch.testing.assert_close(found, offset.grad)


def test_bilinear_is_the_default_of_the_registered_operator() -> None:
    tensors, sizes = CASES["usual"].draw().requiring_gradients(), CASES["usual"].sizes
    output = torch.ops.ls3d.conv3d(*tensors, *sizes)
    assert torch.equal(output, ls3d_conv3d(*tensors, *sizes, "bilinear"))
    output.sum().backward()
    assert len(gradients(tensors)) == 5


def test_gradients_per_sample() -> None:
    input, offset, mask, weight, _ = CASES["usual"].draw()
    assert mask is not None

    def loss(weight: Tensor, input: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        batch = input.unsqueeze(0), offset.unsqueeze(0), mask.unsqueeze(0)
        return ls3d_conv3d(*batch, weight, padding=1).square().sum()

    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0, 0))(weight, input, offset, mask)
    for k in range(2):
        expected = torch.func.grad(loss)(weight, input[k], offset[k], mask[k])
        torch.testing.assert_close(found[k], expected)


def test_meta_tensors_have_the_output_s_shape() -> None:
    case = CASES["uneven"]
    tensors = case.draw().map(lambda tensor: tensor.to("meta"))
    output = ls3d_conv3d(*tensors, *case.sizes)
    assert output.is_meta
    assert output.shape == ls3d_conv3d(*case.draw(), *case.sizes).shape


def test_operations_are_counted_as_a_convolution_s() -> None:
    case = Case(batch=2, channels=2, out_channels=3)
    input, offset, mask, weight, bias = draw(case)
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
    wrong = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}
    with pytest.raises(ValueError, match=message):
        ls3d_conv3d(*Case().draw()._replace(**wrong), padding=1)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"stride": 0}, r"stride is \(0, 0, 0\), expected at least 1"),
        ({"padding": (1, -1, 1)}, r"padding is \(1, -1, 1\), expected at least 0"),
        ({"dilation": (1, 1)}, "dilation has 2 values"),
        ({"groups": 0}, "groups is 0, expected at least 1"),
        ({"groups": 3}, "weight takes 4 channels in each of 3 groups"),
        ({"dilation": 9}, "too small for kernel"),
        ({"interpolation": "cubic"}, "interpolation is 'cubic', expected one of bilinear, bicubic"),
    ],
)
def test_wrong_sizes_are_named(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ls3d_conv3d(*Case().draw(), **{"padding": 1, **sizes})


def test_wrong_dtypes_are_named() -> None:
    input, offset, mask, weight, bias = Case().draw()
    with pytest.raises(ValueError, match=r"weight is torch.float32, expected torch.float64"):
        ls3d_conv3d(input, offset, mask, weight.float(), bias, padding=1)
    with pytest.raises(ValueError, match=r"offset is torch.bfloat16, expected torch.float64 or float32"):
        ls3d_conv3d(input, offset.bfloat16(), mask, weight, bias, padding=1)
    tensors = Case().draw(dtype=torch.float32)
    whole = tensors.map(Tensor.long)._replace(offset=tensors.offset, mask=tensors.mask)
    with pytest.raises(ValueError, match=r"floating-point features, not torch\.int64"):
        ls3d_conv3d(*whole, padding=1)


def test_a_broken_or_missing_library_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "libls3d.so"
    broken.write_bytes(b"not a library")
    for file, reason in ((broken, "can't be loaded"), (tmp_path / "nowhere.so", "is missing")):
        monkeypatch.setenv("LS3D_KERNEL", str(file))
        loaded, why_not = library.load.__wrapped__()
        assert loaded is None
        assert reason in str(why_not)


def test_the_self_test_finds_a_wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(check.passed for check in diagnosis.self_test(0))
    original = cpu.forward
    monkeypatch.setattr(cpu, "forward", lambda call: original(call) * 1.01)
    assert not any(check.passed for check in diagnosis.self_test(0) if "float64" in check.name)


@pytest.mark.parametrize("mask", [True, False])
def test_deform_conv2d_is_the_case_of_one_frame(mask: bool) -> None:
    case = Case(
        size=(1, 7, 8), kernel=(1, 3, 2), padding=(0, 1, 2), stride=(1, 2, 1), groups=2, offset_groups=2, mask=mask
    )
    tensors = case.draw()
    expected = ls3d_conv3d(*tensors, *case.sizes).squeeze(2)
    flat = tensors.map(lambda tensor: tensor if tensor.dim() == 1 else tensor.squeeze(2))
    found = deform_conv2d(
        flat.input, flat.offset, flat.weight, flat.bias, stride=(2, 1), padding=(1, 2), dilation=1, mask=flat.mask
    )
    assert torch.equal(found, expected)


def test_deform_conv2d_on_unfolded_frames_is_ls3d_conv3d() -> None:
    """With the kT zero-padded frames stacked in the channels, and an offset group for each, the sum is the same."""
    case = Case(channels=4, size=(4, 6, 7))
    input, offset, mask, weight, bias = case.draw()
    assert mask is not None
    padded = torch.nn.functional.pad(input, (0, 0, 0, 0, 1, 1))
    frames = torch.cat([padded[:, :, a : a + 4] for a in range(3)], 1).transpose(1, 2).flatten(0, 1)
    by_frame = [t.transpose(1, 2).flatten(0, 1) for t in (offset, mask)]
    kernels = weight.transpose(1, 2).flatten(1, 2)
    found = deform_conv2d(frames, by_frame[0], kernels, bias, padding=1, mask=by_frame[1])
    expected = ls3d_conv3d(input, offset, mask, weight, bias, padding=1)
    torch.testing.assert_close(torch.unflatten(found, 0, (2, 4)).transpose(1, 2), expected)


def test_deform_conv2d_names_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="offset has shape"):
        deform_conv2d(torch.zeros(1, 2, 4, 4), torch.zeros(1, 18, 4), torch.zeros(2, 2, 3, 3))
    with pytest.raises(ValueError, match="stride has 3 values"):
        deform_conv2d(torch.zeros(1, 2, 4, 4), torch.zeros(1, 18, 4, 4), torch.zeros(2, 2, 3, 3), stride=(1, 1, 1))
