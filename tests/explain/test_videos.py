"""From a video to figures, films and arrays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.videos import Clip, decode

from ls3d.errors import InputError, MissingExtraError, OutputExistsError
from ls3d.explain import explain_pixel, trace_samples, trace_video
from ls3d.explain.figures import color_wheel
from ls3d.explain.videos import open_video
from ls3d.models import load_enhancement_model
from ls3d.video import to_rgb
from ls3d.video.images import read_image


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Five frames of 32x24 pixels."""
    return Clip(5, (24, 32)).write(tmp_path / "in.mp4")


def test_arrays_are_those_of_the_library(source: Path, tmp_path: Path) -> None:
    explain_pixel(source, tmp_path / "out.npz", 20, 10, frame=1, frames=2, models=["bilateral", "blend"])
    saved = np.load(tmp_path / "out.npz")
    assert len(saved) == 2 * 2 * 5
    video = open_video(source)
    frames = torch.stack([to_rgb(frame.picture, video.info.color).clamp(0, 1) for frame in video.frames()], dim=1)
    points = trace_samples(load_enhancement_model("bilateral"), frames[:, 2:4], 20, 10)
    np.testing.assert_allclose(saved["bilateral/2/x"], points.x)
    np.testing.assert_allclose(saved["bilateral/2/weight"], points.weight)
    assert set(saved["bilateral/2/frame"]) == {2, 3}
    assert saved["blend/1/density"].shape == (2, 24, 32)


def test_windows_repeat_the_ends_of_a_video(source: Path) -> None:
    video = open_video(source)
    network = load_enhancement_model("aligned_mean")
    windows = [numbers for numbers, _ in trace_video(video, network, 0, 2, sigma=0.1)]
    assert windows == [(0, 0, 0, 0, 1, 2, 3), (0, 0, 0, 1, 2, 3, 4)]
    ((numbers, traced),) = trace_video(video, network, 4, 9, sigma=0.1)
    assert numbers == (1, 2, 3, 4, 4, 4, 4)
    assert torch.equal(traced.frames[:, 3], traced.frames[:, 6])


def test_a_rotated_video_is_traced_as_it_is_shown(tmp_path: Path) -> None:
    video = open_video(Clip(2, (24, 32), rotation=90).write(tmp_path / "in.mov"))
    ((_, traced),) = trace_video(video, load_enhancement_model("blend"), 0)
    assert traced.output.shape == (3, 32, 24)


def test_figures(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    output, density, layers, spread = (tmp_path / f"{name}.png" for name in ("output", "density", "layers", "spread"))
    explain_pixel(source, output, 20, 10, models=["bilateral", "blend"], layers=layers, spread=spread, spread_pixels=5)
    explain_pixel(source, density, 20, 10, models=["blend"], kind="density")
    for path in (output, density, layers, spread):
        assert read_image(path).std() > 20, "it isn't empty"
    for path in (output, density):
        red = np.abs(read_image(path).astype(int) - [255, 32, 32]).max(axis=2) < 8
        assert red.sum() > 20, "the pixel is marked"


def test_a_film_has_a_picture_for_each_frame(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    explain_pixel(source, tmp_path / "out.mp4", 20, 10, frames=3, models=["blend"])
    pictures = decode(tmp_path / "out.mp4")
    assert len(pictures) == 3


def test_a_network_without_learnable_sampling_has_no_layers_to_draw(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(InputError, match=r"layers .*: blend has no layers with learnable sampling"):
        explain_pixel(source, tmp_path / "out.png", 1, 1, models=["blend"], layers=tmp_path / "layers.png")
    assert not list(tmp_path.glob("*.png"))


def test_errors(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.npz"
    with pytest.raises(InputError, match=r"frame 4: expected that .* has frame 4 and 5"):
        explain_pixel(source, output, 1, 1, frame=4, models=["blend"])
    with pytest.raises(InputError, match="bicubic: its task is super-resolution, expected interpolation"):
        explain_pixel(source, output, 1, 1, models=["blend", "bicubic"])
    with pytest.raises(InputError, match=r"output .* there is no folder"):
        explain_pixel(source, tmp_path / "no" / "out.npz", 1, 1, models=["blend"])
    with pytest.raises(InputError, match=r"x 32: expected 0 to 31"):
        explain_pixel(source, output, 32, 1, models=["blend"])
    assert not output.exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"output": "out"}, r"output .*name without suffix is not a video format"),
        ({"output": "out.gif"}, r"output .*suffix .gif is not a video format"),
        ({"output": "out.webm"}, r"output .*a webm file can't hold h264"),
        ({"output": "out.npz", "layers": "layers.txt"}, r"layers .*layers.txt: expected a suffix of "),
        ({"output": "out.npz", "spread": "spread"}, r"spread .*spread: expected a suffix of "),
        ({"output": "out.npz", "spread": "none/spread.png"}, r"spread .* there is no folder "),
    ],
)
def test_files_that_can_not_be_written_are_refused_before_anything_is_traced(
    source: Path, tmp_path: Path, files: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("ls3d.explain.api.open_video", None)
    paths: dict[str, Any] = {name: tmp_path / file for name, file in files.items()}
    with pytest.raises(InputError, match=message):
        explain_pixel(source, x=1, y=1, models=["blend"], **paths)


@pytest.mark.parametrize("existing", ["out.npz", "layers.png", "spread.png"])
def test_nothing_is_replaced_unasked(
    source: Path, tmp_path: Path, existing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / existing).write_text("precious")
    files: dict[str, Any] = {name: tmp_path / f"{name}.png" for name in ("layers", "spread")}
    with monkeypatch.context() as patch:
        patch.setattr("ls3d.explain.api.open_video", None)
        with pytest.raises(OutputExistsError, match=existing):
            explain_pixel(source, tmp_path / "out.npz", 1, 1, models=["bilateral"], **files)
    assert (tmp_path / existing).read_text() == "precious"
    explain_pixel(source, tmp_path / "out.npz", 1, 1, models=["bilateral"], spread_pixels=5, overwrite=True, **files)
    assert (tmp_path / existing).read_bytes() != b"precious"


@pytest.mark.parametrize("name", ["out.PNG", "out.Npz", "out.MP4"])
def test_suffixes_in_upper_case(source: Path, tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib")
    explain_pixel(source, tmp_path / name, 20, 10, models=["blend"])
    start = (tmp_path / name).read_bytes()[:12]
    assert {"out.PNG": start[1:4] == b"PNG", "out.Npz": start[:2] == b"PK", "out.MP4": start[4:8] == b"ftyp"}[name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frame": -1}, "frame -1: expected at least 0"),
        ({"frames": 0}, "frames 0: expected at least 1"),
        ({"size": 0}, "size 0: expected at least 1"),
        ({"spread_pixels": 0}, "spread_pixels 0: expected at least 1"),
        ({"models": ()}, "models none: expected at least one network"),
    ],
)
def test_numbers_that_are_too_small(source: Path, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {"models": ["blend"], **arguments}
    with pytest.raises(InputError, match=message):
        explain_pixel(source, tmp_path / "out.npz", 1, 1, **options)


def test_frames_before_the_first_one_are_refused(source: Path) -> None:
    video = open_video(source)
    network = load_enhancement_model("blend")
    with pytest.raises(InputError, match="first -1: expected at least 0"):
        next(trace_video(video, network, -1))
    with pytest.raises(InputError, match="count 0: expected at least 1"):
        next(trace_video(video, network, 0, 0))


def test_arrays_are_saved_by_numpy_1(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes every named argument for an array."""
    saved: dict[str, Any] = {}
    monkeypatch.setattr(np, "savez_compressed", lambda file, **arrays: saved.update(arrays))
    explain_pixel(source, tmp_path / "out.npz", 1, 1, models=["blend"])
    assert {name.rpartition("/")[0] for name in saved} == {"blend/0"}


def test_figures_need_matplotlib(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ls3d\[plot\]'"):
        explain_pixel(source, tmp_path / "out.png", 1, 1, models=["blend"])
    explain_pixel(source, tmp_path / "out.npz", 1, 1, models=["blend"])


def test_color_wheel() -> None:
    """No motion is white, motion to the right is red, and to the left cyan, as in the wheel of HSV."""
    pytest.importorskip("matplotlib")
    offset = np.array([[[0.0, 0.0, 0.0]], [[0.0, 2.0, -2.0]]])
    assert color_wheel(offset, 2.0)[0].round(3).tolist() == [[1, 1, 1], [1, 0, 0], [0, 1, 1]]
