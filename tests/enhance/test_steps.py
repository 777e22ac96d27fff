"""Several steps in one pass: each gets what the one before makes of the whole video, wherever segments end."""

from __future__ import annotations

import gc
import io
import logging
import multiprocessing
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers.networks import Doubling, Mean, RecordingBlend, RecordingDenoiser
from helpers.videos import Clip, Image, decode, moving_picture, times
from torch import Tensor

from ls3d import enhance
from ls3d.enhance import PRESETS, EnhanceOptions, EnhanceReport, enhance_frames, with_preset
from ls3d.enhance._wanted import Models, WantedSteps
from ls3d.enhance._workspace import Workspace
from ls3d.enhance.engine import join, make_segment, plan_job
from ls3d.enhance.jobs import PreparedJob, prepare_enhancement
from ls3d.errors import InputError

Array = npt.NDArray[np.float64]

OPTIONS = EnhanceOptions(threads=1, segment_frames=4)
LOSSLESS = EnhanceOptions(threads=1, codec="ffv1")
MODELS: dict[str, Any] = {
    "denoising_model": Mean(),
    "super_resolution_model": Doubling(),
    "interpolation_model": "blend",
}


def expected(shots: Sequence[Sequence[Array]], duplicates: Sequence[int] = ()) -> list[Array]:
    """Frames after the mean of three, ``Doubling``, and linear interpolation by 2.

    Args:
        shots: the frames ``(H, W, 3)`` of every shot.
        duplicates: numbers of the frames that the next one repeats.
    """
    made: list[Array] = []
    number = 0
    for shot in shots:
        denoised = [sum(clip_at(shot, n, range(-1, 2)), np.zeros_like(shot[0])) / 3 for n in range(len(shot))]
        large = []
        for n in range(len(shot)):
            four = clip_at(denoised, n, range(-2, 2))
            mixed = sum((w * frame for w, frame in zip(Doubling.weights, four, strict=True)), np.zeros_like(shot[0]))
            large.append(mixed.repeat(2, axis=0).repeat(2, axis=1))
        for first, second in pairwise(large):
            made += [first, first if number in duplicates else (first + second) / 2]
            number += 1
        made += [large[-1], large[-1]]
        number += 1
    return made


def clip_at(shot: Sequence[Array], index: int, offsets: Sequence[int]) -> list[Array]:
    """Neighbors of a frame; beyond the ends of the shot, its first and last frame."""
    return [shot[min(max(index + offset, 0), len(shot) - 1)] for offset in offsets]


def shots_of(frames: Sequence[Array], length: int) -> list[Sequence[Array]]:
    return [frames[begin : begin + length] for begin in range(0, len(frames), length)]


def tensor(array: Array) -> Tensor:
    return torch.from_numpy(array).permute(2, 0, 1).float()


def source_frames(count: int, shot_length: int) -> list[Array]:
    clip = Clip(size=(20, 26), shot_length=shot_length)
    return [clip.rgb(n).astype(float) / 255 for n in range(count)]


def test_frames_in_memory_pass_all_steps() -> None:
    """Shots are longer and shorter than what the three networks need together."""
    for count, length in ((23, 9), (12, 4)):
        given = source_frames(count, length)
        made = list(enhance_frames([tensor(each) for each in given], sigma="auto", scale=2, factor=2, **MODELS))
        wanted = expected(shots_of(given, length))
        assert len(made) == len(wanted) == 2 * count
        for frame, array in zip(made, wanted, strict=True):
            assert torch.allclose(frame, tensor(array), atol=1e-6)


def test_identical_frames_are_held_after_other_steps() -> None:
    """They differ once they are restored, from different neighbors."""
    given = source_frames(8, 100)
    given[4] = given[3]
    made = list(enhance_frames([tensor(each) for each in given], sigma="auto", scale=2, factor=2, **MODELS))
    for frame, array in zip(made, expected([given], duplicates=[3]), strict=True):
        assert torch.allclose(frame, tensor(array), atol=1e-6)


def test_every_restoration_network_sees_every_frame_once() -> None:
    denoiser, blend = Mean(), RecordingBlend(times="any")
    given = [tensor(each) for each in source_frames(10, 100)]
    arguments = {**MODELS, "denoising_model": denoiser, "interpolation_model": blend}
    assert len(list(enhance_frames(given, sigma="auto", scale=2, factor=3, **arguments))) == 30
    assert denoiser.calls == 10
    assert len(blend.calls) == 9


def test_steps_in_memory_keep_few_frames() -> None:
    alive: list[weakref.ref[Tensor]] = []

    def endless() -> Iterator[Tensor]:
        while True:
            frame = torch.rand(3, 16, 16)
            alive.append(weakref.ref(frame))
            yield frame
            del frame

    made = enhance_frames(endless(), sigma="auto", scale=2, factor=2, **MODELS)
    for _ in range(100):
        next(made)
    gc.collect()
    assert sum(reference() is not None for reference in alive) <= 16


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Lossless RGB with cuts."""
    return Clip(23, (20, 26), "ffv1", "bgr0", options={}, shot_length=9, audio=["eng"]).write(tmp_path / "in.mkv")


def prepare(source: Path | io.BytesIO, target: Path, options: EnhanceOptions = OPTIONS) -> PreparedJob:
    models = Models(Mean(), Doubling(), "blend")
    wanted = WantedSteps.of(models, "auto", (2, None, None, None), factor=2)
    return prepare_enhancement(source, target, replace(wanted, level="auto"), options)


@pytest.fixture
def noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every video is found to have noise."""
    monkeypatch.setattr("ls3d.enhance.jobs.has_noise", lambda *_: True)


@pytest.mark.usefixtures("noisy")
@pytest.mark.parametrize("segment_frames", [1, 3, 128])
def test_files_pass_all_steps(segment_frames: int, source: Path, tmp_path: Path) -> None:
    """Segments shorter than what the networks need change nothing."""
    target = tmp_path / "out.mkv"
    options = replace(LOSSLESS, segment_frames=segment_frames)
    report = enhance.enhance(source, target, sigma="auto", scale=2, factor=2, options=options, **MODELS)
    wanted = expected(shots_of(source_frames(23, 9), 9))
    assert (report.frames_in, report.frames_out, report.held_frames, report.cuts) == (23, 46, 3, 2)
    assert times(target) == pytest.approx([n / 50 for n in range(46)], abs=1e-3)
    for frame, array in zip(decode(target), wanted, strict=True):
        assert np.abs(frame.to_ndarray(format="rgb24") - 255 * array).max() <= 0.501


@pytest.mark.usefixtures("noisy")
def test_a_pipe_gives_the_frames_of_a_file(source: Path, tmp_path: Path) -> None:
    enhance.denoise(source, tmp_path / "in.y4m", model="identity")
    prepare(tmp_path / "in.y4m", tmp_path / "file.y4m").run()
    made = io.BytesIO()
    prepared = prepare(io.BytesIO((tmp_path / "in.y4m").read_bytes()), tmp_path / "unused.y4m")
    replace(prepared, pipe=made).run()
    assert made.getvalue() == (tmp_path / "file.y4m").read_bytes()


@pytest.mark.usefixtures("noisy")
def test_segments_can_be_made_in_any_order(source: Path, tmp_path: Path) -> None:
    """After a cut too, a segment depends on its plan alone."""
    whole, target = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    prepare(source, whole).run()
    prepared = prepare(source, target)
    Workspace(target).prepare(prepared.job.signature(), resume=False)
    plans = list(plan_job(prepared.job, prepared.source))
    assert len(plans) == 6
    join(prepared.job, [make_segment(prepared.job, plan) for plan in reversed(plans)])
    assert target.read_bytes() == whole.read_bytes()


@pytest.mark.usefixtures("noisy")
def test_sizes_and_memory(source: Path, tmp_path: Path) -> None:
    options = replace(LOSSLESS, max_memory=2 << 30)
    prepared = prepare(source, tmp_path / "out.mkv", options)
    assert [step.tile is not None for step in prepared.job.steps] == [True, True, True]
    arguments: dict[str, Any] = {"fit": (60, 60), "factor": Fraction(3, 2), "options": LOSSLESS}
    enhance.enhance(source, tmp_path / "out.mkv", super_resolution_model="bicubic", **arguments)
    enhance.upscale(source, tmp_path / "large.mkv", fit=(60, 60), model="bicubic", options=LOSSLESS)
    both, large = decode(tmp_path / "out.mkv"), decode(tmp_path / "large.mkv")
    assert len(both) == 35
    for frame, same in zip(both[::3], large[::2], strict=True):
        assert np.array_equal(frame.to_ndarray(format="rgb24"), same.to_ndarray(format="rgb24"))


def noisy_picture(index: int, height: int, width: int) -> Image:
    noise = np.random.default_rng(index).normal(0, 12, (height, width, 3))
    return np.asarray((moving_picture(index, height, width) + noise).round().clip(0, 255), np.uint8)


def test_noise_is_found_in_the_source(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A video without noise isn't denoised; one with noise is, by the level that is measured in every frame."""
    caplog.set_level(logging.INFO, "ls3d.enhance")
    pictures = {"noisy": noisy_picture, "clean": None}
    for name, picture in pictures.items():
        video = Clip(12, (64, 96), "ffv1", "bgr0", options={}, picture=picture).write(tmp_path / f"{name}.mkv")
        denoiser = RecordingDenoiser()
        enhance.enhance(video, tmp_path / f"{name}.mp4", sigma="auto", denoising_model=denoiser)
        assert [level * 255 for level in denoiser.levels] == pytest.approx([12] * 12 * (name == "noisy"), rel=0.1)
    assert "noisy.mkv: noise of 1" in caplog.text
    assert "noisy.mkv: 1. denoising (RecordingDenoiser)" in caplog.text
    assert "clean.mkv: no step is left, frames stay as they are" in caplog.text
    enhance.enhance(tmp_path / "clean.mkv", tmp_path / "given.mp4", sigma=5, denoising_model=denoiser)
    assert [level * 255 for level in denoiser.levels] == pytest.approx([5] * 12)


def test_noise_of_a_pipe_is_not_measured_beforehand(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ls3d.enhance")
    video = Clip(3).write(tmp_path / "in.mkv")
    enhance.denoise(video, tmp_path / "in.y4m", model="identity")
    with (tmp_path / "in.y4m").open("rb") as pipe:
        model = RecordingDenoiser()
        enhance.enhance(pipe, tmp_path / "out.mkv", sigma="auto", denoising_model=model)
    assert len(model.levels) == 3
    assert "standard input can be read only once" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "nothing to do: expected a noise level"),
        ({"sigma": "loud"}, "sigma loud: expected a number from 0 to 255"),
        ({"scale": 2, "height": 100}, "height 100: can't be combined with scale"),
        ({"fps": 60, "factor": 2}, "fps 60: can't be combined"),
        ({"fps": 60, "super_resolution_model": "vsr"}, "super_resolution_model vsr: no super-resolution is asked for"),
        ({"sigma": 5, "denoising_model": "identity"}, "sigma 5: the model identity takes no noise level"),
        ({"scale": 2, "super_resolution_model": "vdn"}, "its task is denoising, expected super-resolution"),
    ],
)
def test_arguments_that_cannot_be_used(arguments: dict[str, Any], sentence: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        enhance.enhance(source, tmp_path / "out.mkv", **arguments)


def test_values_that_change_nothing_leave_a_step_out() -> None:
    wanted = WantedSteps.of(Models(), 0, (1, None, None, None), factor=1)
    assert (wanted.level, wanted.size, wanted.interpolates) == (None, None, False)


def test_given_arguments_take_precedence_over_a_preset() -> None:
    defaults = EnhanceOptions()
    assert with_preset("phone", {}) == {**PRESETS["phone"], "options": defaults}
    assert with_preset("phone", {"sigma": 10, "fps": None}) == {"sigma": 10, "fps": 60, "options": defaults}
    assert with_preset("phone", {"factor": 2})["factor"] == 2
    assert "fps" not in with_preset("phone", {"factor": 2})
    assert "fit" not in with_preset("old-family-video", {"height": 720})
    slower = with_preset("slow-motion", {"factor": 8, "slow_motion": False})
    assert (slower["factor"], slower["slow_motion"]) == (8, True)
    faster = with_preset("slow-motion", {"fps": 60})
    assert not {"factor", "slow_motion"} & faster.keys()
    with pytest.raises(InputError, match="preset film: expected old-family-video, phone, anime, slow-motion"):
        with_preset("film", {})


def test_given_options_take_precedence_over_a_preset() -> None:
    options = EnhanceOptions(crf=20)
    assert with_preset("anime", {}, options)["options"] == EnhanceOptions(crf=20, dedup="auto")
    assert with_preset("anime", {}, options, given_options={"dedup"})["options"] == options


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_arguments(preset: str) -> None:
    arguments = with_preset(preset, {})
    sizes = [arguments.pop(name, None) for name in ("scale", "width", "height", "fit")]
    models = Models(interpolation=arguments.pop("interpolation_model", None))
    assert isinstance(arguments.pop("options"), EnhanceOptions)
    steps = {"sigma": None, "factor": None, **arguments}
    assert WantedSteps.of(models, size=(sizes[0], sizes[1], sizes[2], sizes[3]), **steps).interpolates


def kill(job: Callable[[Path], EnhanceReport], target: Path, segments: int) -> None:
    """Start a job in a process of its own, and kill that when it has finished this number of segments."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ls3d.enhance.jobs"])
    process = context.Process(target=job, args=(target,))
    process.start()
    folder = target.with_name(f"{target.name}.ls3d")
    while process.is_alive() and len(list(folder.glob("??????.json"))) < segments:
        time.sleep(0.003)
    assert process.is_alive()
    process.kill()
    process.join()
    assert not target.exists()


@pytest.mark.parametrize(
    ("models", "size"),
    [
        (["aligned_mean", "bicubic", "bilateral"], (48, 64)),
        pytest.param(["vdn", "vsr", "vfi"], (96, 128), marks=pytest.mark.slow),
    ],
)
def test_killed_twice(models: list[str], size: tuple[int, int], tmp_path: Path) -> None:
    """Three seconds of noise in thirty frames, three steps: the bytes are those of the undisturbed run."""
    video = Clip(30, size, rate=Fraction(10), shot_length=17, picture=noisy_picture, audio=["eng"])
    source, whole, target = video.write(tmp_path / "in.mp4"), tmp_path / "whole.mp4", tmp_path / "out.mp4"
    job = partial(
        enhance.enhance,
        source,
        sigma="auto",
        scale=2,
        fps=25,
        denoising_model=models[0],
        super_resolution_model=models[1],
        interpolation_model=models[2],
        options=EnhanceOptions(threads=1, segment_frames=5),
    )
    for segments in (1, 4):
        kill(job, target, segments)
    assert job(target).resumed >= 4
    report = job(whole)
    assert (report.resumed, report.frames_in, report.frames_out) == (0, 30, 75)
    assert target.read_bytes() == whole.read_bytes()
    assert decode(target)[0].width == 2 * size[1]
    assert not (tmp_path / "out.mp4.ls3d").exists()
