"""The private parts of torch that ls3d uses exist, and do what they are used for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ls3d import _torch_internals


def test_transforms_of_torch_func_are_detected() -> None:
    active = []

    def function(x: Tensor) -> Tensor:
        active.append(_torch_internals.are_functorch_transforms_active())
        return x.sum()

    function(torch.ones(2))
    torch.func.grad(function)(torch.ones(2))
    assert active == [False, True]


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
