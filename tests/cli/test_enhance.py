"""The commands that enhance videos: flags, help, progress, reports, and errors with exit status 2."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import typer
from helpers.fields import interlaced_clip
from helpers.videos import Clip, decode, times
from typer.testing import CliRunner

from ls3d.cli import enhance
from ls3d.cli import main as program
from ls3d.cli._console import ProgressStyle, TerminatedError, show_report
from ls3d.enhance import EnhanceOptions, EnhanceReport
from ls3d.enhance._workspace import Workspace
from ls3d.enhance.engine import make_segment, plan_job
from ls3d.enhance.jobs import prepare_interpolation
from ls3d.enhance.options import QUALITIES
from ls3d.enhance.presets import PRESETS
from ls3d.errors import InputError
from ls3d.progress import format_duration
from ls3d.video import probe
from ls3d.video.images import encode_png

app = typer.Typer()
enhance.register(app)


def run(*arguments: object) -> str:
    """Run a command, which must succeed; its output."""
    result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two seconds with sound."""
    return Clip(50, audio=["eng"]).write(tmp_path / "in.mp4")


@pytest.mark.parametrize("command", ["interpolate", "upscale", "denoise", "enhance"])
def test_help_has_an_example(command: str) -> None:
    output = run(command, "--help")
    assert f"Example: ls3d {command}" in output
    for flag in (*(option.name.replace("_", "-") for option in fields(EnhanceOptions)), "preview", "progress"):
        assert f"--{flag}" in output


def test_factor_and_the_bar(source: Path, tmp_path: Path) -> None:
    output = run("interpolate", source, tmp_path / "out.mp4", "--factor", 4, "--model", "blend", "--preview", 0.2)
    assert len(decode(tmp_path / "out.mp4")) == 20
    assert "5 frames became 20" in output


@pytest.mark.parametrize(("quality", "model"), QUALITIES.items())
def test_quality_chooses_the_network(quality: str, model: str, source: Path, tmp_path: Path) -> None:
    output = run("interpolate", source, tmp_path / "out.mp4", "--quality", quality, "--preview", 0.1)
    assert f"; {model} on " in output


@pytest.mark.parametrize("factor", ["2.5", "5/2"])
def test_a_factor_that_is_a_fraction(factor: str, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    run("interpolate", source, target, "--factor", factor, "--model", "blend", "--preview", 0.4)
    assert times(target) == [Fraction(2 * n, 125) for n in range(25)]


def test_fps(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    run("interpolate", source, target, "--fps", "30000/1001", "--model", "repeat", "--duration", 1)
    assert probe(target).rate == Fraction(30000, 1001)


def test_options_for_source_and_encoder(tmp_path: Path) -> None:
    source = interlaced_clip(6).write(tmp_path / "in.mp4")
    target = tmp_path / "out.mp4"
    options = ("--deinterlace", "frame", "--dedup", "auto", "--encoder-options", "g=2,x264-params=bframes=0")
    run("denoise", source, target, "--model", "identity", *options)
    assert [frame.key_frame for frame in decode(target)] == [True, False] * 3


def test_slow_motion(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    output = run("interpolate", source, target, "--slow-motion", "--model", "blend", "--preview", 0.4)
    assert times(target) == [Fraction(n, 25) for n in range(20)]
    assert "can't be slowed down with the video" in output


def test_progress_for_programs(source: Path, tmp_path: Path) -> None:
    arguments = ("denoise", source, tmp_path / "out.mp4", "--model", "identity", "--preview", 0.2)
    lines = [json.loads(line) for line in run(*arguments, "--progress", "json").splitlines()]
    assert lines[-1]["report"]["frames_out"] == 5
    assert "identity on cpu" in lines[0]["info"]
    assert lines[1]["total"] == 5
    assert run(*arguments, "--progress", "none") == ""


def test_the_other_flags(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    run(
        *("upscale", source, target, "--scale", 4, "--model", "bicubic", "--start", 0.4, "--duration", 0.2),
        *("--codec", "hevc", "--crf", 30, "--tile", 64, "--device", "cpu", "--precision", "bfloat16"),
        *("--restart", "--cut-threshold", 0, "--on-error", "stop", "--max-memory", "3G"),
        *("--threads", 1, "--segment-frames", 2, "--image-rate", 24, "--progress", "none"),
    )
    info = probe(target)
    assert (info.codec, info.width, info.frames) == ("hevc", 256, 5)


@pytest.mark.parametrize(
    ("flags", "size"),
    [(["--scale", "3/2"], (96, 72)), (["--height", "72"], (96, 72)), (["--fit", "96x100"], (96, 72))],
)
def test_sizes(flags: list[str], size: tuple[int, int], source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    run("upscale", source, target, "--model", "bicubic", "--preview", 0.1, "--max-memory", "3G", *flags)
    assert (probe(target).width, probe(target).height) == size


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--factor", "1/2"], "--factor 1/2: expected a number from 1 to 100"),
        (["--fps", "many"], "--fps many: expected a number"),
        (["--preview", "1", "--duration", "1"], "--preview and --duration exclude each other"),
        (["--max-memory", "lots"], "--max-memory lots: expected bytes"),
        (["--tile", "1"], "--tile 1: expected at least 64 pixels"),
        (["--crf", "99"], "--crf 99: expected a number from 0 to 63"),
        (["--start", "99"], "--start 99: expected less than"),
        (["--device", "warp"], "--device warp: this machine has no such device"),
        (["--quality", "best", "--model", "blend"], "--quality best: expected either a quality or a model"),
        (["--model", "bicubic"], "--model bicubic: its task is super-resolution, expected interpolation"),
        (["--max-memory", "1M"], "--max-memory 1 MiB: too little"),
    ],
)
def test_errors_name_the_flag(
    flags: list[str],
    sentence: str,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["ls3d", "interpolate", str(source), str(tmp_path / "out.mp4"), *flags])
    with pytest.raises(SystemExit) as status:
        program()
    assert status.value.code == 2
    output = capsys.readouterr().err.strip().splitlines()
    assert output[-1].startswith(f"error: {sentence}")


def test_standard_streams(source: Path, tmp_path: Path) -> None:
    run("denoise", source, tmp_path / "in.y4m", "--model", "identity", "--preview", 0.2)
    command = [sys.executable, "-m", "ls3d", "interpolate", "-", "-", "--model", "blend", "--progress", "none"]
    content = (tmp_path / "in.y4m").read_bytes()
    result = subprocess.run(command, input=content, capture_output=True, check=True)
    (tmp_path / "out.y4m").write_bytes(result.stdout)
    assert len(decode(tmp_path / "out.y4m")) == 10
    assert result.stderr == b""


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two videos, and between them one that is none."""
    (tmp_path / "clips").mkdir()
    Clip(3).write(tmp_path / "clips" / "a.mp4")
    Clip(3).write(tmp_path / "clips" / "c.mkv")
    (tmp_path / "clips" / "b.mp4").write_bytes(b"no video")
    (tmp_path / "clips" / "b.srt").write_bytes(b"")
    return tmp_path / "clips"


def run_list(*arguments: object) -> tuple[int, str]:
    """Run a command; its exit status and output."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    return result.exit_code, result.output


def test_a_folder_of_videos(clips: Path, tmp_path: Path) -> None:
    arguments = ("interpolate", clips, tmp_path / "out", "--model", "blend")
    status, output = run_list(*arguments)
    assert status == 3
    assert f"note: {clips}: passed over, no videos: b.srt" in output
    assert f"error: {clips / 'b.mp4'} is not a video" in output
    assert output.splitlines()[-1] == "3 files: 2 done, 1 failed"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4", "c.mkv"]
    assert run_list(*arguments)[1].splitlines()[-1] == "3 files: 2 already done, 1 failed"
    status, output = run_list(*arguments, "--progress", "none", "--fps", 60)
    reasons = [line.partition(" ")[2] for line in output.splitlines() if line.startswith("error:")]
    assert [reason.partition("; ")[2] for reason in reasons] == [
        "--overwrite replaces it",
        "",
        "--overwrite replaces it",
    ]


def test_an_unknown_codec_stops_the_list(clips: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["denoise", str(clips), str(tmp_path / "out"), "--codec", "flash"])
    assert isinstance(result.exception, InputError)  # exit status 2
    assert str(result.exception).startswith("codec flash: expected one of h264, hevc")
    assert not (tmp_path / "out").exists()


def test_a_pattern_of_videos(clips: Path, tmp_path: Path) -> None:
    status, output = run_list("denoise", clips / "[ac].*", tmp_path / "out", "--model", "identity")
    assert status == 0
    assert output.splitlines()[-1] == "2 files: 2 done"


def test_lists_for_programs(clips: Path, tmp_path: Path) -> None:
    arguments = ("upscale", clips, tmp_path / "out", "--model", "bicubic", "--progress", "json")
    status, output = run_list(*arguments)
    assert status == 3
    lines = [json.loads(line) for line in output.splitlines()]
    reports = {line["source"]: line["report"]["frames_out"] for line in lines if "report" in line}
    assert reports == {str(clips / "a.mp4"): 3, str(clips / "c.mkv"): 3}
    assert [line["source"] for line in lines if "error" in line] == [str(clips / "b.mp4")]
    assert {line["source"] for line in lines if "done" in line} == set(reports)
    assert lines[-1] == {"summary": {"done": 2, "already done": 0, "failed": 1, "unfinished": 0}}


@pytest.mark.parametrize(("stop", "expected"), [(KeyboardInterrupt, 130), (TerminatedError, 143)])
def test_an_interruption_stops_the_list(
    stop: type[BaseException], expected: int, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def interpolate(source: str, target: str, **_: object) -> EnhanceReport:
        calls.append(source)
        if len(calls) == 2:
            raise stop
        return EnhanceReport(target)

    monkeypatch.setattr("ls3d.enhance.interpolate", interpolate, raising=False)
    status, output = run_list("interpolate", clips, tmp_path / "out")
    assert status == expected
    assert len(calls) == 2
    assert "3 files: 1 done, 2 unfinished" in output
    assert "interrupted; nothing of " in output


def test_the_output_of_a_list_is_a_folder(clips: Path, tmp_path: Path) -> None:
    for target, sentence in (("-", "-: expected a folder"), (tmp_path / "out.mp4", "out.mp4: expected a folder")):
        with pytest.raises(InputError, match=sentence):
            run("interpolate", clips, target)


def test_a_job_is_resumed(source: Path, tmp_path: Path) -> None:
    options = EnhanceOptions(threads=1, segment_frames=10)
    job = prepare_interpolation(source, tmp_path / "out.mp4", model="blend", options=options)
    Workspace(tmp_path / "out.mp4").prepare(job.job.signature())
    make_segment(job.job, next(plan_job(job.job, job.source)))
    flags = ("--model", "blend", "--threads", 1, "--segment-frames", 10)
    assert "5 segments, 1 of them from an earlier run" in run("interpolate", source, tmp_path / "out.mp4", *flags)


def test_notes_are_shown_once(tmp_path: Path) -> None:
    folder = tmp_path / "[images]"
    folder.mkdir()
    for n in range(6):
        (folder / f"{n}.png").write_bytes(encode_png(np.full((32, 32, 3), 40 * n, np.uint8)))
    (folder / "3.png").write_bytes(b"damaged")
    output = run("interpolate", folder, tmp_path / "out.mkv", "--model", "blend")
    assert (
        output.count("[images]/3.png can't be decoded") == 1
    )  # the image is decoded twice: for the plan, and for the work
    assert "note: undecodable packets: 1" in output


def test_frames_without_usable_times_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    show_report(EnhanceReport("out.mp4", retimed_frames=3, notes=["stream 2 (data) left out"]), ProgressStyle.bar)
    output = capsys.readouterr().err
    assert "note: stream 2 (data) left out" in output
    assert "note: frames without a usable timestamp: 3" in output


@pytest.mark.parametrize(("seconds", "text"), [(None, "unknown"), (5.4, "0:00:05"), (3_725, "1:02:05")])
def test_remaining_time(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text


def test_several_steps(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    flags = ("--denoise", "auto", "--upscale", "2", "--fps", "60", "--preview", 0.4)
    models = ("--super-resolution-model", "bicubic", "--interpolation-model", "blend")
    output = run("enhance", source, target, *flags, *models)
    info = probe(target)
    assert (info.width, info.height, info.rate, info.frames) == (128, 96, Fraction(60), 24)
    assert "too little to be seen, so it is not denoised" in output
    assert "1. super-resolution (bicubic), 2. interpolation (blend)" in output
    assert "; bicubic, then blend on " in output


def test_a_preset_is_its_options(source: Path, tmp_path: Path) -> None:
    flags = ("--preview", 0.2, "--quality", "fast", "--factor", 3)
    output = run("enhance", source, tmp_path / "out.mp4", "--preset", "phone", *flags)
    assert "preset phone: --denoise auto --factor 3 --interpolation-model bilateral\n" in output
    assert "5 frames became 15" in output
    help_text = run("enhance", "--help")
    assert all(preset in help_text for preset in PRESETS)


@pytest.mark.parametrize(("flags", "dedup"), [((), "auto"), (("--dedup", "off"), "off")])
def test_a_given_option_takes_precedence_over_a_preset(
    flags: tuple[str, ...], dedup: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[EnhanceOptions] = []

    def record(source: str, target: str, options: EnhanceOptions, **_: object) -> EnhanceReport:
        calls.append(options)
        return EnhanceReport(target)

    monkeypatch.setattr("ls3d.enhance.enhance", record, raising=False)
    output = run("enhance", source, tmp_path / "out.mp4", "--preset", "anime", "--crf", 20, *flags)
    assert calls == [EnhanceOptions(crf=20, dedup="auto" if dedup == "auto" else "off")]
    assert f"preset anime: --upscale 2 --factor 2 --dedup {dedup}\n" in output


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--denoise", "loud"], "--denoise loud: expected a number from 0 to 255"),
        (["--upscale", "9"], "--upscale 9: expected a number more than 0"),
        (["--preset", "film"], "--preset film: expected old-family-video, phone"),
        (["--fps", "60", "--denoising-model", "vdn"], "--denoising-model vdn: no denoising is asked for"),
        ([], "nothing to do: expected"),
    ],
)
def test_errors_of_steps_name_the_flag(
    flags: list[str], sentence: str, clips: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They stop a list of videos, since they don't depend on a video."""
    monkeypatch.setattr(sys, "argv", ["ls3d", "enhance", str(clips), str(clips.parent / "out"), *flags])
    with pytest.raises(SystemExit) as status:
        program()
    assert status.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {sentence}")


@pytest.mark.parametrize("command", [("interpolate", "--model", "blend"), ("enhance", "--denoise", "9")])
def test_the_time_is_estimated_before_the_first_segment_ends(
    command: tuple[str, ...], source: Path, tmp_path: Path
) -> None:
    name, *flags = command
    models = ("--denoising-model", "aligned_mean") if name == "enhance" else ()
    arguments = (name, source, tmp_path / "out.mp4", *flags, *models, "--segment-frames", 6, "--preview", 0.4)
    lines = [json.loads(line) for line in run(*arguments, "--progress", "json").splitlines()]
    estimates = [line["info"] for line in lines if "info" in line and line["info"].startswith("estimated time: 0:")]
    assert len(estimates) == 1
    assert "s for each of 10 frames)" in estimates[0]
    done = [line["done"] for line in lines[: lines.index({"info": estimates[0]})] if "done" in line]
    assert max(done) <= 5
    assert all(line["estimate"] > 0 for line in lines if "done" in line)
