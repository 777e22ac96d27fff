"""SlowFast's I3D-R50, with and without non-local blocks: PyTorch (``.pyth``) and Caffe2 (``.pkl``) files.

The Caffe2 names are also those of video-nonlocal-net. Files with two pathways are SlowFast networks, which aren't
supported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from ls3d.errors import InputError
from ls3d.models.checkpoints._configuration import choice, configuration, normalization
from ls3d.models.checkpoints._translate import Layout, Rules, Translation, rename
from ls3d.models.metadata import SLOWFAST

_BRANCH = {"a": "conv1", "b": "conv2", "c": "conv3"}
_BOOLEANS = {word: word.lower() == "true" for word in ("true", "false", "True", "False")}
_BLOB = {"s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}


def _pytorch_rules() -> Rules:
    rules = [
        (r"s1\.pathway0_stem\.conv\.weight", r"stem.0.weight"),
        (r"s1\.pathway0_stem\.bn\.(.+)", r"stem.1.\1"),
        (r"head\.projection\.(.+)", r"fc.\1"),
    ]
    for number in range(2, 6):
        block, ours = rf"s{number}\.pathway0_res(\d+)", rf"layer{number - 1}.\1"
        rules.append((rf"{block}\.branch1\.weight", rf"{ours}.downsample.0.weight"))
        rules.append((rf"{block}\.branch1_bn\.(.+)", rf"{ours}.downsample.1.\2"))
        for branch, conv in _BRANCH.items():
            rules.append((rf"{block}\.branch2\.{branch}\.weight", rf"{ours}.{conv}.0.weight"))
            rules.append((rf"{block}\.branch2\.{branch}_bn\.(.+)", rf"{ours}.{conv}.1.\2"))
        attention = rf"s{number}\.pathway0_nonlocal(\d+)"
        rules.append((rf"{attention}\.conv_(theta|phi|g|out)\.(.+)", rf"{ours}.non_local.\2.\3"))
        rules.append((rf"{attention}\.(?:bn|norm)\.(.+)", rf"{ours}.non_local.bn.\2"))
    return rules


def _caffe2_rules() -> Rules:
    rules = [
        (r"conv1_w", r"stem.0.weight"),
        (r"pred_w", r"fc.weight"),
        (r"pred_b", r"fc.bias"),
    ]
    for suffix, kind in _BLOB.items():
        rules.append((rf"res_conv1_bn_{suffix}", rf"stem.1.{kind}"))
    for number in range(2, 6):
        block, ours = rf"res{number}_(\d+)", rf"layer{number - 1}.\1"
        parts = {"1": "downsample", **{f"2{branch}": conv for branch, conv in _BRANCH.items()}}
        for branch, part in parts.items():
            rules.append((rf"{block}_branch{branch}_w", rf"{ours}.{part}.0.weight"))
            for suffix, kind in _BLOB.items():
                rules.append((rf"{block}_branch{branch}_bn_{suffix}", rf"{ours}.{part}.1.{kind}"))
        attention = rf"nonlocal_conv{number}_(\d+)"
        rules.append((rf"{attention}_(theta|phi|g|out)_w", rf"{ours}.non_local.\2.weight"))
        rules.append((rf"{attention}_(theta|phi|g|out)_b", rf"{ours}.non_local.\2.bias"))
        for suffix, kind in _BLOB.items():
            rules.append((rf"{attention}_bn_{suffix}", rf"{ours}.non_local.bn.{kind}"))
    return rules


def _recognizes_pytorch(names: Iterable[str]) -> bool:
    return any(name.startswith("s1.pathway0_stem.") for name in names)


def _recognizes_caffe2(names: Iterable[str]) -> bool:
    return any(re.match(r"res\d_\d+_branch2a", name) for name in names)


def _translate_pytorch(root: Mapping[str, Any], tensors: dict[str, Tensor]) -> Translation:
    if any("pathway1" in name for name in tensors):
        raise InputError("the checkpoint is a SlowFast network's, with two pathways; there is no such network here")
    renamed = rename(tensors, _pytorch_rules())
    text = configuration(root)
    if choice(text, "STRIDE_1X1", _BOOLEANS):
        raise InputError("the configuration in the checkpoint has STRIDE_1X1 true; there is no such network here")
    preprocessing, is_known = normalization(text, SLOWFAST, ("MEAN", "STD"))
    assumed = _assumed(renamed)
    mode = choice(text, "INSTANTIATION", {"softmax": "softmax", "dot_product": "dot_product"})
    known = {"non_local_mode": mode} if mode is not None and "non_local_mode" in assumed else {}
    return Translation(renamed, assumed, preprocessing, known, is_known)


def _translate_caffe2(root: Mapping[str, Any], tensors: dict[str, Tensor]) -> Translation:
    if any(name.startswith("t_") for name in tensors):
        raise InputError("the checkpoint is a SlowFast network's, with two pathways; there is no such network here")
    renamed = rename(tensors, _caffe2_rules(), ignored=r".*_momentum|lr|model_iter|cur_iter")
    return Translation(renamed, _assumed(renamed), SLOWFAST)


def _assumed(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments on which no shape depends."""
    assumed: dict[str, Any] = {"bn_eps": 1e-5, "layout": "slowfast"}
    if any(".non_local." in name for name in tensors):
        assumed |= {"non_local_mode": "softmax", "non_local_pool": "before"}
    return assumed


_NOTES = ("bottlenecks have their stride in the second convolution (STRIDE_1X1 false)",)
PYTORCH = Layout("SlowFast", _recognizes_pytorch, _translate_pytorch, ("i3d_r50",), _NOTES)
CAFFE2 = Layout("SlowFast or video-nonlocal-net in Caffe2", _recognizes_caffe2, _translate_caffe2, ("i3d_r50",))
