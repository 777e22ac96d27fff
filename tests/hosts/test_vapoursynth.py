"""VapourSynth: the same frames as from the functions for frames in memory and from the command line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers.networks import RecordingBlend, RecordingDenoiser
from helpers.videos import BT709, Clip, decode, moving_picture, planes

from ls3d import enhance
from ls3d.errors import InputError

vs: Any = pytest.importorskip("vapoursynth", reason="vapoursynth is not installed")

from ls3d.hosts.vapoursynth import denoise, interpolate, upscale  # noqa: E402  # needs vapoursynth

Array = npt.NDArray[Any]
EXAMPLE = Path(__file__).parents[2] / "examples" / "crossing.mp4"
HEIGHT, WIDTH, COUNT = 40, 64, 7


class FailsOnce(RecordingBlend):
    """Raises an error when it is called for the first time."""

    failed = False

    def forward(self, frames: torch.Tensor, times: Sequence[float] | None = None) -> torch.Tensor:
        """See ``RecordingBlend``."""
        if not self.failed:
            self.failed = True
            raise RuntimeError("once")
        return super().forward(frames, times)


def picture(number: int) -> npt.NDArray[np.uint8]:
    """A moving picture; from frame 4 on, another one."""
    shown = moving_picture(number, HEIGHT, WIDTH)
    return shown if number < 4 else 255 - shown[::-1, ::-1]


def clip_of(read: Callable[[int], list[Array]], form: Any, rate: Fraction = Fraction(30000, 1001)) -> Any:
    """A clip of the planes that ``read`` returns for each number."""
    blank = vs.core.std.BlankClip(
        width=WIDTH, height=HEIGHT, format=form, length=COUNT, fpsnum=rate.numerator, fpsden=rate.denominator, keep=True
    )

    def fill(n: int, f: Any) -> Any:
        filled = f.copy()
        for number, plane in enumerate(read(n)):
            np.copyto(np.asarray(filled[number]), plane, casting="unsafe")  # of small integers
        filled.props["number"] = n
        return filled

    return blank.std.ModifyFrame(blank, fill)


def rgb24() -> Any:
    return clip_of(lambda n: list(picture(n).transpose(2, 0, 1)), vs.RGB24)


def rgbs() -> Any:
    return clip_of(lambda n: list(picture(n).transpose(2, 0, 1).astype(np.float32) / 255), vs.RGBS)


def shown(clip: Any, number: int) -> Array:
    """The planes of a frame of a clip of one size, ``(planes, H, W)``."""
    frame = clip.get_frame(number)
    return np.stack([np.asarray(frame[plane]) for plane in range(frame.format.num_planes)])


@pytest.mark.parametrize("factor", [2, Fraction(5, 2), 3.5])
def test_interpolation_in_any_order(factor: Fraction | float) -> None:
    wanted = list(enhance.interpolate_frames(map(picture, range(COUNT)), factor=factor))
    made = interpolate(rgb24(), factor)
    assert made.num_frames == len(wanted)
    assert made.fps == Fraction(30000, 1001) * Fraction(factor)
    for number in np.random.default_rng(0).permutation(len(wanted)).tolist():
        assert np.array_equal(shown(made, number).transpose(1, 2, 0), wanted[number])
    frame = made.get_frame(1)
    assert Fraction(frame.props["_DurationNum"], frame.props["_DurationDen"]) == 1 / made.fps
    assert frame.props["number"] == 0


def test_floating_point() -> None:
    tensors = [torch.from_numpy(picture(n).transpose(2, 0, 1).astype(np.float32) / 255) for n in range(COUNT)]
    for number, wanted in enumerate(enhance.interpolate_frames(iter(tensors), factor=2)):
        assert np.array_equal(shown(interpolate(rgbs()), number), wanted.numpy())
    for number, wanted in enumerate(enhance.denoise_frames(iter(tensors[:2]), sigma=10)):
        assert np.array_equal(shown(denoise(rgbs()[:2], 10), number), wanted.numpy())


def test_upscaling_and_denoising() -> None:
    pictures = [picture(n) for n in range(COUNT)]
    larger = upscale(rgb24(), scale=2)
    assert (larger.width, larger.height, larger.fps) == (2 * WIDTH, 2 * HEIGHT, Fraction(30000, 1001))
    for number, wanted in enumerate(enhance.upscale_frames(iter(pictures), scale=2)):
        assert np.array_equal(shown(larger, number).transpose(1, 2, 0), wanted)
    cleaner = denoise(rgb24())
    for number, wanted in enumerate(enhance.denoise_frames(iter(pictures))):
        assert np.array_equal(shown(cleaner, number).transpose(1, 2, 0), wanted)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gray"])
def test_yuv_is_as_from_the_command_line(tmp_path: Path, pix_fmt: str) -> None:
    source = Clip(COUNT, (HEIGHT, WIDTH), "ffv1", pix_fmt, Fraction(25), options={}, tags=BT709)
    source.write(tmp_path / "in.mkv")
    enhance.interpolate(
        tmp_path / "in.mkv", tmp_path / "out.mkv", factor=2, options=enhance.EnhanceOptions(codec="ffv1")
    )
    old = decode(tmp_path / "in.mkv")
    names = {"yuv420p": vs.YUV420P8, "yuv422p10le": vs.YUV422P10, "gray": vs.GRAY8}
    clip = clip_of(lambda n: planes(old[n]), names[pix_fmt], Fraction(25)).std.SetFrameProps(_Matrix=1, _ColorRange=1)
    made = interpolate(clip)
    assert made.format.name == clip.format.name
    new = decode(tmp_path / "out.mkv")
    assert len(new) == made.num_frames == 2 * COUNT
    for number, wanted in enumerate(new):
        frame = made.get_frame(number)
        for index, plane in enumerate(planes(wanted)):
            assert np.array_equal(np.asarray(frame[index]), plane)


def test_the_size_of_subsampled_clips_is_one_that_they_can_have() -> None:
    clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=30, height=22, length=1)
    larger = upscale(clip, scale=1.55, model="bicubic")
    assert (larger.width, larger.height) == (46, 34)


def test_scene_changes_stay_at_the_ends_of_a_frame() -> None:
    clip = rgb24().std.SetFrameProps(_SceneChangePrev=1, _SceneChangeNext=1)
    found = [interpolate(clip, 3, model="blend").get_frame(n).props for n in range(3)]
    assert ["_SceneChangePrev" in props for props in found] == [True, False, False]
    assert ["_SceneChangeNext" in props for props in found] == [False, False, True]


def test_durations_of_a_variable_rate_are_divided() -> None:
    clip = vs.core.std.BlankClip(format=vs.RGB24, width=WIDTH, height=HEIGHT, length=2, fpsnum=0, fpsden=1)
    clip = clip.std.SetFrameProps(_DurationNum=1, _DurationDen=10)
    frame = interpolate(clip, 4, model="blend").get_frame(5)
    assert Fraction(frame.props["_DurationNum"], frame.props["_DurationDen"]) == Fraction(1, 40)


def test_noise_levels_reach_the_network() -> None:
    model = RecordingDenoiser()
    denoise(rgb24(), 25, model=model).get_frame(3)
    assert model.levels == [pytest.approx(25 / 255)]


@pytest.mark.parametrize("form", ["YUV444PS", "RGBH", "GRAY32"])
def test_other_formats_are_refused(form: str) -> None:
    with pytest.raises(InputError, match=f"(?i)clip has the format {form}; expected integer samples"):
        interpolate(vs.core.std.BlankClip(format=getattr(vs, form), length=1))


def test_a_network_that_fails_can_be_asked_again() -> None:
    made = interpolate(rgb24(), 3, model=FailsOnce())
    with pytest.raises(vs.Error, match="once"):
        made.get_frame(1)
    assert made.get_frame(1).props["number"] == 0


def test_vspipe_writes_the_frames_of_the_command(tmp_path: Path) -> None:
    vspipe = Path(sys.executable).with_name("vspipe")
    if not (vspipe.exists() and hasattr(vs.core, "bs")):
        pytest.skip("vspipe or BestSource is not installed")
    source, script = tmp_path / "crossing.mp4", tmp_path / "script.vpy"
    shutil.copy(EXAMPLE, source)  # BestSource writes its index beside it
    lines = [
        "import vapoursynth as vs",
        "from ls3d.hosts.vapoursynth import interpolate",
        f"clip = vs.core.bs.VideoSource({str(source)!r})[:6]",
        "interpolate(clip, factor=2, model='vfi', device='cpu').set_output()",
    ]
    script.write_text("\n".join(lines))
    subprocess.run([vspipe, "-c", "y4m", script, tmp_path / "vspipe.y4m"], check=True, capture_output=True)
    options = enhance.EnhanceOptions(device="cpu", duration=6 / 25)
    enhance.interpolate(source, tmp_path / "command.y4m", factor=2, model="vfi", options=options)
    found, expected = decode(tmp_path / "vspipe.y4m"), decode(tmp_path / "command.y4m")
    assert len(found) == len(expected) == 12
    for frame, twin in zip(found, expected, strict=True):
        for plane, other in zip(planes(frame), planes(twin), strict=True):
            np.testing.assert_array_equal(plane, other)
