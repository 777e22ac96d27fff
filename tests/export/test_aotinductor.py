"""Packages of AOTInductor: the same outputs, and native code that runs only where it is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._inductor import config
from torch.export import Dim, export

from ls3d.errors import InputError
from ls3d.export import export_aotinductor
from ls3d.export._aotinductor import with_package_operations, write_package
from ls3d.export._prepare import moving_texture
from ls3d.inference import Enhancer
from ls3d.models import load_enhancement_model, load_model
from ls3d.models.exported import TRUST_VARIABLE, PackageSession
from ls3d.ops import bilateral_motion


def test_native_code_must_be_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "network.pt2").write_bytes(b"native code")
    monkeypatch.delenv(TRUST_VARIABLE, raising=False)
    with pytest.raises(InputError, match=r"network\.pt2 contains native code.*LS3D_TRUST_NATIVE_CODE=1"):
        load_model(tmp_path / "network.pt2")
    monkeypatch.setenv(TRUST_VARIABLE, "1")
    with pytest.raises(InputError, match=r"network\.pt2 can't be loaded by AOTInductor"):
        load_model(tmp_path / "network.pt2")


def test_without_a_compiler(tmp_path: Path) -> None:
    without = config.patch({"cpp.cxx": (str(tmp_path / "missing"),)})
    with without, pytest.raises(InputError, match="needs a C\\+\\+ compiler, and none was found"):
        export_aotinductor("blend", tmp_path / "blend.pt2")
    assert not list(tmp_path.iterdir())


def test_the_folder_is_looked_for_before_anything_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", None)
    with pytest.raises(InputError, match=r"can't be written: there is no folder .*missing"):
        export_aotinductor("blend", tmp_path / "missing" / "blend.pt2")


@pytest.mark.parametrize(
    ("size", "arguments"),
    [
        ((6, 8), (2, 2, 0, True)),
        ((7, 9), (2, 2, 0, True)),
        ((1, 5), (2, None, 0, True)),
        ((7, 9), (3, 2, 1, True)),
        ((7, 9), (2,)),
    ],
)
def test_pooling_means_the_same_in_packages(size: tuple[int, int], arguments: tuple[Any, ...]) -> None:
    class Pool(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.avg_pool2d(x, *arguments)

    values = torch.rand(2, 3, *size, dtype=torch.float64)
    program = with_package_operations(export(Pool(), (values,)))
    torch.testing.assert_close(program.module()(values), Pool()(values), rtol=0, atol=1e-15)


class MotionAndPool(nn.Module):
    """What packages can't have as it is: the search, and pooling with ``ceil_mode``."""

    def forward(self, frames: Tensor) -> Tensor:
        motion = bilateral_motion(frames[:, :, 0], frames[:, :, 1], [0.25, 0.5], 3)
        return F.avg_pool2d(motion.flatten(1, 2), 2, ceil_mode=True)


@pytest.mark.slow
def test_packages_search_and_pool_frames_of_any_size(tmp_path: Path) -> None:
    axes = {0: Dim.AUTO, 3: Dim.AUTO, 4: Dim.AUTO}
    traced = moving_texture((2, 3, 2, 64, 80))
    write_package(export(MotionAndPool(), (traced,), dynamic_shapes=(axes,)), {}, tmp_path / "package.pt2")
    run = PackageSession(tmp_path / "package.pt2", trusted=True)
    for size in ((2, 3, 2, 64, 80), (3, 3, 2, 66, 91), (1, 3, 2, 45, 37)):
        frames = moving_texture(size)
        torch.testing.assert_close(run(frames), MotionAndPool()(frames), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_package_takes_the_place_of_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = export_aotinductor("bicubic", tmp_path / "bicubic.pt2")
    assert report.runtime == "AOTInductor"
    assert set(report.open) == {"batch", "height", "width"}
    assert [path.name for path in tmp_path.iterdir()] == ["bicubic.pt2"]
    monkeypatch.setenv(TRUST_VARIABLE, "1")
    network = load_enhancement_model(tmp_path / "bicubic.pt2")
    frames = torch.rand(1, 3, 1, 37, 90)
    expected = Enhancer(load_enhancement_model("bicubic")).restore(frames)
    torch.testing.assert_close(Enhancer(network).restore(frames), expected, rtol=0, atol=1e-5)
