"""The private parts of torch that ls3d uses exist, and do what they are used for."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._inductor.ir import Layout
from torch._subclasses import FakeTensorMode
from torch.utils._device import DeviceContext
from torch.utils.flop_counter import FlopCounterMode

from ls3d import _torch_internals


def test_transforms_of_torch_func_are_detected() -> None:
    active = []

    def function(x: Tensor) -> Tensor:
        active.append(_torch_internals.are_functorch_transforms_active())
        return x.sum()

    function(torch.ones(2))
    torch.func.grad(function)(torch.ones(2))
    assert active == [False, True]


def test_modes_and_subclasses_that_observe_operators_are_detected() -> None:
    class Subclass(torch.Tensor):
        pass

    def observed(tensor: Tensor | None) -> bool:
        return _torch_internals.is_dispatch_observed([tensor])

    plain = torch.ones(2)
    assert not observed(plain)
    assert not observed(nn.Parameter(plain))
    assert not observed(None)
    assert observed(plain.as_subclass(Subclass))
    assert observed(plain.to("meta"))
    modes: list[contextlib.AbstractContextManager[Any]] = [
        FlopCounterMode(display=False),
        FakeTensorMode(),
        DeviceContext(torch.device("cpu")),
        torch.autocast("cpu"),
        torch.autograd.forward_ad.dual_level(),
        torch.profiler.profile(),
    ]
    for mode in modes:
        with mode:
            assert observed(plain), mode
    assert not observed(plain)
    traced: list[bool] = []

    def function(x: Tensor) -> Tensor:
        traced.append(observed(x))
        return x + 1

    torch.jit.trace(function, plain, check_trace=False)
    assert traced == [True]


def test_the_padding_of_a_convolution_is_that_of_functional_pad() -> None:
    assert _torch_internals.reversed_padding(nn.Conv3d(1, 1, 3, padding=(1, 2, 3))) == [3, 3, 2, 2, 1, 1]
    assert _torch_internals.reversed_padding(nn.Conv2d(1, 1, (1, 4), padding="same")) == [1, 2, 0, 0]


def test_all_convolutions_have_one_base_class() -> None:
    for layer in (nn.Conv1d(1, 1, 1), nn.Conv3d(1, 1, 1), nn.ConvTranspose2d(1, 1, 1)):
        assert isinstance(layer, _torch_internals.ConvNd)
    assert not isinstance(nn.Linear(1, 1), _torch_internals.ConvNd)


def test_storages_have_distinct_numbers_on_the_meta_device() -> None:
    first, second = (torch.empty(3, device="meta") for _ in range(2))
    number = _torch_internals.storage_id(first.untyped_storage())
    assert number == _torch_internals.storage_id(first.view(3, 1).untyped_storage())
    assert number != _torch_internals.storage_id(second.untyped_storage())


@pytest.mark.slow
def test_strides_of_open_sizes_are_compared(tmp_path: Path) -> None:
    """Fails in torch 2.13 without ``comparable_strides``."""
    convolutions = nn.Sequential(nn.Conv3d(1, 2, 3, 2, 1), nn.ReLU(), nn.Conv3d(2, 2, 3, 1, 1)).eval()
    sizes = dict.fromkeys(range(2, 5), torch.export.Dim.AUTO)
    clip = torch.rand(1, 1, 6, 9, 12)
    program = torch.export.export(convolutions, (clip,), dynamic_shapes=(sizes,))
    original = Layout._stride_expr_ge_or_false
    with _torch_internals.comparable_strides(), torch.no_grad():
        path = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "network.pt2"))
    assert Layout._stride_expr_ge_or_false is original
    run = torch._inductor.aoti_load_package(path)
    for size in ((6, 9, 12), (9, 16, 7)):
        clip = torch.rand(1, 1, *size)
        torch.testing.assert_close(run(clip), convolutions(clip))
