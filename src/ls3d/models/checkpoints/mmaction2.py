"""mmaction2's C3D, ip- and ir-CSN and I3D-R50 with and without non-local blocks.

Its I3D has temporal strides of two in the stem and both pools, and its non-local blocks pool after their convolutions;
its C3D pads the last pool. Its R(2+1)D-34 differs from the paper's network and isn't supported. The configuration in
``meta.cfg`` has what the tensors don't show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ls3d.errors import InputError
from ls3d.models.checkpoints._configuration import choice, configuration, normalization
from ls3d.models.checkpoints._translate import Layout, Rules, Translation, rename
from ls3d.models.metadata import IMAGENET, MMACTION_C3D, MMACTION_CSN

_BLOCK = r"backbone\.(layer\d\.\d+)"
_RESNET: Rules = (
    (r"backbone\.conv1\.conv\.weight", r"stem.0.weight"),
    (r"backbone\.conv1\.bn\.(.+)", r"stem.1.\1"),
    (rf"{_BLOCK}\.downsample\.conv\.weight", r"\1.downsample.0.weight"),
    (rf"{_BLOCK}\.downsample\.bn\.(.+)", r"\1.downsample.1.\2"),
    (rf"{_BLOCK}\.conv(\d)\.conv\.weight", r"\1.conv\2.0.weight"),
    (rf"{_BLOCK}\.conv(\d)\.bn\.(.+)", r"\1.conv\2.1.\3"),
    (rf"{_BLOCK}\.non_local_block\.(theta|phi|g)(?:\.0)?\.conv\.(.+)", r"\1.non_local.\2.\3"),
    (rf"{_BLOCK}\.non_local_block\.conv_out\.conv\.(.+)", r"\1.non_local.out.\2"),
    (rf"{_BLOCK}\.non_local_block\.conv_out\.bn\.(.+)", r"\1.non_local.bn.\2"),
    (r"cls_head\.fc_cls\.(.+)", r"fc.\1"),
)
#: The middle convolution of CSN: ``conv2.0`` in ir; ``conv2.0`` (1x1x1) and ``conv2.1`` (depthwise) in ip.
_IR: Rules = (
    (rf"{_BLOCK}\.conv2\.0\.conv\.weight", r"\1.conv2.0.weight"),
    (rf"{_BLOCK}\.conv2\.0\.bn\.(.+)", r"\1.conv2.1.\2"),
)
_IP: Rules = (
    (rf"{_BLOCK}\.conv2\.0\.conv\.weight", r"\1.conv2.0.0.weight"),
    (rf"{_BLOCK}\.conv2\.0\.bn\.(.+)", r"\1.conv2.0.1.\2"),
    (rf"{_BLOCK}\.conv2\.1\.conv\.weight", r"\1.conv2.0.2.weight"),
    (rf"{_BLOCK}\.conv2\.1\.bn\.(.+)", r"\1.conv2.1.\2"),
)
_C3D: Rules = (
    (r"backbone\.(conv\d[ab])\.conv\.(.+)", r"\1.0.\2"),
    (r"backbone\.(conv\d[ab])\.bn\.(.+)", r"\1.1.\2"),
    (r"backbone\.(fc[67])\.(.+)", r"\1.0.\2"),
    (r"cls_head\.fc_cls\.(.+)", r"fc8.\1"),
)


def _recognizes(names: Iterable[str]) -> bool:
    return any(name.startswith("backbone.") for name in names)


def _translate(root: Mapping[str, Any], tensors: dict[str, Tensor]) -> Translation:
    if any(".conv_s." in name for name in tensors):
        raise InputError(
            "the checkpoint is mmaction2's R(2+1)D, with a pool after the stem and factorized shortcuts, "
            "and is not R(2+1)D of the paper; there is no such network here"
        )
    text = configuration(root)
    rules: Rules
    known: dict[str, Any] = {}
    if "backbone.conv1a.conv.weight" in tensors:
        rules, assumed, usual = _C3D, {"pool5": "padded", "bn_eps": 1e-5}, MMACTION_C3D
    elif any(".conv2.0." in name for name in tensors):
        middle = _IP if any(".conv2.1." in name for name in tensors) else _IR
        rules, assumed, usual = (*middle, *_RESNET), {"bn_eps": 1e-3}, MMACTION_CSN
    else:
        rules, usual = _RESNET, IMAGENET
        assumed, known = _i3d_arguments(tensors, text)
    preprocessing, is_known = normalization(text, usual, ("mean", "std"))
    return Translation(_with_biases(rename(tensors, rules)), assumed, preprocessing, known, is_known)


def _i3d_arguments(tensors: Mapping[str, Tensor], text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the assumed and the known arguments."""
    assumed: dict[str, Any] = {"bn_eps": 1e-5, "layout": "mmaction2"}
    known: dict[str, Any] = {}
    if any(".non_local_block." in name for name in tensors):
        pooled = any(".non_local_block.phi.0." in name for name in tensors)
        known["non_local_pool"] = "after" if pooled else "none"
        # The tensors of the modes are equal. Its configurations for I3D use an embedded Gaussian without the scale.
        assumed |= {"non_local_mode": "softmax", "non_local_scale": False}
        non_local = text[max(0, text.find("non_local_cfg")) :] if "non_local_cfg" in text else ""
        mode = choice(non_local, "mode", {"embedded_gaussian": "softmax", "dot_product": "dot_product"})
        scale = choice(non_local, "use_scale", {"True": True, "False": False})
        known |= {} if mode is None else {"non_local_mode": mode}
        known |= {} if scale is None else {"non_local_scale": scale}
    return assumed, known


def _with_biases(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the biases of zero that the last convolutions of non-local blocks lack, since a normalization follows."""
    for name in [name for name in tensors if name.endswith(".non_local.out.weight")]:
        bias = f"{name.removesuffix('weight')}bias"
        tensors.setdefault(bias, torch.zeros(len(tensors[name])))
    return tensors


LAYOUT = Layout("mmaction2", _recognizes, _translate, ("i3d_r50", "ir_csn", "ip_csn", "c3d"))
