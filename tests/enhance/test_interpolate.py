"""``interpolate``: numbers and times of frames, source frames, cuts, duplicates, other streams, errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.networks import NotANumber, RecordingBlend
from helpers.videos import BT709, HDR10, Clip, decode, planes, psnr, times

from ls3d.enhance import EnhanceOptions, denoise, enhance, interpolate, upscale
from ls3d.errors import InputError
from ls3d.inference import NonFiniteOutputError
from ls3d.video import probe

FAST = EnhanceOptions(threads=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fps": 10}, "25 fps, more than the 10 fps of the output: frames are left out"),
        ({"fps": Fraction(24_975, 1000)}, ""),
        ({"factor": Fraction(5, 4), "slow_motion": True}, ""),
        ({"fps": 60}, ""),
    ],
)
def test_says_when_frames_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, arguments: dict[str, Any], message: str
) -> None:
    source = Clip(frames=6).write(tmp_path / "in.mp4")
    interpolate(source, tmp_path / "out.mp4", model="blend", options=FAST, **arguments)
    said = [text for text in caplog.messages if "left out" in text]
    assert said == ([f"{source} has {message}"] if message else [])


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_counts_times_and_source_frames(tmp_path: Path, factor: int) -> None:
    source = Clip(frames=6, tags=BT709, audio=["eng"]).write(tmp_path / "in.mp4")
    target = tmp_path / "out.mp4"
    report = interpolate(source, target, factor=factor, model="blend", options=FAST)
    assert (report.frames_in, report.frames_out, report.cuts) == (6, 6 * factor, 0)
    assert times(target) == [Fraction(n, 25 * factor) for n in range(6 * factor)]
    assert probe(target).duration == probe(source).duration == Fraction(6, 25)
    old, new = decode(source), decode(target)
    assert min(psnr(old[n], new[n * factor]) for n in range(6)) > 38
    assert [stream.type for stream in probe(target).streams] == ["video", "audio"]
    assert not list(tmp_path.glob("*.ls3d"))


def test_the_network_makes_only_the_frames_of_the_factor(tmp_path: Path) -> None:
    source = Clip(frames=2).write(tmp_path / "in.mp4")
    asked = {}
    for factor in (2, 4, 8):
        model = RecordingBlend(size_multiple=16)
        interpolate(source, tmp_path / f"{factor}.mp4", factor=factor, model=model, options=FAST)
        asked[factor] = model.calls
    assert asked == {2: [(0.5,)], 4: [(0.25, 0.5, 0.75)], 8: [(0.25, 0.5, 0.75), (0.5,), (0.5,), (0.5,), (0.5,)]}


@pytest.mark.parametrize("factor", [3, 2.5, Fraction(5, 3), 1, 12])
def test_any_factor(tmp_path: Path, factor: float | Fraction) -> None:
    """Exact times, the duration is kept, every pair is one call (more for many frames), none for a source frame."""
    source = Clip(frames=7, audio=["eng"]).write(tmp_path / "in.mp4")
    target = tmp_path / "out.mp4"
    model = RecordingBlend(times="any")
    report = interpolate(source, target, factor=factor, model=model, options=FAST)
    exact = Fraction(factor)
    count = math.ceil(7 * exact)
    assert times(target) == [k / exact / 25 for k in range(count)]
    assert (report.frames_in, report.frames_out) == (7, count)
    assert probe(target).duration == probe(source).duration
    places = [[k / exact - n for k in range(count) if n < k / exact < n + 1] for n in range(6)]
    expected = [pair[i : i + 8] for pair in places for i in range(0, len(pair), 8)]
    assert model.calls == [tuple(map(float, call)) for call in expected]


def test_source_frames_pass_through_where_a_factor_meets_them(tmp_path: Path) -> None:
    source = Clip(frames=7).write(tmp_path / "in.mkv")
    interpolate(source, tmp_path / "out.mkv", factor=2.5, model="blend", options=EnhanceOptions(codec="ffv1"))
    old, new = decode(source), decode(tmp_path / "out.mkv")
    assert len(new) == 18
    for n in (0, 2, 4, 6):
        assert all(np.array_equal(a, b) for a, b in zip(planes(old[n]), planes(new[n * 5 // 2]), strict=True))


@pytest.mark.parametrize("suffix", ["mp4", "y4m"])
def test_a_factor_does_not_depend_on_segments(tmp_path: Path, suffix: str) -> None:
    """Segments of three frames hold different numbers of output frames, and begin between two of them."""
    source = Clip(frames=11, shot_length=4).write(tmp_path / "in.mp4")
    shown = []
    for length in (3, 100):
        target = tmp_path / f"{length}.{suffix}"
        options = replace(FAST, segment_frames=length)
        if suffix == "mp4":
            options = replace(options, codec="h264", crf=0)
        interpolate(source, target, factor=Fraction(7, 3), model="blend", options=options)
        shown.append((times(target), [planes(frame)[0].tobytes() for frame in decode(target)]))
    assert shown[0] == shown[1]
    assert len(shown[0][0]) == 26


def test_a_factor_of_a_variable_frame_rate(tmp_path: Path) -> None:
    pts = [0, 1000, 1500, 4000, 4100, 9000]
    source = Clip(frames=6, time_base=Fraction(1, 10_000), pts=pts).write(tmp_path / "in.mp4")
    target = tmp_path / "out.mov"
    interpolate(source, target, factor=1.5, model="blend", options=EnhanceOptions(threads=1, codec="prores"))
    duration = probe(source).duration
    assert duration is not None
    old = [*(Fraction(p, 10_000) for p in pts), duration]
    places = [Fraction(2 * k, 3) for k in range(9)]
    expected = [old[int(p)] + (p - int(p)) * (old[int(p) + 1] - old[int(p)]) for p in places]
    assert times(target) == expected
    assert _end(target) == _end(source) == duration


def _end(path: Path) -> Fraction:
    """When the last frame ends, for codecs that don't reorder frames."""
    with av.open(str(path)) as container:
        packets = list(container.demux(container.streams.video[0]))
        return max((each.pts + (each.duration or 0)) * each.time_base for each in packets if each.pts is not None)


@pytest.mark.parametrize("factor", [Fraction(5, 2), Fraction(4, 3)])
def test_slow_motion_stretches_exactly(tmp_path: Path, factor: Fraction) -> None:
    pts = [0, 1000, 1500, 4000, 4100, 9000]
    even = Clip(frames=6).write(tmp_path / "even.mp4")
    uneven = Clip(frames=6, time_base=Fraction(1, 10_000), pts=pts).write(tmp_path / "uneven.mp4")
    for source in (even, uneven):
        plain, slow = tmp_path / f"plain_{source.name}", tmp_path / f"slow_{source.name}"
        interpolate(source, plain, factor=factor, model="blend", options=FAST)
        interpolate(source, slow, factor=factor, slow_motion=True, model="blend", options=FAST)
        assert times(slow) == [time * factor for time in times(plain)]
    assert times(tmp_path / "slow_even.mp4") == [Fraction(n, 25) for n in range(math.ceil(6 * factor))]


def test_new_frames_are_between_the_old_in_time(tmp_path: Path) -> None:
    def gray(index: int, height: int, width: int) -> np.ndarray:
        return np.full((height, width, 3), 40 + 8 * index, np.uint8)

    source = Clip(frames=4, picture=gray).write(tmp_path / "in.mkv")
    target = tmp_path / "out.mkv"
    interpolate(source, target, factor=8, model=RecordingBlend(size_multiple=16), options=EnhanceOptions(codec="ffv1"))
    old = [planes(frame)[0].mean() for frame in decode(source)]
    new = [planes(frame)[0].mean() for frame in decode(target)]
    expected = np.interp(np.arange(32) / 8, np.arange(4), old)
    assert np.abs(np.array(new) - expected).max() <= 0.51


def test_source_frames_are_unchanged_with_a_lossless_codec(tmp_path: Path) -> None:
    source = Clip(frames=5, size=(46, 50)).write(tmp_path / "in.mkv")
    interpolate(source, tmp_path / "out.mkv", factor=2, model="blend", options=EnhanceOptions(codec="ffv1"))
    old, new = decode(source), decode(tmp_path / "out.mkv")
    for n, frame in enumerate(old):
        assert all(np.array_equal(a, b) for a, b in zip(planes(frame), planes(new[2 * n]), strict=True))


def test_a_variable_frame_rate_stays_variable(tmp_path: Path) -> None:
    pts = [0, 1000, 1500, 4000, 4100, 9000]
    source = Clip(frames=6, time_base=Fraction(1, 10_000), pts=pts).write(tmp_path / "in.mp4")
    interpolate(source, tmp_path / "out.mp4", factor=2, model="blend", options=FAST)
    old, new = times(source), times(tmp_path / "out.mp4")
    assert new[::2] == old == [Fraction(p, 10_000) for p in pts]
    assert new[1:-1:2] == [(a + b) / 2 for a, b in pairwise(old)]


def test_nothing_is_interpolated_across_a_cut(tmp_path: Path) -> None:
    source = Clip(frames=40, shot_length=10).write(tmp_path / "in.mkv")
    target = tmp_path / "out.mkv"
    report = interpolate(source, target, factor=2, model="blend", options=EnhanceOptions(codec="ffv1"))
    assert report.cuts == 3
    assert report.held_frames == 4  # one after each cut's last frame, one after the last
    new = decode(target)
    for last in (9, 19, 29, 39):
        pair = (planes(new[2 * last]), planes(new[2 * last + 1]))
        assert all(np.array_equal(a, b) for a, b in zip(*pair, strict=True))


def test_the_network_is_not_run_between_duplicates(tmp_path: Path) -> None:
    def on_twos(index: int, height: int, width: int) -> np.ndarray:
        return Clip(size=(height, width)).rgb(index // 2)

    source = Clip(frames=8, picture=on_twos).write(tmp_path / "in.mkv")
    model = RecordingBlend(size_multiple=16)
    report = interpolate(source, tmp_path / "out.mkv", factor=2, model=model, options=FAST)
    assert len(model.calls) == 3
    assert report.held_frames == 5


@pytest.mark.parametrize("frames", [1, 2])
def test_videos_of_one_and_two_frames(tmp_path: Path, frames: int) -> None:
    source = Clip(frames=frames).write(tmp_path / "in.mp4")
    interpolate(source, tmp_path / "out.mp4", factor=4, model="blend", options=FAST)
    assert len(decode(tmp_path / "out.mp4")) == 4 * frames
    assert probe(tmp_path / "out.mp4").duration == probe(source).duration


@pytest.mark.parametrize(("codec", "pix_fmt"), [("ffv1", "yuv420p"), ("libvpx-vp9", "yuv420p")])
def test_odd_sizes(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    options = {} if codec == "ffv1" else {"lossless": "1"}
    source = Clip(3, (37, 51), codec, pix_fmt, options=options).write(tmp_path / "in.mkv")
    interpolate(source, tmp_path / "out.mkv", factor=2, model=RecordingBlend(size_multiple=16), options=FAST)
    new = decode(tmp_path / "out.mkv")
    assert {(frame.height, frame.width) for frame in new} == {(37, 51)}
    interpolate(
        source,
        tmp_path / "out.mp4",
        factor=2,
        model=RecordingBlend(size_multiple=16),
        options=EnhanceOptions(codec="h264"),
    )
    assert {(frame.height, frame.width) for frame in decode(tmp_path / "out.mp4")} == {(37, 51)}


def test_exact_frame_rate(tmp_path: Path) -> None:
    source = Clip(frames=24, rate=Fraction(24000, 1001)).write(tmp_path / "in.mp4")
    target = tmp_path / "out.mp4"
    interpolate(source, target, fps=60, model="blend", options=FAST)
    shown = times(target)
    assert np.abs(np.array(shown, float) - np.arange(len(shown)) / 60).max() < 1e-5
    assert len(shown) == 61  # 24 * 1001 / 24000 s = 1.001 s
    assert probe(target).rate == 60


def test_hdr_stays_hdr(tmp_path: Path) -> None:
    clip = Clip(4, codec="libx265", pix_fmt="yuv420p10le", tags=HDR10, options={"x265-params": "log-level=error"})
    source, target = clip.write(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    interpolate(source, target, factor=2, model="blend")
    old, new = probe(source), probe(target)
    assert (new.codec, new.color, dict(new.tags)) == ("hevc", old.color, HDR10)
    middle, neighbors = planes(decode(target)[1])[0], [planes(f)[0] for f in decode(source)[:2]]
    assert np.abs(middle - sum(neighbors) / 2).mean() < 8  # of 1023
    assert middle.max() > 255


def test_a_lower_frame_rate(tmp_path: Path) -> None:
    """Most segments have no output frame."""
    source = Clip(frames=25, shot_length=9).write(tmp_path / "in.mp4")
    options = EnhanceOptions(threads=1, segment_frames=2)
    interpolate(source, tmp_path / "out.mp4", fps=5, model="blend", options=options)
    assert times(tmp_path / "out.mp4") == [Fraction(n, 5) for n in range(5)]
    assert probe(tmp_path / "out.mp4").rate == 5


def test_slow_motion_leaves_audio_out_and_reports_it(tmp_path: Path) -> None:
    source = Clip(frames=5, audio=["eng"]).write(tmp_path / "in.mp4")
    report = interpolate(source, tmp_path / "out.mp4", factor=4, slow_motion=True, model="blend", options=FAST)
    assert times(tmp_path / "out.mp4") == [Fraction(n, 25) for n in range(20)]
    assert [stream.type for stream in probe(tmp_path / "out.mp4").streams] == ["video"]
    assert len(report.notes) == 1
    assert "audio" in report.notes[0]


def test_start_and_duration(tmp_path: Path) -> None:
    source = Clip(frames=50, audio=["eng"], options={"g": "10"}).write(tmp_path / "in.mp4")
    options = EnhanceOptions(start=Fraction(26, 25), duration=Fraction(10, 25), codec="ffv1")
    target = tmp_path / "out.mkv"
    report = interpolate(source, target, factor=2, model="blend", options=options)
    assert report.frames_in == 10
    assert times(target)[0] == 0
    old, new = decode(source)[26:36], decode(target)
    for n, frame in enumerate(old):
        assert all(np.array_equal(a, b) for a, b in zip(planes(frame), planes(new[2 * n]), strict=True))
    assert abs(float(_audio_seconds(target)) - 0.4) < 0.05


def _audio_seconds(path: Path) -> Fraction:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        last = [packet for packet in container.demux(stream) if packet.size][-1]
        assert last.pts is not None
        return (last.pts + (last.duration or 0)) * last.time_base


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"factor": 0.5}, "factor 0.5: expected a number from 1 to 100"),
        ({"factor": math.nan}, "factor nan"),
        ({"factor": 101}, "factor 101"),
        ({"fps": 0}, "fps 0"),
        ({"fps": 60, "factor": 2}, "fps 60"),
        ({"model": "nothing"}, "nothing"),
        ({"model": "bicubic"}, "super-resolution"),
        ({"options": EnhanceOptions(device="warp")}, "device warp"),
        ({"options": EnhanceOptions(codec="ffv1", crf=3)}, "crf 3"),
        ({"options": EnhanceOptions(start=99)}, "start 99"),
    ],
)
def test_wrong_arguments_are_one_sentence(tmp_path: Path, arguments: dict[str, object], word: str) -> None:
    source = Clip(frames=2).write(tmp_path / "in.mkv")
    with pytest.raises(InputError, match=word) as caught:
        interpolate(source, tmp_path / "out.mkv", **{"model": "blend", **arguments})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.mkv").exists()


def test_bad_files_are_one_sentence(tmp_path: Path) -> None:
    bad = {
        "text.mp4": b"this is no video\n" * 50,
        "zeros.mp4": bytes(10_000),
        "empty.mp4": b"",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            interpolate(tmp_path / name, tmp_path / "out.mp4", model="blend")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        interpolate(tmp_path / "nowhere.mp4", tmp_path / "out.mp4", model="blend")
    with pytest.raises(InputError, match="video format"):
        interpolate(Clip(frames=1).write(tmp_path / "in.mp4"), tmp_path / "out.xyz", model="blend")
    with pytest.raises(InputError, match="source itself"):
        interpolate(tmp_path / "in.mp4", tmp_path / "in.mp4", model="blend")
    with pytest.raises(FileNotFoundError, match="folder"):
        interpolate(tmp_path / "in.mp4", tmp_path / "no" / "out.mp4", model="blend")
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("job", [interpolate, upscale, denoise, partial(enhance, sigma=5)])
def test_the_target_is_checked_before_a_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: Callable[..., object]
) -> None:
    def load(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("ls3d.enhance._loading.load_network", load)
    source = Clip(frames=1).write(tmp_path / "in.mp4")
    for target, error in (
        (source, "source itself"),
        (tmp_path, "folder with files"),
        (tmp_path / "out.xyz", "not a video format"),
        (tmp_path / "no" / "out.mp4", "there is no folder"),
    ):
        with pytest.raises((InputError, FileNotFoundError), match=error):
            job(source, target)


@pytest.mark.parametrize(("level", "time"), [(-1.0, "0.000"), (0.5, "0.120")])
def test_nan_is_an_error_that_names_the_frame(tmp_path: Path, level: float, time: str) -> None:
    def brighter(index: int, height: int, width: int) -> np.ndarray:
        return np.full((height, width, 3), 40 * index + 20, np.uint8)

    source = Clip(frames=6, picture=brighter).write(tmp_path / "in.mp4")
    options = EnhanceOptions(threads=1, segment_frames=2)
    with pytest.raises(NonFiniteOutputError, match=f"^the frame at {time} s: NotANumber returned NaN"):
        denoise(source, tmp_path / "out.mp4", model=NotANumber(level), options=options)
    assert not (tmp_path / "out.mp4").exists()
    assert not list(tmp_path.glob("out.mp4.ls3d/*.tmp"))


def test_a_network_for_another_task_is_refused(tmp_path: Path) -> None:
    source = Clip(frames=1).write(tmp_path / "in.mp4")
    with pytest.raises(InputError, match="RecordingBlend: its task is interpolation, expected denoising"):
        denoise(source, tmp_path / "out.mp4", model=RecordingBlend())


@pytest.mark.parametrize(
    ("rate", "fps"),
    [
        (Fraction(24000, 1001), Fraction(60)),
        (Fraction(24), Fraction(60000, 1001)),
        (Fraction(25), Fraction(60)),
        (Fraction(30), Fraction(50)),
    ],
)
def test_any_time_is_exact_for_networks_that_make_any(tmp_path: Path, rate: Fraction, fps: Fraction) -> None:
    """Every output frame at its exact time, one call for each pair of frames, and none for a frame that exists."""
    source = Clip(frames=9, rate=rate).write(tmp_path / "in.mp4")
    model = RecordingBlend(times="any")
    interpolate(source, tmp_path / "out.mp4", fps=fps, model=model, options=FAST)
    assert times(tmp_path / "out.mp4") == [n / fps for n in range(math.ceil(9 / rate * fps))]
    expected = []
    for k in range(8):
        places = [n / fps * rate - k for n in range(math.ceil(9 / rate * fps))]
        expected.append(tuple(float(place) for place in places if 0 < place < 1))
    assert model.calls == [call for call in expected if call]
