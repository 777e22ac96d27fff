"""Conversion of networks as other projects build them: names and shapes that their own code gave, in ``layouts/``.

Each file has a line for every tensor of ``state_dict()``; nothing else of the projects is here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ls3d.errors import InputError
from ls3d.models import load_checkpoint
from ls3d.models.checkpoints import find_layout, make_matching_outline
from ls3d.models.checkpoints._translate import Translation

FOLDER = Path(__file__).with_name("layouts")

#: Configuration as mmaction2 stores it.
DOT_PRODUCT = "model = dict(backbone=dict(non_local_cfg=dict(sub_sample=True, use_scale=False, mode='dot_product')))"
CSN = "model = dict(data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]))"

#: Layout, configuration in the file, expected network, some expected arguments.
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "torchvision-r3d_18": ("", "r3d_18", {"bn_eps": 1e-5}),
    "torchvision-mc3_18": ("", "mc3_18", {"bn_eps": 1e-5}),
    "torchvision-r2plus1d_18": ("", "r2plus1d_18", {"midplanes": "torchvision"}),
    "mmaction2-i3d_r50": ("", "i3d_r50", {"layout": "mmaction2"}),
    "mmaction2-i3d_r50_nl": (DOT_PRODUCT, "i3d_r50_nl", {"non_local_mode": "dot_product", "non_local_scale": False}),
    "mmaction2-ircsn_152": (CSN, "ir_csn_152", {"bn_eps": 1e-3}),
    "mmaction2-ipcsn_152": ("", "ip_csn_152", {"bn_eps": 1e-3}),
    "mmaction2-c3d": ("", "c3d", {"pool5": "padded"}),
    "pytorchvideo-csn_r101": ("", "ir_csn_101", {"pool1": "spatial"}),
    "pytorchvideo-i3d_r50": ("", "i3d_r50", {"bn_eps": 1e-5}),
}
OTHER_NETWORKS = {
    "pytorchvideo-slow_r50": "another network",
    "pytorchvideo-c2d_r50": "another network",
    "pytorchvideo-r2plus1d_r50": "r2plus1d_r50, which convolves over time before space",
}


def read_layout(name: str) -> dict[str, torch.Tensor]:
    """Return tensors on the meta device."""
    tensors = {}
    for line in (FOLDER / f"{name}.txt").read_text().splitlines():
        key, _, size = line.partition(" ")
        dtype = torch.long if key.endswith("num_batches_tracked") else torch.float32
        tensors[key] = torch.empty([int(n) for n in size.split("x") if n], device="meta", dtype=dtype)
    return tensors


def translate(name: str, configuration: str = "") -> tuple[Any, Translation]:
    tensors = read_layout(name)
    layout = find_layout(tensors)
    assert layout is not None
    return layout, layout.translate({"meta": {"cfg": configuration}}, tensors)


def test_every_layout_has_a_case() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == CASES.keys() | OTHER_NETWORKS.keys()


@pytest.mark.parametrize("name", CASES)
def test_the_network_of_a_layout_is_found(name: str) -> None:
    configuration, expected, arguments = CASES[name]
    config = make_matching_outline(*translate(name, configuration)).require_config()
    assert config.architecture == expected
    assert arguments.items() <= config.arguments.items()


@pytest.mark.parametrize("name", OTHER_NETWORKS)
def test_networks_that_are_not_supported_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=OTHER_NETWORKS[name]):
        make_matching_outline(*translate(name))


def test_the_configuration_decides_what_shapes_do_not_show() -> None:
    _, translation = translate("mmaction2-i3d_r50_nl")
    assert translation.assumed["non_local_mode"] == "softmax"
    assert "non_local_mode" not in translation.known
    _, translation = translate("mmaction2-ircsn_152", CSN)
    assert translation.preprocessing_is_known
    assert translation.preprocessing.mean == (123.675, 116.28, 103.53)
    _, translation = translate("mmaction2-ircsn_152")
    assert not translation.preprocessing_is_known
    with pytest.raises(InputError, match="has mode concatenation"):
        translate("mmaction2-i3d_r50_nl", DOT_PRODUCT.replace("dot_product", "concatenation"))


def test_mmaction2_c3d_subtracts_its_own_means() -> None:
    _, translation = translate("mmaction2-c3d")
    assert translation.preprocessing.mean == (104.0, 117.0, 128.0)


@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_networks_of_torchvision_have_its_outputs(name: str, tmp_path: Path) -> None:
    video = pytest.importorskip("torchvision.models.video")
    theirs = getattr(video, name)(num_classes=7).eval()
    state = {f"_orig_mod.module.{key}": tensor for key, tensor in theirs.state_dict().items()}
    torch.save({"model": {"state_dict": state}}, tmp_path / "theirs.pth")
    clip = torch.randn(1, 3, 8, 56, 56)
    with torch.no_grad():
        torch.testing.assert_close(load_checkpoint(tmp_path / "theirs.pth")(clip), theirs(clip), rtol=1e-5, atol=1e-5)
