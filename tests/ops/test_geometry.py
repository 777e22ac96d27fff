"""The sizes of a call: those of ``torch.nn.functional.conv3d``, and one sentence for what doesn't fit."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ls3d.ops._geometry import Geometry, triple

triples = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))

#: A call that fits: two groups of three channels, three offset groups, every size different.
SHAPES: dict[str, Any] = {
    "input_shape": (2, 6, 5, 12, 10),
    "offset_shape": (2, 108, 3, 4, 7),
    "mask_shape": (2, 54, 3, 4, 7),
    "weight_shape": (4, 3, 1, 3, 6),
    "bias_shape": (4,),
    "stride": (2, 3, 1),
    "padding": (0, 1, 1),
    "dilation": (2, 1, 1),
    "groups": 2,
}


def geometry(**changes: Any) -> Geometry:
    return Geometry.of(**{**SHAPES, **changes})


def test_everything_is_kept_and_inferred() -> None:
    found = geometry()
    assert found == Geometry(
        batch=2,
        in_channels=6,
        out_channels=4,
        in_size=(5, 12, 10),
        out_size=(3, 4, 7),
        kernel=(1, 3, 6),
        stride=(2, 3, 1),
        padding=(0, 1, 1),
        dilation=(2, 1, 1),
        groups=2,
        offset_groups=3,
        interpolation="bilinear",
    )
    assert found.taps == 18
    assert found.out_shape == (2, 4, 3, 4, 7)
    assert str(found) == (
        "input (2, 6, 5, 12, 10), weight (4, 3, 1, 3, 6), stride (2, 3, 1), padding (0, 1, 1), dilation (2, 1, 1),"
        " groups 2, offset groups 3, bilinear"
    )
    assert geometry(interpolation="bicubic").interpolation == "bicubic"
    assert geometry(mask_shape=None, bias_shape=None) == found


def test_defaults_are_those_of_a_convolution() -> None:
    found = Geometry.of((1, 1, 3, 4, 5), (1, 54, 1, 2, 3), None, (1, 1, 3, 3, 3), None)
    assert (found.stride, found.padding, found.dilation) == ((1, 1, 1), (0, 0, 0), (1, 1, 1))
    assert (found.groups, found.offset_groups, found.interpolation) == (1, 1, "bilinear")


@given(triples, triples, triples, triples, triples)
def test_output_sizes_and_operations_are_those_of_torch(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, int, int],
    padding: tuple[int, int, int],
    dilation: tuple[int, int, int],
) -> None:
    size = tuple(extent + d * (k - 1) for extent, k, d in zip(size, kernel, dilation, strict=True))
    input = torch.empty(2, 4, *size, device="meta")
    weight = torch.empty(6, 2, *kernel, device="meta")
    output = torch.nn.functional.conv3d(input, weight, None, stride, padding, dilation, 2)
    taps = kernel[0] * kernel[1] * kernel[2]
    offset = (2, 2 * taps, *output.shape[2:])
    found = Geometry.of(input.shape, offset, None, weight.shape, None, stride, padding, dilation, 2)
    assert found.out_shape == output.shape
    assert found.flops() == 2 * output.numel() * 2 * taps


def test_one_integer_stands_for_all_three() -> None:
    assert triple(7, "stride") == (7, 7, 7)
    assert triple([1, 2, 3], "stride") == (1, 2, 3)
    with pytest.raises(ValueError, match=r"^stride has 2 values, expected one integer or three \(T, H, W\)$"):
        triple((1, 2), "stride")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_shape": (2, 6, 5, 12)}, "input has shape (2, 6, 5, 12), expected five dimensions"),
        ({"offset_shape": (2, 108, 3, 4)}, "offset has shape (2, 108, 3, 4), expected five dimensions"),
        ({"weight_shape": (4, 3, 3, 6)}, "weight has shape (4, 3, 3, 6), expected five dimensions"),
        ({"stride": (1, 2)}, "stride has 2 values, expected one integer or three (T, H, W)"),
        ({"padding": (1, 2)}, "padding has 2 values, expected one integer or three (T, H, W)"),
        ({"dilation": (1, 2)}, "dilation has 2 values, expected one integer or three (T, H, W)"),
        ({"stride": (1, 0, 1)}, "stride is (1, 0, 1), expected at least 1"),
        ({"padding": (0, 0, -1)}, "padding is (0, 0, -1), expected at least 0"),
        ({"dilation": (0, 1, 1)}, "dilation is (0, 1, 1), expected at least 1"),
        ({"groups": 0}, "groups is 0, expected at least 1"),
        ({"interpolation": "cubic"}, "interpolation is 'cubic', expected one of bilinear, bicubic"),
        ({"weight_shape": (4, 3, 0, 3, 6)}, "the weight's kernel is (0, 3, 6), expected at least 1"),
        ({"input_shape": (2, 6, 5, 0, 10)}, "the input's size (T, H, W) is (5, 0, 10), expected at least 1"),
        ({"groups": 4}, "weight takes 3 channels in each of 4 groups, but the input has 6 channels"),
        ({"groups": 3}, "weight takes 3 channels in each of 3 groups, but the input has 6 channels"),
        (
            {"input_shape": (2, 0, 5, 12, 10), "weight_shape": (4, 0, 1, 3, 6)},
            "weight takes 0 channels in each of 2 groups, but the input has 0 channels",
        ),
        ({"weight_shape": (5, 3, 1, 3, 6)}, "weight has 5 output channels, expected a multiple of the 2 groups"),
        ({"weight_shape": (0, 3, 1, 3, 6)}, "weight has 0 output channels, expected a multiple of the 2 groups"),
        (
            {"input_shape": (2, 6, 5, 12, 3)},
            "input has size (5, 12, 3) (T, H, W), too small for kernel (1, 3, 6)"
            " with padding (0, 1, 1) and dilation (2, 1, 1)",
        ),
        *(
            (
                {"offset_shape": (2, channels, 3, 4, 7)},
                f"offset has {channels} channels, expected 2 x 18 taps x offset groups,"
                " with a number of offset groups that divides the 6 input channels",
            )
            for channels in (0, 18, 107, 144)
        ),
        (
            {"offset_shape": (2, 108, 3, 4, 8)},
            "offset has shape (2, 108, 3, 4, 8), expected (2, 108, 3, 4, 7)",
        ),
        ({"mask_shape": (2, 108, 3, 4, 7)}, "mask has shape (2, 108, 3, 4, 7), expected (2, 54, 3, 4, 7)"),
        ({"mask_shape": (2, 54, 3, 4)}, "mask has shape (2, 54, 3, 4), expected (2, 54, 3, 4, 7)"),
        ({"bias_shape": (6,)}, "bias has shape (6), expected (4)"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        geometry(**changes)


def test_the_smallest_sizes_fit() -> None:
    found = Geometry.of((0, 1, 1, 1, 1), (0, 2, 1, 1, 1), (0, 1, 1, 1, 1), (1, 1, 1, 1, 1), (1,))
    assert (found.out_shape, found.taps, found.flops()) == ((0, 1, 1, 1, 1), 1, 0)
