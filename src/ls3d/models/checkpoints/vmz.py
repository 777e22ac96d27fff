"""VMZ's Caffe2 files: residual networks, C3D with normalization, the audio and the audio-visual networks.

The numbers of blocks (``comp_0``, ...) run through the network, those of convolutions through the block, so that the
depth must be known to map them to stages. ir-CSN skips a number after its first convolution (1, 3, 4).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from ls3d.errors import InputError
from ls3d.models.checkpoints._translate import Layout, Rules, Translation, rename
from ls3d.models.metadata import VMZ
from ls3d.models.recognition._resnet3d import DEPTHS

_BLOB = {"s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}
_IGNORED = r".*_momentum|lr|iter|epoch|best_metric|.*optimizer_iteration.*"


def _recognizes(names: Iterable[str]) -> bool:
    return any(re.fullmatch(r"(?:[av]_)?comp_0_conv_1(?:_middle)?_w|conv1a_w", name) for name in names)


def _translate(root: Mapping[str, Any], tensors: dict[str, Tensor]) -> Translation:
    rules: Rules
    if "conv1a_w" in tensors:
        rules = _c3d_rules()
    elif any(name.startswith("v_comp_") for name in tensors):
        rules = _audio_visual_rules(tensors)
    else:
        rules = [*_network_rules(tensors, "conv1_b" in tensors), *_linear(r"last_out_L\d+", "fc")]
    renamed = {
        name: tensor.flatten(1) if _is_linear(name) else tensor
        for name, tensor in rename(tensors, rules, _IGNORED).items()
    }
    arguments: dict[str, Any] = {"bn_eps": 1e-3}
    if "conv1a_w" in tensors:
        arguments["pool5"] = "floor"
    return Translation(renamed, arguments, VMZ)


def _is_linear(name: str) -> bool:
    """Whether a tensor (by our name) is the weight of a linear layer; VMZ may store it as a 1x1x1 convolution."""
    return bool(re.fullmatch(r"(?:\w+_)?fc\d?(?:\.0)?\.weight", name))


def _linear(theirs: str, ours: str, prefix: str = "") -> list[tuple[str, str]]:
    return [(rf"{prefix}{theirs}_w", rf"{ours}.weight"), (rf"{prefix}{theirs}_b", rf"{ours}.bias")]


def _norm(theirs: str, ours: str) -> list[tuple[str, str]]:
    return [(rf"{theirs}_{suffix}", rf"{ours}.{kind}") for suffix, kind in _BLOB.items()]


def _c3d_rules() -> Rules:
    rules = [
        (r"(conv\d[ab])_w", r"\1.0.weight"),
        (r"(conv\d[ab])_b", r"\1.0.bias"),
        *_norm(r"(conv\d[ab])_bn", r"\1.1"),
    ]
    return [*rules, *_linear("fc6", "fc6.0"), *_linear("fc7", "fc7.0"), *_linear(r"last_out_L\d+", "fc8")]


def _audio_visual_rules(tensors: Mapping[str, Tensor]) -> Rules:
    visual = {name[2:]: tensor for name, tensor in tensors.items() if name.startswith("v_")}
    audio = {name[2:]: tensor for name, tensor in tensors.items() if name.startswith("a_")}
    rules = [(f"v_{theirs}", f"visual.{ours}") for theirs, ours in _network_rules(visual, False)]
    rules += [(f"a_{theirs}", f"audio.{ours}") for theirs, ours in _network_rules(audio, True)]
    for theirs, ours in (("av_fc1", "fc1.0"), ("av_fc2", "fc2.0"), (r"last_out_L\d+", "fc")):
        rules += _linear(theirs, ours)
    for letter, ours in (("v", "visual_fc"), ("a", "audio_fc")):
        rules += _linear(rf"{letter}_last_out_L\d+", ours)
    return rules


def _network_rules(tensors: Mapping[str, Tensor], audio: bool) -> list[tuple[str, str]]:
    """Return the rules for the stem and the residual blocks of one network, without its classifiers."""
    numbers = {int(match[1]) for name in tensors if (match := re.match(r"comp_(\d+)_", name))}
    names = ["stem.0", "stem.1", "stem.2"] if audio else []
    names += _blocks(len(numbers) - len(names), any(re.fullmatch(r"comp_\d+_conv_[34]_w", name) for name in tensors))
    rules = _audio_stem() if audio else _stem("conv1_middle_w" in tensors)
    for number, block in enumerate(names):
        rules += _block_rules(f"comp_{number}", f"shortcut_projection_{number}", block, tensors)
    return rules


def _blocks(count: int, bottleneck: bool) -> list[str]:
    """Return our names of the residual blocks, in the order of their numbers."""
    for depth, counts in DEPTHS.items():
        if sum(counts) == count and (depth >= 50) == bottleneck:
            return [f"layer{stage}.{index}" for stage, n in enumerate(counts, 1) for index in range(n)]
    kind = "bottlenecks" if bottleneck else "basic blocks"
    raise InputError(f"the checkpoint has {count} {kind}, as no registered network has")


def _audio_stem() -> list[tuple[str, str]]:
    return [(r"conv1_w", "conv1.weight"), (r"conv1_b", "conv1.bias")]


def _stem(factorized: bool) -> list[tuple[str, str]]:
    if not factorized:
        return [(r"conv1_w", "stem.0.weight"), *_norm("conv1_spatbn_relu", "stem.1")]
    return [
        (r"conv1_middle_w", "stem.0.weight"),
        *_norm("conv1_middle_spatbn_relu", "stem.1"),
        (r"conv1_w", "stem.3.weight"),
        *_norm("conv1_spatbn_relu", "stem.4"),
    ]


def _block_rules(theirs: str, shortcut: str, ours: str, tensors: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    rules = [
        (rf"{shortcut}_w", rf"{ours}.downsample.0.weight"),
        *_norm(rf"{shortcut}_spatbn", rf"{ours}.downsample.1"),
    ]
    is_ir_csn = f"{theirs}_conv_4_w" in tensors
    for number, index in ((1, 1), (3, 2), (4, 3)) if is_ir_csn else ((1, 1), (2, 2), (3, 3)):
        conv = rf"{ours}.conv{index}"
        middle = tensors.get(f"{theirs}_conv_{number}_middle_w")
        if middle is None:
            last = f"{conv}.0"
        else:  # (2+1)D has a ReLU between its parts, ip-CSN none
            last = f"{conv}.0.2" if middle.shape[2:].numel() == 1 else f"{conv}.0.3"
            rules.append((rf"{theirs}_conv_{number}_middle_w", rf"{conv}.0.0.weight"))
            rules += _norm(rf"{theirs}_spatbn_{number}_middle", rf"{conv}.0.1")
        rules.append((rf"{theirs}_conv_{number}_w", rf"{last}.weight"))
        rules += _norm(rf"{theirs}_spatbn_{number}", rf"{conv}.1")
    return rules


LAYOUT = Layout("VMZ in Caffe2", _recognizes, _translate)
