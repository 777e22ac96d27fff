"""3D-ResNets-PyTorch (Hara et al., arXiv:1711.09577): R3D and R(2+1)D with another stem and pool.

The stem spans 7 frames, the pool after it also halves the length, and shortcuts may pad with zeros (type A). 2D ResNets
have the same names, so that inflation uses the rules too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from ls3d.errors import InputError
from ls3d.models.checkpoints._translate import Layout, Rules, Translation, rename
from ls3d.models.metadata import RESNETS_3D

#: ``_s`` and ``_t`` are the spatial and temporal parts of (2+1)D convolutions.
RULES: Rules = (
    (r"conv1\.weight", r"stem.0.weight"),
    (r"bn1\.(.+)", r"stem.1.\1"),
    (r"conv1_s\.weight", r"stem.0.weight"),
    (r"bn1_s\.(.+)", r"stem.1.\1"),
    (r"conv1_t\.weight", r"stem.3.weight"),
    (r"bn1_t\.(.+)", r"stem.4.\1"),
    (r"(layer\d\.\d+)\.conv(\d)\.weight", r"\1.conv\2.0.weight"),
    (r"(layer\d\.\d+)\.bn(\d)\.(.+)", r"\1.conv\2.1.\3"),
    (r"(layer\d\.\d+)\.conv(\d)_s\.weight", r"\1.conv\2.0.0.weight"),
    (r"(layer\d\.\d+)\.bn(\d)_s\.(.+)", r"\1.conv\2.0.1.\3"),
    (r"(layer\d\.\d+)\.conv(\d)_t\.weight", r"\1.conv\2.0.3.weight"),
    (r"(layer\d\.\d+)\.bn(\d)_t\.(.+)", r"\1.conv\2.1.\3"),
    (r"(layer\d\.\d+\.downsample\.\d\..+)", r"\1"),
    (r"(fc\.(?:weight|bias))", r"\1"),
)


def _recognizes(names: Iterable[str]) -> bool:
    return "bn1.weight" in names or "bn1_s.weight" in names


def _translate(root: Mapping[str, Any], tensors: dict[str, Tensor]) -> Translation:
    renamed = rename(tensors, RULES)
    if renamed["stem.0.weight"].ndim != 5:
        raise InputError("the checkpoint is a 2D network's; ls3d.models.inflate makes a 3D one of it")
    arguments = {"bn_eps": 1e-5, "pool1": "spatiotemporal"}
    return Translation(renamed, arguments, RESNETS_3D)


LAYOUT = Layout("3D-ResNets-PyTorch", _recognizes, _translate, notes=("the stem has a temporal stride of 1",))
