"""A job that is killed anywhere resumes when it is called again, and the result is the same to the byte."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.marks import slow_except
from helpers.networks import Mean
from helpers.videos import Clip, decode, planes
from torch import Tensor

from ls3d.enhance import EnhanceOptions, denoise, interpolate
from ls3d.enhance._workspace import Workspace
from ls3d.enhance.jobs import prepare_interpolation
from ls3d.errors import InputError, OutputExistsError
from ls3d.video.images import encode_png

OPTIONS = EnhanceOptions(threads=1, segment_frames=7)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Forty frames with B-frames in an open GOP, three cuts and sound."""
    options = {"crf": "20", "g": "12", "bf": "3", "x264-params": "open-gop=1"}
    return Clip(40, shot_length=13, options=options, audio=["eng"]).write(tmp_path / "in.mp4")


@pytest.mark.parametrize("call", [1, 7, 8, 20, 40])
def test_interrupted_jobs_resume(source: Path, tmp_path: Path, call: int) -> None:
    whole, resumed = tmp_path / "whole.mp4", tmp_path / "resumed.mp4"
    denoise(source, whole, model=Mean(), options=OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        denoise(source, resumed, model=Mean(breaks_at=call), options=OPTIONS)
    assert not resumed.exists()
    model = Mean()
    report = denoise(source, resumed, model=model, options=OPTIONS)
    assert resumed.read_bytes() == whole.read_bytes()
    assert report.frames_in == 40
    assert report.resumed == (call - 1) // 7
    assert model.calls == 40 - 7 * report.resumed


def test_segments_do_not_change_frames(source: Path, tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole.mkv", tmp_path / "resumed.mkv"
    interpolate(source, whole, factor=4, model="blend", options=EnhanceOptions(codec="ffv1"))
    report = interpolate(
        source, resumed, factor=4, model="blend", options=EnhanceOptions(codec="ffv1", segment_frames=3)
    )
    assert report.segments >= 13
    for a, b in zip(decode(whole), decode(resumed), strict=True):
        assert (a.pts, a.time_base) == (b.pts, b.time_base)
        assert all(np.array_equal(x, y) for x, y in zip(planes(a), planes(b), strict=True))


def test_a_job_with_other_settings_starts_over(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        denoise(source, target, model=Mean(breaks_at=30), options=OPTIONS)
    options = EnhanceOptions(threads=1, segment_frames=7, crf=30)
    assert denoise(source, target, model=Mean(), options=options).resumed == 0


def test_restart_starts_over(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        denoise(source, target, model=Mean(breaks_at=30), options=OPTIONS)
    options = EnhanceOptions(threads=1, segment_frames=7, resume=False)
    assert denoise(source, target, model=Mean(), options=options).resumed == 0


def test_restart_replaces_the_output(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"of another job")
    assert denoise(source, target, model="identity", options=replace(OPTIONS, resume=False)).frames_out == 40
    assert len(list(decode(target))) == 40


def test_a_damaged_segment_is_made_again(source: Path, tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole.mp4", tmp_path / "resumed.mp4"
    denoise(source, whole, model=Mean(), options=OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        denoise(source, resumed, model=Mean(breaks_at=30), options=OPTIONS)
    broken = tmp_path / "resumed.mp4.ls3d" / "000001.packets"
    broken.write_bytes(broken.read_bytes()[:-1] + b"!")
    assert denoise(source, resumed, model=Mean(), options=OPTIONS).resumed == 3
    assert resumed.read_bytes() == whole.read_bytes()


def test_a_pipe_is_not_resumed(source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    denoise(source, tmp_path / "in.y4m", model="identity")
    content = (tmp_path / "in.y4m").read_bytes()
    target = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        denoise(io.BytesIO(content), target, model=Mean(breaks_at=30), options=OPTIONS)
    report = denoise(io.BytesIO(content), target, model=Mean(), options=OPTIONS)
    assert (report.resumed, report.frames_out) == (0, 40)
    assert "can't be resumed" in caplog.text
    assert len(decode(target)) == 40


def test_a_source_that_changed_is_noticed(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        denoise(source, target, model=Mean(breaks_at=30), options=OPTIONS)
    stat = source.stat()
    Clip(40, options={"crf": "30"}).write(source)
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert denoise(source, target, model=Mean(), options=OPTIONS).resumed == 0


def test_a_foreign_folder_is_left_alone(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out.mp4.ls3d"
    folder.mkdir()
    (folder / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="not an unfinished job"):
        denoise(source, tmp_path / "out.mp4", model=Mean(), options=OPTIONS)
    assert (folder / "precious.txt").read_text() == "mine"


def test_a_full_disk_is_one_sentence(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    interpolate(source, whole, model="blend", options=OPTIONS)
    calls = 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 6:
            raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"out\.mp4: No space left") as caught:
            interpolate(source, target, model="blend", options=OPTIONS)
    assert "\n" not in str(caught.value)
    assert not target.exists()
    report = interpolate(source, target, model="blend", options=OPTIONS)
    assert report.resumed > 0
    assert target.read_bytes() == whole.read_bytes()


def test_a_folder_that_vanishes_is_one_sentence(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()

    class RenamingFolder(Mean):
        def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
            if self.calls == 20:
                folder.rename(tmp_path / "elsewhere")
            return super().forward(frames)

    with pytest.raises(OSError, match="gone"):
        denoise(source, folder / "out.mp4", model=RenamingFolder(), options=OPTIONS)
    (tmp_path / "elsewhere").rename(folder)
    model = RenamingFolder()
    model.calls = 100
    report = denoise(source, folder / "out.mp4", model=model, options=OPTIONS)
    assert report.resumed > 0
    assert len(decode(folder / "out.mp4")) == 40


_JOB = """
import sys, time, torch
from pathlib import Path
from ls3d.enhance import EnhanceOptions, interpolate
from ls3d.models.enhancement.baselines import Blend

class Slow(Blend):
    def forward(self, frames, times=None):
        with open(sys.argv[3], "a") as log:
            log.write("x")
        time.sleep(0.02)
        return super().forward(frames, times)

torch.set_num_threads(1)
interpolate(sys.argv[1], sys.argv[2], model=Slow(), options=EnhanceOptions(threads=1, segment_frames=20))
"""


@pytest.mark.parametrize(("frames", "kills"), [(100, 2), pytest.param(300, 20, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tmp_path: Path, frames: int, kills: int) -> None:
    options = {"crf": "20", "g": "25", "bf": "3", "preset": "veryfast"}
    source = Clip(frames, options=options, audio=["eng"]).write(tmp_path / "in.mp4")
    whole, target, log = tmp_path / "whole.mp4", tmp_path / "out.mp4", tmp_path / "log"
    subprocess.run([sys.executable, "-c", _JOB, str(source), str(whole), str(tmp_path / "whole.log")], check=True)
    rng, killed = random.Random(0), 0
    log.touch()
    while not target.exists():
        job = subprocess.Popen([sys.executable, "-c", _JOB, str(source), str(target), str(log)])
        moment = log.stat().st_size + rng.randint(1, 35)
        while job.poll() is None and (killed == kills or log.stat().st_size < moment):
            time.sleep(0.003)
        if job.poll() is None:
            job.send_signal(signal.SIGKILL)
            killed += 1
        job.wait()
    assert killed == kills
    assert target.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "out.mp4.ls3d").exists()
    needed = len((tmp_path / "whole.log").read_text())
    # A kill loses the current segment, and what is queued for the encoder of the one before.
    assert len(log.read_text()) <= needed + killed * (20 + 8)


def test_the_job_file_describes_the_job(source: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        denoise(source, tmp_path / "out.mp4", model=Mean(breaks_at=10), options=OPTIONS)
    job = json.loads((tmp_path / "out.mp4.ls3d" / "job.json").read_text())
    assert job["container"] == "mp4"
    assert [step["model"]["name"] for step in job["steps"]] == ["Mean"]
    assert torch.is_grad_enabled()


def test_another_process_is_kept_out(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with Workspace(target).locked(), pytest.raises(InputError, match=r"out\.mp4: another process is working on this"):
        denoise(source, target, model=Mean(), options=OPTIONS)
    assert list(tmp_path.iterdir()) == [source]


def test_an_output_that_exists_is_not_replaced_unasked(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_text("precious")
    with pytest.raises(OutputExistsError, match=r"out\.mp4 exists"):
        denoise(source, target, model=Mean(), options=OPTIONS)
    assert target.read_text() == "precious"
    denoise(source, target, model=Mean(), options=replace(OPTIONS, overwrite=True))
    assert len(decode(target)) == 40


def test_a_finished_job_is_recognized(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    first = denoise(source, target, model=Mean(), options=OPTIONS)
    model = Mean()
    second = denoise(source, target, model=model, options=OPTIONS)
    assert model.calls == 0
    assert second == replace(first, finished_before=True)
    assert not (tmp_path / "out.mp4.ls3d").exists()
    with pytest.raises(OutputExistsError):
        denoise(source, target, model=Mean(), options=replace(OPTIONS, crf=30))
    target.write_bytes(target.read_bytes() + b"!")
    with pytest.raises(OutputExistsError):
        denoise(source, target, model=Mean(), options=OPTIONS)


@pytest.mark.parametrize(
    "damage", slow_except([b"", b"{", b"\xff\0", b'{"values": 3, "sha256": 4}', None], [b"{", None])
)
@pytest.mark.parametrize("name", ["job.json", "000001.json", "000001.plan.json", "000001.packets"])
def test_a_damaged_workspace_is_repaired(source: Path, tmp_path: Path, name: str, damage: bytes | None) -> None:
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    denoise(source, whole, model=Mean(), options=OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        denoise(source, target, model=Mean(breaks_at=30), options=OPTIONS)
    broken = tmp_path / "out.mp4.ls3d" / name
    broken.unlink()
    if damage is None:
        broken.mkdir()
    else:
        broken.write_bytes(damage)
    denoise(source, target, model=Mean(), options=OPTIONS)
    assert target.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "out.mp4.ls3d").exists()


def images(folder: Path, count: int) -> Path:
    folder.mkdir()
    for n in range(count):
        (folder / f"{n}.png").write_bytes(encode_png(np.full((32, 32, 3), n, np.uint8)))
    return folder


def test_another_rate_of_images_is_another_job(tmp_path: Path) -> None:
    """The output's rate is given, so only the source's times differ."""
    folder, target = images(tmp_path / "in", 6), tmp_path / "out.mkv"
    options = EnhanceOptions(overwrite=True, codec="ffv1")
    for rate, frames, finished_before in ((10, 18, False), (20, 9, False), (20, 9, True)):
        report = interpolate(folder, target, fps=30, model="blend", options=replace(options, image_rate=rate))
        assert (report.frames_out, report.finished_before) == (frames, finished_before)


#: An option of each job that changes its output, with a value that isn't the default.
CHANGES = {
    "precision": "bfloat16",
    "tile": 64,
    "max_pixels": 1 << 20,
    "start": 0.1,
    "duration": 0.1,
    "deinterlace": "frame",
    "dedup": "auto",
    "codec": "hevc",
    "encoder_options": {"tune": "grain"},
    "crf": 30,
    "cut_threshold": 0,
    "on_error": "stop",
    "image_rate": 20,
    "threads": 1,
    "segment_frames": 5,
}
#: Options that don't change what is computed: where, how much at once (which becomes the tile), and what is kept.
OTHERS = {"device", "max_memory", "hwaccel", "resume", "overwrite", "shard"}


def test_every_option_that_changes_the_output_is_in_the_signature(tmp_path: Path) -> None:
    assert {option.name for option in fields(EnhanceOptions)} == {*CHANGES, *OTHERS}
    folder = images(tmp_path / "in", 6)

    def signature(**option: Any) -> dict[str, Any]:
        options = EnhanceOptions(**{"codec": "h264", **option})
        prepared = prepare_interpolation(folder, tmp_path / "out.mkv", fps=30, model="blend", options=options)
        return prepared.job.signature()

    usual = signature()
    assert [name for name, value in CHANGES.items() if signature(**{name: value}) == usual] == []


def test_the_rate_of_images_is_nothing_to_a_video(source: Path, tmp_path: Path) -> None:
    denoise(source, tmp_path / "out.mp4", model=Mean(), options=OPTIONS)
    report = denoise(source, tmp_path / "out.mp4", model=Mean(), options=replace(OPTIONS, image_rate=50))
    assert report.finished_before


def test_an_image_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    folder = images(tmp_path / "in", 20)
    with pytest.raises(KeyboardInterrupt):
        denoise(folder, tmp_path / "out.mkv", model=Mean(breaks_at=18), options=OPTIONS)
    (folder / "1.png").write_bytes(encode_png(np.full((32, 32, 3), 99, np.uint8)))
    assert denoise(folder, tmp_path / "out.mkv", model=Mean(), options=OPTIONS).resumed == 0
