"""Inference of a network's name and arguments from the names (ours) and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ls3d.errors import InputError
from ls3d.models.recognition._blocks import factorized_width
from ls3d.models.recognition._resnet3d import DEPTHS

Shapes = Mapping[str, tuple[int, ...]]
#: Name and arguments, as ``create_model`` takes them.
Architecture = tuple[str, dict[str, Any]]


def infer_architecture(shapes: Shapes) -> Architecture:
    """Return name and arguments of the network that has tensors of these shapes.

    Arguments on which no shape depends (epsilons, strides, pools) are omitted.

    Raises:
        InputError: there is no such network.
    """
    try:
        return _infer_unchecked(shapes)
    except KeyError as missing:
        raise InputError(f"the checkpoint lacks {missing}") from missing
    except IndexError as error:
        raise InputError("the checkpoint's convolutions do not have three dimensions") from error


def _infer_unchecked(shapes: Shapes) -> Architecture:
    if any(name.startswith("visual.") for name in shapes):
        return _infer_audio_visual(shapes)
    if "fc6.0.weight" in shapes:
        return _infer_c3d(shapes)
    if "conv_1a.1.weight" in shapes:
        return "i3d_inception", _classes_and_channels(shapes, "conv_1a.1.weight")
    if "conv1.weight" in shapes:
        return f"audio_resnet_{_infer_depth(shapes)}", _classes_and_channels(shapes, "conv1.weight")
    if "stem.0.weight" in shapes:
        return _infer_resnet(shapes)
    raise InputError("the checkpoint's tensors are those of no registered network")


def _classes_and_channels(shapes: Shapes, first: str, classifier: str = "fc") -> dict[str, Any]:
    """Infer the number of classes and of input channels."""
    last = shapes.get(f"{classifier}.weight", (0,))
    return {"num_classes": last[0], "in_channels": shapes[first][1]}


def _shapes_inside(shapes: Shapes, prefix: str) -> dict[str, tuple[int, ...]]:
    """Select the tensors of a submodule and remove its prefix."""
    return {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}


def _infer_audio_visual(shapes: Shapes) -> Architecture:
    name, arguments = _infer_resnet(_shapes_inside(shapes, "visual."))
    audio, _ = infer_architecture(_shapes_inside(shapes, "audio."))
    if name.rpartition("_")[2] != audio.rpartition("_")[2]:
        raise InputError(f"the checkpoint joins {name} and {audio}, expected networks of the same depth")
    return f"av_{name}", {
        "in_channels": arguments["in_channels"],
        "unimodal_heads": "visual_fc.weight" in shapes,
        "num_classes": shapes.get("fc.weight", (0,))[0],
    }


def _infer_c3d(shapes: Shapes) -> Architecture:
    if "conv1.0.weight" in shapes:
        return "c3d_ucf101", _classes_and_channels(shapes, "conv1.0.weight", "fc8")
    if "conv1a.0.weight" not in shapes:
        raise InputError("the checkpoint has C3D's fc6 but not its conv1a")
    name = "c3d_bn" if "conv1a.1.weight" in shapes else "c3d"
    return name, _classes_and_channels(shapes, "conv1a.0.weight", "fc8")


def _infer_depth(shapes: Shapes) -> int:
    counts = tuple(
        len({name.split(".")[1] for name in shapes if name.startswith(f"layer{stage}.")}) for stage in (1, 2, 3, 4)
    )
    bottleneck = "layer1.0.conv3.0.weight" in shapes
    for depth, expected in DEPTHS.items():
        if counts == expected and (depth >= 50) == bottleneck:
            return depth
    kind = "bottlenecks" if bottleneck else "basic blocks"
    raise InputError(f"the checkpoint has stages of {counts} {kind}, as no registered network has")


def _infer_resnet(shapes: Shapes) -> Architecture:
    depth = _infer_depth(shapes)
    arguments = _classes_and_channels(shapes, "stem.0.weight")
    if not any(".downsample." in name for name in shapes):
        arguments["shortcut"] = "zero_padding"
    if "layer1.0.conv2.0.0.weight" in shapes:
        return _infer_factorized(depth, shapes, arguments)
    kernel = shapes["stem.0.weight"][2]
    if shapes["layer1.0.conv2.0.weight"][1] == 1:
        return f"ir_csn_{depth}", {**arguments, **_stem_kernel(kernel)}
    if depth == 50 and shapes["layer1.0.conv1.0.weight"][2] == 3:
        return f"i3d_r50{'_nl' if any('.non_local.' in name for name in shapes) else ''}", arguments
    spatiotemporal = [shapes[f"layer{stage}.0.conv2.0.weight"][2] == 3 for stage in (1, 2, 3, 4)]
    if all(spatiotemporal) and kernel != 1:
        projected = depth < 50 and "layer1.0.downsample.0.weight" in shapes
        return f"{'res3d' if projected else 'r3d'}_{depth}", {**arguments, **_stem_kernel(kernel)}
    return _infer_mixed(depth, kernel, spatiotemporal, arguments)


def _stem_kernel(kernel: int) -> dict[str, Any]:
    return {} if kernel == 3 else {"stem_kernel": kernel}


def _infer_factorized(depth: int, shapes: Shapes, arguments: dict[str, Any]) -> Architecture:
    if shapes["layer1.0.conv2.0.0.weight"][2:] == (1, 1, 1):
        return f"ip_csn_{depth}", {**arguments, **_stem_kernel(shapes["stem.0.weight"][2])}
    # VMZ's rule and torchvision's differ in the second convolution of layer2.0, in a bottleneck the only one.
    middle = shapes["layer2.0.conv2.0.0.weight"]
    rule = "vmz" if middle[0] == factorized_width(middle[1], shapes["layer2.0.conv2.0.3.weight"][0]) else "torchvision"
    arguments = {**arguments, "midplanes": rule, **_stem_kernel(shapes["stem.3.weight"][2])}
    if shapes["stem.0.weight"][0] != 45:
        arguments["stem_width"] = shapes["stem.0.weight"][0]
    return f"r2plus1d_{depth}", arguments


def _infer_mixed(depth: int, kernel: int, stages: list[bool], arguments: dict[str, Any]) -> Architecture:
    """Infer f-R2D, R2D, MCx or rMCx from the 2D and 3D stages.

    MC2 and R2D for clips of 3 frames have the same shapes, which are taken for MC2's.
    """
    groups = [kernel == 3, *stages]
    level = next((x for x in (2, 3, 4, 5) if groups[x - 1] != groups[0]), 0)
    if not any(groups):
        if kernel == 1:
            return f"fr2d_{depth}", arguments
        return f"r2d_{depth}", {**arguments, "frames": kernel}
    if level and all(group == groups[level - 1] for group in groups[level - 1 :]):
        return f"{'mc' if groups[0] else 'rmc'}{level}_{depth}", arguments
    raise InputError(f"the checkpoint's 3D stages ({stages}) are those of no registered network")
