"""Copies of videos with labels: samples beside the label, times, rotation, sound; and pictures of time lines."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers import videos

from ls3d.errors import InputError, MissingExtraError, OutputExistsError
from ls3d.recognition import Annotation, TimeLine, Window, plot_time_line
from ls3d.recognition._labels import draw_label
from ls3d.recognition.classify import Probabilities

LOSSLESS = {"codec": "ffv1", "options": {}}


def probabilities(*values: float) -> Probabilities:
    return np.array(values, np.float32)


def time_line() -> TimeLine:
    """Class "one" for the windows around 0.5 and 1 s, "two" from 1.5 s on."""
    windows = [Window(k / 2, k / 2 + 1, probabilities(0.8, 0.2)) for k in range(2)]
    windows += [Window(k / 2, k / 2 + 1, probabilities(0.1, 0.9)) for k in range(2, 4)]
    return TimeLine("clip.mkv", ("one", "two"), tuple(windows))


def annotated(clip: videos.Clip, folder: Path, suffix: str = "mkv") -> tuple[Path, Path]:
    source = clip.write(folder / f"clip.{suffix}")
    target = folder / f"labeled.{suffix}"
    Annotation(source, target).write(time_line())
    return source, target


def test_windows_are_found_by_time() -> None:
    line = time_line()
    assert [next(iter(line.best(1, line.at(time).probabilities))) for time in (0.0, 1.2, 1.3, 9.0)] == [
        "one",
        "one",
        "two",
        "two",
    ]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gray", "yuv410p", "bgr0"])
def test_only_the_samples_under_the_label_change(tmp_path: Path, pix_fmt: str) -> None:
    clip = videos.Clip(20, (98, 131), rate=Fraction(10), pix_fmt=pix_fmt, **LOSSLESS)  # type: ignore[arg-type]
    source, target = annotated(clip, tmp_path)
    height, width = draw_label("one 80 %", 98, 131).shape
    for before, after in zip(videos.decode(source), videos.decode(target), strict=True):
        assert before.format.name == after.format.name
        for one, other in zip(videos.planes(before), videos.planes(after), strict=True):
            steps = [round(whole / part) for whole, part in zip((98, 131), one.shape[:2], strict=True)]
            assert (one != other)[: height // steps[0], : width // steps[1]].any()
            assert np.array_equal(one[height // steps[0] :], other[height // steps[0] :])
            assert np.array_equal(one[:, width // steps[1] :], other[:, width // steps[1] :])


def test_the_label_says_the_class_of_the_time(tmp_path: Path) -> None:
    clip = videos.Clip(20, (98, 131), rate=Fraction(10), **LOSSLESS)  # type: ignore[arg-type]
    _, target = annotated(clip, tmp_path)
    frames = videos.decode(target)
    for index, text in ((0, "one 80 %"), (12, "one 80 %"), (13, "two 90 %"), (19, "two 90 %")):
        label = draw_label(text, 98, 131)
        luma = videos.planes(frames[index])[0][: label.shape[0], : label.shape[1]]
        assert np.abs(luma - (16 + label * 219.0 / 255)).max() <= 1


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_labels_are_upright_as_shown(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    """FFmpeg's own filters turn the pictures as the display matrix says."""
    clip = videos.Clip(2, (96, 132), rate=Fraction(10), rotation=rotation, **LOSSLESS)  # type: ignore[arg-type]
    source = clip.write(tmp_path / "clip.mkv")
    annotation = Annotation(source, tmp_path / "labeled.mkv")
    matrix = list(annotation._video.info.display_matrix or (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
    if mirrored:  # what is shown is flipped horizontally: x' becomes -x'
        matrix[0], matrix[3] = -matrix[0], -matrix[3]
    object.__setattr__(annotation._video.info, "display_matrix", tuple(matrix))
    annotation.write(time_line())
    stored = videos.decode(tmp_path / "labeled.mkv")[0]
    luma = videos.planes(stored)[0]
    shown = np.rot90(luma, rotation // 90)
    if mirrored:
        shown = shown[:, ::-1]
    label = draw_label("one 80 %", *shown.shape)
    found = shown[: label.shape[0], : label.shape[1]]
    assert np.abs(found - (16 + label * 219.0 / 255)).max() <= 1
    if not mirrored:
        assert round(stored.rotation) % 360 == rotation


def test_times_sound_and_tags_stay(tmp_path: Path) -> None:
    """Frames of a variable rate; packets of the sound are equal, bytes and times."""
    pts = [0, 40, 60, 140, 150, 300, 320, 500, 900, 1000]
    clip = videos.Clip(
        10, (48, 64), time_base=Fraction(1, 1000), pts=pts, tags=videos.BT709, audio=["eng", "deu"], audio_seconds=1.0
    )
    source, target = annotated(clip, tmp_path)
    assert videos.times(source) == videos.times(target)
    assert sound_packets(source) == sound_packets(target)
    with av.open(str(target)) as file:
        assert [stream.type for stream in file.streams] == ["video", "audio", "audio"]
        video = file.streams.video[0].codec_context
        assert (video.colorspace, video.color_primaries, video.color_trc) == (1, 1, 1)


def sound_packets(path: Path) -> list[tuple[int, int | None, bytes]]:
    with av.open(str(path)) as file:
        packets = file.demux(audio=(0, 1))
        return sorted((packet.stream.index, packet.pts, bytes(packet)) for packet in packets if packet.size)


def test_more_frames_than_a_segment_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ls3d.recognition.annotate._SEGMENT_FRAMES", 7)
    source, target = annotated(videos.Clip(20, (48, 64), rate=Fraction(10)), tmp_path, "mp4")
    assert videos.times(source) == videos.times(target)


def test_the_target_is_written_completely_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = videos.Clip(8).write(tmp_path / "clip.mp4")
    annotation = Annotation(source, tmp_path / "labeled.mp4")

    def stop(_time: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotation.write(time_line(), stop)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_targets_that_are_refused(tmp_path: Path) -> None:
    source = videos.Clip(4).write(tmp_path / "clip.mp4")
    (tmp_path / "there.mp4").write_bytes(b"there")
    with pytest.raises(OutputExistsError):
        Annotation(source, tmp_path / "there.mp4")
    assert Annotation(source, tmp_path / "there.mp4", overwrite=True)
    with pytest.raises(InputError, match="is the source itself"):
        Annotation(source, source, overwrite=True)
    with pytest.raises(InputError, match="stores no times"):
        Annotation(source, tmp_path / "labeled.avi")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        Annotation(source, tmp_path / "nowhere" / "labeled.mp4")


@pytest.mark.parametrize("pix_fmt", ["bgr0", "yuv444p16le", "gray"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "ts"])
def test_any_source_becomes_any_format(tmp_path: Path, pix_fmt: str, suffix: str) -> None:
    """Codecs and pixel formats that the format can't hold are replaced; the times stay up to its clock."""
    clip = videos.Clip(6, (50, 70), rate=Fraction(25), pix_fmt=pix_fmt, codec="ffv1", options={})
    source = clip.write(tmp_path / "clip.mkv")
    target = tmp_path / f"labeled.{suffix}"
    Annotation(source, target).write(time_line())
    steps = [videos.times(path) for path in (source, target)]
    distances = [[time - times[0] for time in times] for times in steps]
    assert all(abs(one - other) < Fraction(1, 500) for one, other in zip(*distances, strict=True))


def test_frames_smaller_than_a_label(tmp_path: Path) -> None:
    clip = videos.Clip(2, (2, 6), rotation=180, **LOSSLESS)  # type: ignore[arg-type]
    _, target = annotated(clip, tmp_path)
    assert len(videos.decode(target)) == 2


@pytest.mark.parametrize("size", [(16, 16), (48, 64), (1080, 1920), (1920, 1080), (2, 2000)])
def test_labels_fit_into_frames_of_any_size(size: tuple[int, int]) -> None:
    label = draw_label("skiing (not slalom or crosscountry) 93 %", *size)
    assert label.shape[0] <= max(4, size[0])
    assert label.shape[1] <= size[1]
    assert label.shape[0] % 4 == label.shape[1] % 4 == 0
    if min(size) > 100:  # letters of at least a thirtieth of the shorter side
        rows = np.flatnonzero(label.max(axis=1) > 128)
        assert rows[-1] - rows[0] >= min(size) / 30


def test_the_plot_names_the_classes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_time_line(time_line(), tmp_path / "line.svg")
    text = (tmp_path / "line.svg").read_text()
    assert "<!-- one -->" in text
    assert "<!-- two -->" in text
    with pytest.raises(InputError, match="expected a suffix of"):
        plot_time_line(time_line(), tmp_path / "line.nothing")


def test_the_plot_needs_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ls3d\[plot\]'"):
        plot_time_line(time_line(), tmp_path / "line.svg")
