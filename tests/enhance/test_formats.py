"""Images, pipes, upscaling, noise levels, tiles and damaged files, through the public functions."""

from __future__ import annotations

import io
import logging
import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from helpers.networks import RecordingDenoiser, RecordingWindow
from helpers.videos import BT709, Clip, decode, moving_picture, planes, times

from ls3d.enhance import EnhanceOptions, Progress, denoise, interpolate, upscale
from ls3d.errors import InputError
from ls3d.video import probe


def images(folder: Path, count: int, pix_fmt: str = "rgb24") -> Path:
    """A folder of PNG files."""
    folder.mkdir()
    for n in range(count):
        picture = av.VideoFrame.from_ndarray(moving_picture(n, 30, 42), format="rgb24")
        with av.open(str(folder / f"{n}.png"), "w", format="image2") as output:
            stream = output.add_stream("png", rate=1)
            stream.width, stream.height, stream.pix_fmt = 42, 30, pix_fmt
            output.mux(stream.encode(picture.reformat(format=pix_fmt)))
            output.mux(stream.encode())
    return folder


@pytest.mark.parametrize("pix_fmt", ["rgb24", "rgb48be", "gray"])
def test_images_to_images(tmp_path: Path, pix_fmt: str) -> None:
    source = images(tmp_path / "in", 12, pix_fmt)
    report = interpolate(source, tmp_path / "out", factor=2, model="blend")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"{n:06}.png" for n in range(1, 25)]
    assert report.frames_out == 24
    for n in range(12):
        old, new = decode(source / f"{n}.png")[0], decode(tmp_path / "out" / f"{2 * n + 1:06}.png")[0]
        assert new.format.name == old.format.name == pix_fmt
        assert np.array_equal(old.to_ndarray(), new.to_ndarray())


def test_images_to_a_video_and_back(tmp_path: Path) -> None:
    source = images(tmp_path / "in", 5)
    film = tmp_path / "film.mkv"
    denoise(source, film, model="identity", options=EnhanceOptions(image_rate=24, codec="ffv1"))
    assert times(film) == [Fraction(round(1000 * n / 24), 1000) for n in range(5)]
    denoise(film, tmp_path / "out", model="identity")
    for n in range(5):
        new = decode(tmp_path / "out" / f"{n + 1:06}.png")[0].to_ndarray(format="rgb24")
        assert np.array_equal(new, moving_picture(n, 30, 42))


def test_images_into_a_link_to_an_empty_folder(tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    source = images(tmp_path / "in", 3)
    denoise(source, link, model="identity")
    assert [path.name for path in sorted(folder.iterdir())] == ["000001.png", "000002.png", "000003.png"]
    assert denoise(source, link, model="identity").finished_before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "in", "link"]


def test_images_can_not_replace_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")
    with pytest.raises(InputError, match="out is a file; expected a name with the suffix of a video, or a folder"):
        denoise(images(tmp_path / "in", 3), tmp_path / "out", model="identity", options=EnhanceOptions(overwrite=True))


def test_images_to_mp4_are_converted_to_yuv(tmp_path: Path) -> None:
    interpolate(images(tmp_path / "in", 3), tmp_path / "out.mp4", model="blend")
    info = probe(tmp_path / "out.mp4")
    assert info.color.layout.name == "yuv420p"
    assert dict(info.tags)["colorspace"] == 1
    shown = decode(tmp_path / "out.mp4")[0].to_ndarray(format="rgb24").astype(float)
    assert np.abs(shown - moving_picture(0, 30, 42)).mean() < 6


def test_y4m_through_pipes(tmp_path: Path) -> None:
    source = Clip(6, tags=BT709).write(tmp_path / "in.mp4")
    denoise(source, tmp_path / "a.y4m", model="identity")
    read = io.BytesIO((tmp_path / "a.y4m").read_bytes())
    written = io.BytesIO()
    report = interpolate(read, written, factor=2, model="blend")
    assert (report.frames_in, report.frames_out) == (6, 12)
    (tmp_path / "b.y4m").write_bytes(written.getvalue())
    assert probe(tmp_path / "b.y4m").rate == 50
    old, new = decode(source), decode(tmp_path / "b.y4m")
    assert len(new) == 12
    for n, frame in enumerate(old):
        assert all(np.array_equal(a, b) for a, b in zip(planes(frame), planes(new[2 * n]), strict=True))


def test_a_pipe_has_the_notes_of_a_file(tmp_path: Path) -> None:
    source = Clip(3, audio=["eng"]).write(tmp_path / "in.mp4")
    file = denoise(source, tmp_path / "out.y4m", model="identity")
    pipe = denoise(source, io.BytesIO(), model="identity")
    assert pipe.notes == file.notes
    assert any("audio" in note for note in pipe.notes)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le"])
def test_y4m_in_every_layout(tmp_path: Path, pix_fmt: str) -> None:
    source = Clip(2, (30, 42), "ffv1", pix_fmt, options={}).write(tmp_path / "in.mkv")
    denoise(source, tmp_path / "out.y4m", model="identity")
    for old, new in zip(decode(source), decode(tmp_path / "out.y4m"), strict=True):
        assert new.format.name == pix_fmt
        assert all(np.array_equal(a, b) for a, b in zip(planes(old), planes(new), strict=True))


def test_upscaling(tmp_path: Path) -> None:
    source = Clip(3, (20, 30), aspect=Fraction(4, 3), audio=["eng"]).write(tmp_path / "in.mp4")
    upscale(source, tmp_path / "out.mp4", scale=4, model="bicubic")
    info = probe(tmp_path / "out.mp4")
    assert (info.height, info.width, info.sample_aspect_ratio) == (80, 120, Fraction(4, 3))
    assert [stream.type for stream in info.streams] == ["video", "audio"]
    old, new = planes(decode(source)[1])[0], planes(decode(tmp_path / "out.mp4")[1])[0]
    assert np.abs(new.reshape(20, 4, 30, 4).mean((1, 3)) - old).mean() < 1
    with pytest.raises(InputError, match="scale 9"):
        upscale(source, tmp_path / "out.mp4", scale=9, model="bicubic")


def test_noise_levels_reach_the_network(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def noisy(index: int, height: int, width: int) -> np.ndarray:
        return (128 + 20 * rng.standard_normal((height, width, 3))).round().clip(0, 255).astype(np.uint8)

    clip = Clip(2, (96, 128), "ffv1", "bgr0", options={}, picture=noisy)
    source = clip.write(tmp_path / "in.mkv")
    model = RecordingDenoiser()
    denoise(source, tmp_path / "out.mkv", model=model, sigma=25)
    assert model.levels == [pytest.approx(25 / 255)] * 2
    model.levels.clear()
    denoise(source, tmp_path / "measured.mkv", model=model)
    assert model.levels == [pytest.approx(20 / 255, rel=0.1)] * 2
    with pytest.raises(InputError, match="takes no noise level"):
        denoise(source, tmp_path / "out.mkv", model="identity", sigma=25)
    with pytest.raises(InputError, match="sigma loud"):
        denoise(source, tmp_path / "out.mkv", model=model, sigma="loud")


def test_windows_repeat_the_ends_of_shots(tmp_path: Path) -> None:
    levels = [10, 12, 14, 210, 212, 214, 216]

    def flat(index: int, height: int, width: int) -> np.ndarray:
        return np.full((height, width, 3), levels[index], np.uint8)

    source = Clip(7, codec="ffv1", pix_fmt="gray", options={}, tags={"color_range": 2}, picture=flat)
    model = RecordingWindow()
    report = denoise(source.write(tmp_path / "in.mkv"), tmp_path / "out.mkv", model=model)
    assert report.cuts == 1
    assert model.windows == [
        [10, 10, 10, 12],
        [10, 10, 12, 14],
        [10, 12, 14, 14],
        [210, 210, 210, 212],
        [210, 210, 212, 214],
        [210, 212, 214, 216],
        [212, 214, 216, 216],
    ]


def test_tiles_and_memory_limits_change_no_pixel(tmp_path: Path) -> None:
    source = Clip(2, (150, 170)).write(tmp_path / "in.mkv")
    whole, tiled, limited = (tmp_path / f"{n}.mkv" for n in ("whole", "tiled", "limited"))
    interpolate(source, whole, model="blend", options=EnhanceOptions(codec="ffv1"))
    interpolate(source, tiled, model="blend", options=EnhanceOptions(codec="ffv1", tile=64))
    interpolate(source, limited, model="blend", options=EnhanceOptions(codec="ffv1", max_memory=710 << 20))
    for path in (tiled, limited):
        for a, b in zip(decode(whole), decode(path), strict=True):
            assert all(np.abs(x - y).max() <= 1 for x, y in zip(planes(a), planes(b), strict=True))
    with pytest.raises(InputError, match="max_memory"):
        interpolate(source, tmp_path / "no.mkv", model="blend", options=EnhanceOptions(max_memory=1 << 20))


def test_half_precision_runs(tmp_path: Path) -> None:
    source = Clip(3).write(tmp_path / "in.mp4")
    interpolate(source, tmp_path / "out.mp4", model="blend", options=EnhanceOptions(precision="bfloat16"))
    assert len(decode(tmp_path / "out.mp4")) == 6


def test_progress_counts_up_to_the_end(tmp_path: Path) -> None:
    states: list[Progress] = []
    source = Clip(10).write(tmp_path / "in.mp4")
    interpolate(source, tmp_path / "out.mp4", model="blend", progress=states.append)
    assert [state.done for state in states] == [*range(1, 11), 10]
    assert {state.total for state in states} == {10}
    assert [state.written for state in states] == [*range(2, 21, 2), 20]
    assert states[-1].phase == "joining"
    assert states[-2].remaining == 0


def _damaged(content: bytes, rng: random.Random) -> bytes:
    """The content truncated, with bits flipped, or with some bytes zeroed."""
    kind, place = rng.randrange(3), rng.randrange(len(content))
    if kind == 0:
        return content[:place]
    if kind == 1:
        changed = bytearray(content)
        for _ in range(rng.choice([1, 10, 100])):
            changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    return content[:place] + bytes(min(500, len(content) - place)) + content[place + 500 :]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
@pytest.mark.parametrize(("files", "least_made"), [(12, 2), pytest.param(50, 10, marks=pytest.mark.slow)])
def test_damaged_files_give_a_video_or_one_sentence(
    tmp_path: Path, suffix: str, files: int, least_made: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    options = {"crf": "25", "g": "8"} if suffix != "avi" else {"q": "5"}
    codec = "mpeg4" if suffix == "avi" else "libx264"
    sound = "mp2" if suffix == "avi" else "aac"
    clip = Clip(20, codec=codec, options=options, audio=["eng"], audio_codec=sound)
    content = clip.write(tmp_path / f"whole.{suffix}").read_bytes()
    rng, made = random.Random(suffix), 0
    for number in range(files):
        source, target = tmp_path / f"{number}.{suffix}", tmp_path / f"{number}-out.mkv"
        source.write_bytes(_damaged(content, rng))
        sentence = ""
        try:
            report = interpolate(source, target, model="blend", options=EnhanceOptions(codec="ffv1"))
        except (InputError, OSError) as error:
            sentence = str(error)
        assert target.exists() == (not sentence)
        assert "\n" not in sentence
        if not sentence:
            made += 1
            assert len(decode(target)) == report.frames_out == 2 * report.frames_in
        assert sentence or not (tmp_path / f"{number}-out.mkv.ls3d").exists()
    assert made > least_made


def test_a_header_that_states_a_duration_of_an_hour(tmp_path: Path) -> None:
    pts = [0, 512, 1024]
    source = Clip(3, time_base=Fraction(1, 12800), pts=pts, audio=["eng"], audio_seconds=0.2)
    path = source.write(tmp_path / "in.mp4")
    content = bytearray(path.read_bytes())
    for name, offset in ((b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16)):
        place = content.index(name) + 4
        content[place + offset : place + offset + 4] = (3600 * 12800).to_bytes(4, "big")
    path.write_bytes(bytes(content))
    states: list[Progress] = []
    report = interpolate(path, tmp_path / "out.mp4", model="blend", progress=states.append)
    assert report.frames_in == 3
    assert len(decode(tmp_path / "out.mp4")) == 6
    assert torch.is_grad_enabled()
