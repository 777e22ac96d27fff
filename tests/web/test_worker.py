"""What the process of a job does: results against PyAV, and limits, each with one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from helpers.bombs import large_picture, many_frames
from helpers.videos import Clip, decode, moving_picture, time_of
from jsonschema import Draft202012Validator

from ls3d.enhance import EnhanceReport
from ls3d.enhance.options import QUALITIES
from ls3d.web.options import Limits
from ls3d.web.requests import ClassifyRequest, EnhanceRequest, JobRequest, SamplingRequest, Task
from ls3d.web.worker import run_task

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "progress.schema.json").read_text())


def run(
    folder: Path, request: JobRequest, clip: Clip | None = None, **limits: Any
) -> tuple[list[dict[str, Any]], dict[str, Any] | None, Task]:
    """Do a job in this process: the lines before the last one, the last one, and the task."""
    if clip is not None:
        clip.write(folder / "in.mp4").rename(folder / "upload")
    task = Task(folder, request, replace(Limits(), **limits), "cpu", "i3d_inception")
    lines: list[dict[str, Any]] = []
    return lines, run_task(task, lines.append), task


def test_a_task_survives_json(tmp_path: Path) -> None:
    task = Task(tmp_path, EnhanceRequest(sigma="auto", scale=1.5), Limits(), "cpu", "weights.safetensors")
    assert Task.from_json(task.to_json()) == task


def test_enhancement_writes_lines_of_the_schema_and_the_frames(tmp_path: Path) -> None:
    lines, last, task = run(tmp_path, EnhanceRequest(factor=2, scale=2), Clip(4, size=(32, 48)))
    assert last is not None
    for line in [*lines, last]:
        Draft202012Validator(SCHEMA).validate(line)
    assert any("done" in line for line in lines)
    assert last["report"]["frames_out"] == 8
    frames = decode(task.target)
    assert len(frames) == 8
    assert {(frame.width, frame.height) for frame in frames} == {(96, 64)}


@pytest.mark.parametrize(
    ("fields", "smoother"),
    [
        ({"slow_motion": True}, True),
        ({"slow_motion": True, "sigma": 5}, True),
        ({"factor": 2}, True),
        ({"fps": 60}, True),
        ({"scale": 2}, False),
    ],
)
def test_the_quality_is_that_of_new_frames(
    fields: dict[str, Any], smoother: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def record(source: Path, target: Path, **arguments: Any) -> EnhanceReport:
        given.update(arguments)
        return EnhanceReport(str(target))

    monkeypatch.setattr("ls3d.web.worker.enhance", record)
    run(tmp_path, EnhanceRequest(**fields, quality="best"), Clip(2))
    assert given["interpolation_model"] == (QUALITIES["best"] if smoother else None)
    assert given["slow_motion"] == fields.get("slow_motion", False)


def test_a_preview_is_the_beginning(tmp_path: Path) -> None:
    _, _, task = run(tmp_path, EnhanceRequest(factor=2, preview=True), Clip(8), preview=Fraction(3, 25))
    assert [time_of(frame) for frame in decode(task.target)] == [Fraction(n, 50) for n in range(6)]


@pytest.mark.parametrize(
    ("request_", "clip", "limits", "sentence"),
    [
        (EnhanceRequest(factor=2), Clip(30), {"max_length": 1}, "the video lasts 0:00:01; this server accepts at most"),
        (
            EnhanceRequest(factor=2),
            Clip(2),
            {"max_pixels": 3000},
            "has pictures of 64 x 48 pixels; this server accepts",
        ),
        (EnhanceRequest(scale=4), Clip(2), {"max_pixels": 5000}, "pictures of 256 x 192 pixels; this server makes at"),
        (EnhanceRequest(factor=2), Clip(8), {"max_length": 0.33}, None),
        (EnhanceRequest(sigma=-5), Clip(2), {}, "sigma -5: expected a number from 0 to 255, or auto"),
        (ClassifyRequest(), Clip(30), {"max_length": 1}, "the video lasts"),
    ],
)
def test_limits(tmp_path: Path, request_: JobRequest, clip: Clip, limits: dict[str, Any], sentence: str | None) -> None:
    _, last, task = run(tmp_path, request_, clip, **limits)
    assert last is not None
    if sentence is None:
        assert "report" in last
    else:
        assert sentence in last["error"]
        assert not task.target.exists()


def test_a_file_that_states_a_wrong_duration_is_stopped(tmp_path: Path) -> None:
    """At most 240 frames for each second of the maximum length."""
    clip = Clip(60, rate=Fraction(1000))
    _, last, _ = run(tmp_path, EnhanceRequest(sigma=0, factor=2), clip, max_length=0.1)
    assert last == {"error": "the video has more than 24 frames"}


@pytest.mark.parametrize(
    "content",
    [
        b"<html><script>alert(1)</script></html>",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"YUV4MPEG2 W100000 H100000 F25:1 C420\nFRAME\n",
        b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xff",
        bytes(10_000),
        large_picture(),
    ],
    ids=["html", "playlist", "concat", "y4m", "avi", "zeros", "picture"],
)
def test_what_is_no_video(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "upload").write_bytes(content)
    _, last, task = run(tmp_path, EnhanceRequest(factor=2))
    assert last is not None
    assert str(tmp_path) not in last["error"].replace(str(task.source), "")
    assert "root:" not in last["error"]
    assert not task.target.exists()


def test_a_file_of_many_frames(tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(many_frames(tmp_path))
    assert (tmp_path / "upload").stat().st_size < 200_000
    _, last, _ = run(tmp_path, EnhanceRequest(factor=2), max_length=0.5)
    assert last is not None
    assert "the video lasts 0:00:04" in last["error"]


def test_without_weights_the_sentence_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _, last, _ = run(tmp_path, ClassifyRequest(), Clip(2))
    assert last is not None
    assert "ls3d weights get i3d_inception" in last["error"]


def shifted(index: int, height: int, width: int) -> Any:
    """A picture that moves four pixels to the right in every frame."""
    return moving_picture(0, height, width + 40)[:, 40 - 4 * index : 40 - 4 * index + width]


def test_samples_are_where_the_pixel_comes_from(tmp_path: Path) -> None:
    """A pixel halfway between two frames comes from two pixels to the left of it and two to the right."""
    clip = Clip(4, size=(64, 96), picture=shifted)
    _, last, task = run(tmp_path, SamplingRequest(time=0.04, x=0.5, y=0.5), clip)
    assert last is None
    found = json.loads(task.target.read_text())
    assert (found["width"], found["height"], found["x"], found["y"]) == (96, 64, 48, 32)
    for frame, x in ((0, 46), (1, 50)):
        points = [(px, py, share) for f, px, py, share in found["points"] if f == frame]
        weight = sum(share for _, _, share in points)
        assert abs(sum(px * share for px, _, share in points) / weight - x) < 1.5
        assert abs(sum(py * share for _, py, share in points) / weight - 32) < 1.5
    assert all(url.startswith("data:image/png;base64,") for url in [*found["frames"], found["output"]])
