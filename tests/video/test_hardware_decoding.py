"""Decoding on a device: the frames of software decoders, or a sentence that says why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from av.codec.hwaccel import hwdevices_available
from helpers.videos import Clip, decode, planes

from ls3d.enhance import EnhanceOptions, denoise
from ls3d.errors import InputError
from ls3d.video import VideoFile
from ls3d.video.hardware_decoding import DeviceUnusableError, usable_device


def device_for(path: Path) -> str | None:
    try:
        return usable_device(path, "auto")
    except DeviceUnusableError:
        return None


@pytest.mark.parametrize(("codec", "pix_fmt"), [("libx264", "yuv420p"), ("libx265", "yuv420p10le")])
def test_devices_decode_the_same_frames(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    options = {"crf": "20", "g": "8"}
    path = Clip(20, size=(144, 176), codec=codec, pix_fmt=pix_fmt, options=options).write(tmp_path / "in.mkv")
    device = device_for(path)
    if device is None:
        pytest.skip("no device decodes this")
    software = [frame.mark() for frame in VideoFile(path).frames()]
    hardware = VideoFile(path, device=device)
    assert [frame.mark() for frame in hardware.frames()] == software
    assert [frame.mark() for frame in hardware.frames(after=software[11:13])] == software[11:]


def test_jobs_fall_back_to_software(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = Clip(4, codec="ffv1", options={}).write(tmp_path / "in.mkv")  # which no device decodes
    denoise(source, tmp_path / "out.mkv", model="identity", options=EnhanceOptions(hwaccel="auto"))
    assert caplog.text.count("is decoded in software, not on a device (") == 1
    for a, b in zip(decode(source), decode(tmp_path / "out.mkv"), strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(planes(a), planes(b), strict=True))


def test_devices_that_ffmpeg_lacks_are_named(tmp_path: Path) -> None:
    path = Clip(1).write(tmp_path / "in.mp4")
    missing = next(name for name in ("d3d11va", "videotoolbox") if name not in hwdevices_available())
    with pytest.raises(DeviceUnusableError, match=f"this FFmpeg has no {missing}"):
        usable_device(path, missing)


def test_unknown_devices_are_refused() -> None:
    with pytest.raises(InputError, match="hwaccel gpu: expected off, auto, cuda"):
        EnhanceOptions(hwaccel="gpu")
