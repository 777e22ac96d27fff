"""Alpha goes through interpolation, upscaling and denoising wherever the output can hold it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.marks import slow_except
from helpers.networks import Mean
from helpers.transparency import alpha_at, alphas, write_folder, write_video
from helpers.videos import decode

from ls3d.enhance import EnhanceOptions, denoise, enhance, interpolate, upscale

VP9 = {"crf": "10", "b": "0", "deadline": "good", "cpu-used": "4", "auto-alt-ref": "0"}
SOURCES: dict[str, Callable[[Path], Path]] = {
    "PNG folder": lambda folder: write_folder(folder / "images"),
    "FFV1": lambda folder: write_video(folder / "in.mkv", "ffv1", "yuva420p"),
    "FFV1, 10 bits": lambda folder: write_video(folder / "in.mkv", "ffv1", "yuva444p10le"),
    "FFV1, BGRA": lambda folder: write_video(folder / "in.mkv", "ffv1", "bgra"),
    "ProRes": lambda folder: write_video(folder / "in.mov", "prores_ks", "yuva444p10le"),
    "VP9": lambda folder: write_video(folder / "in.webm", "libvpx-vp9", "yuva420p", options=VP9),
    "QuickTime Animation": lambda folder: write_video(folder / "in.mov", "qtrle", "argb"),
}
#: Outputs by suffix, and the largest error of alpha that the codec makes.
TARGETS = {"": 0, ".mkv": 0, ".mov": 1, ".webm": 40}


@pytest.mark.parametrize("target", slow_except(TARGETS, {"", ".webm"}))
@pytest.mark.parametrize("source", slow_except(SOURCES, {"PNG folder", "ProRes", "VP9"}))
def test_denoising_keeps_alpha(tmp_path: Path, source: str, target: str, caplog: pytest.LogCaptureFixture) -> None:
    path = SOURCES[source](tmp_path)
    output = tmp_path / f"out{target}"
    codec = {".mov": "prores", ".mkv": "ffv1"}.get(target)
    denoise(path, output, model="identity", options=EnhanceOptions(codec=codec))
    found = alphas(output)
    assert len(found) == 6
    for made, own in zip(found, alphas(path), strict=True):
        assert abs(made - own).max() <= TARGETS[target]
    assert "transparency" not in caplog.text


@pytest.mark.parametrize(("target", "codec"), [(".mp4", None), (".y4m", None), (".mkv", "h264")])
def test_what_cannot_be_kept_is_said_once(
    tmp_path: Path, target: str, codec: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_video(tmp_path / "in.mkv", "ffv1", "yuva420p")
    report = denoise(path, tmp_path / f"out{target}", model="identity", options=EnhanceOptions(codec=codec))
    assert caplog.text.count("transparency left out") == 1
    assert len([note for note in report.notes if "transparency" in note]) == 1
    assert not any(component.is_alpha for component in decode(tmp_path / f"out{target}")[0].format.components)


def test_the_codec_is_one_with_alpha(tmp_path: Path) -> None:
    expected = {".mkv": "yuva420p", ".webm": "yuva420p", ".mov": "yuva444p12le"}
    path = write_video(tmp_path / "in.webm", "libvpx-vp9", "yuva420p", options=VP9)
    for suffix in expected:
        denoise(path, tmp_path / f"out{suffix}", model="identity")
        assert abs(alphas(tmp_path / f"out{suffix}")[3] - alpha_at(3, 48, 64)).mean() < 4


def test_alpha_is_interpolated(tmp_path: Path) -> None:
    path = write_video(tmp_path / "in.mkv", "ffv1", "yuva444p")
    interpolate(path, tmp_path / "out.mkv", factor=2)
    made = alphas(tmp_path / "out.mkv")
    assert len(made) == 12
    for number, alpha in enumerate(made[:11]):
        error = abs(alpha - alpha_at(number / 2, 48, 64))
        assert error.max() <= 1 if number % 2 == 0 else error.mean() < 1.5
    blended = (alpha_at(0, 48, 64).astype(float) + alpha_at(1, 48, 64)) / 2
    assert abs(made[1] - alpha_at(0.5, 48, 64)).mean() < abs(blended - alpha_at(0.5, 48, 64)).mean()


def test_alpha_is_enlarged(tmp_path: Path) -> None:
    path = write_video(tmp_path / "in.mkv", "ffv1", "yuva444p", frames=2)
    upscale(path, tmp_path / "out.mkv", scale=2, model="bicubic")
    y, x = (np.arange(size) // 2 for size in (96, 128))
    for number, alpha in enumerate(alphas(tmp_path / "out.mkv")):
        assert alpha.shape == (96, 128)
        assert abs(alpha - alpha_at(number, 48, 64)[y[:, None], x]).mean() < 4


@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_interrupted_jobs_resume(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / "in.mkv", "ffv1", "yuva420p", frames=20)
    options = EnhanceOptions(threads=1, segment_frames=7)
    whole, resumed = tmp_path / f"whole{suffix}", tmp_path / f"resumed{suffix}"
    denoise(path, whole, model=Mean(), options=options)
    with pytest.raises(KeyboardInterrupt):
        denoise(path, resumed, model=Mean(breaks_at=15), options=options)
    assert denoise(path, resumed, model=Mean(), options=options).resumed == 2
    assert resumed.read_bytes() == whole.read_bytes()


def test_alpha_passes_several_steps(tmp_path: Path) -> None:
    """Enlarged, it is also that of the source's own frames, and interpolated at the new size."""
    path = write_video(tmp_path / "in.mkv", "ffv1", "yuva444p", frames=4)
    models: dict[str, Any] = {
        "denoising_model": Mean(),
        "super_resolution_model": "bicubic",
        "interpolation_model": "blend",
    }
    enhance(path, tmp_path / "out.mkv", sigma="auto", scale=2, factor=2, **models)
    upscale(path, tmp_path / "large.mkv", scale=2, model="bicubic")
    made, large = alphas(tmp_path / "out.mkv"), alphas(tmp_path / "large.mkv")
    assert len(made) == 8
    for number, (first, second) in enumerate(pairwise(large)):
        assert np.array_equal(made[2 * number], first)
        assert abs(made[2 * number + 1] - (first + second) / 2).max() <= 1
