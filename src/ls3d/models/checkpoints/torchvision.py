"""torchvision's video networks, and VMZ's and ig65m's in PyTorch, which have the same names; so have ours.

torchvision has an epsilon of 1e-5 and computes the midplanes of R(2+1)D by block; the others have Caffe2's 1e-3 and
compute them by convolution. Whether a pool follows the stem, no shape shows (``use_pool1`` in VMZ).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from ls3d.models.checkpoints._architecture import infer_architecture
from ls3d.models.checkpoints._translate import Layout, Translation
from ls3d.models.metadata import TORCHVISION


def _recognizes(names: Iterable[str]) -> bool:
    return "stem.0.weight" in names and any(name.startswith("layer1.0.conv1.0.") for name in names)


def _translate(root: Mapping[str, Any], tensors: dict[str, Tensor]) -> Translation:
    name, arguments = infer_architecture({key: tuple(tensor.shape) for key, tensor in tensors.items()})
    caffe2 = "csn" in name or arguments.get("midplanes") == "vmz"
    pooled = "csn" in name or name == "r2plus1d_152"  # by default, in VMZ's PyTorch
    assumed = {"bn_eps": 1e-3 if caffe2 else 1e-5, "pool1": "spatial" if pooled else "none"}
    return Translation(dict(tensors), assumed, TORCHVISION)


LAYOUT = Layout("torchvision or VMZ in PyTorch", _recognizes, _translate)
