"""Packages of AOTInductor: the same outputs, and native code that runs only where it is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch._inductor import config

from ls3d.errors import InputError
from ls3d.export import export_aotinductor
from ls3d.inference import Enhancer
from ls3d.models import create_model, load_enhancement_model, load_model
from ls3d.models.exported import TRUST_VARIABLE


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


def test_networks_that_search_for_motion_are_refused(tmp_path: Path) -> None:
    network = create_model("bilateral", levels=1)
    with pytest.raises(InputError, match=r"bilateral searches for motion.*export it as \.onnx instead"):
        export_aotinductor(network, tmp_path / "bilateral.pt2", size=(32, 32))
    assert not list(tmp_path.iterdir())


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
