"""pytorchvideo's ``csn_r101`` and ``i3d_r50``. Its ``r2plus1d_r50`` differs from the paper's and isn't supported."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ls3d.errors import InputError
from ls3d.models.checkpoints._translate import Layout, Rules, Translation, rename
from ls3d.models.metadata import SLOWFAST

_BRANCH = {"a": "conv1", "b": "conv2", "c": "conv3"}


def _rules(names: Iterable[str]) -> Rules:
    """Return the rules for a checkpoint: its numbering of blocks includes pools, so stages are found by content."""
    numbers = sorted({int(m[1]) for name in names if (m := re.match(r"blocks\.(\d+)\.res_blocks\.", name))})
    rules = [
        (r"blocks\.0\.conv\.weight", r"stem.0.weight"),
        (r"blocks\.0\.norm\.(.+)", r"stem.1.\1"),
        (r"blocks\.\d+\.proj\.(.+)", r"fc.\1"),
    ]
    for stage, number in enumerate(numbers, 1):
        block, ours = rf"blocks\.{number}\.res_blocks\.(\d+)", rf"layer{stage}.\1"
        rules.append((rf"{block}\.branch1_conv\.weight", rf"{ours}.downsample.0.weight"))
        rules.append((rf"{block}\.branch1_norm\.(.+)", rf"{ours}.downsample.1.\2"))
        for branch, conv in _BRANCH.items():
            rules.append((rf"{block}\.branch2\.conv_{branch}\.weight", rf"{ours}.{conv}.0.weight"))
            rules.append((rf"{block}\.branch2\.norm_{branch}\.(.+)", rf"{ours}.{conv}.1.\2"))
    return rules


def _recognizes(names: Iterable[str]) -> bool:
    return any(re.match(r"blocks\.\d+\.res_blocks\.", name) for name in names)


def _translate(root: Mapping[str, Any], tensors: dict[str, Tensor]) -> Translation:
    if any("conv_b.conv_t" in name for name in tensors):
        raise InputError(
            "the checkpoint is pytorchvideo's r2plus1d_r50, which convolves over time before space and "
            "is not R(2+1)D of the paper; there is no such network here"
        )
    renamed = rename(tensors, _rules(tensors))
    assumed: dict[str, Any] = {"bn_eps": 1e-5}
    if renamed.get("layer1.0.conv2.0.weight", torch.empty(0, 0)).shape[1] == 1:  # depthwise: CSN
        assumed["pool1"] = "spatial"
    return Translation(renamed, assumed, SLOWFAST)


LAYOUT = Layout("pytorchvideo", _recognizes, _translate, ("i3d_r50", "ir_csn"))
