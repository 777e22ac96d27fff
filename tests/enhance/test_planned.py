"""Planned segments: made in any order and in any process, they join to the same bytes."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import pytest
from helpers.marks import slow_except
from helpers.networks import Mean
from helpers.videos import Clip, decode

from ls3d.enhance import EnhanceOptions, denoise, interpolate
from ls3d.enhance._job import Job
from ls3d.enhance._plan import SegmentPlan, plan_segments
from ls3d.enhance._reader import SegmentReader
from ls3d.enhance._workspace import Workspace
from ls3d.enhance.engine import SegmentMaker, join, make_segment, plan_job
from ls3d.enhance.jobs import PreparedJob, prepare_denoising, prepare_interpolation
from ls3d.errors import InputError
from ls3d.video import Frame, Mark, Source

OPTIONS = EnhanceOptions(threads=1, segment_frames=4)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Forty-eight frames with B-frames in an open GOP, cuts and sound."""
    options = {"crf": "20", "g": "12", "bf": "3", "x264-params": "open-gop=1"}
    return Clip(48, (32, 48), shot_length=13, options=options, audio=["eng"]).write(tmp_path / "in.mp4")


@pytest.fixture
def irregular(tmp_path: Path) -> Path:
    """Forty-eight frames in bursts: at a constant rate there are fewer ticks than frames, so they fall behind."""
    pts = [100 * (n // 4) + n % 4 for n in range(48)]
    return Clip(48, (32, 48), time_base=Fraction(1, 1000), pts=pts).write(tmp_path / "irregular.mkv")


def planned(prepared: PreparedJob) -> list[SegmentPlan]:
    """Create the workspace and plan all segments."""
    assert prepared.job.target is not None
    Workspace(prepared.job.target).prepare(prepared.job.signature(), resume=False)
    return list(plan_job(prepared.job, prepared.source))


@pytest.mark.parametrize("orders", slow_except([8, 20], [8]))
def test_order_does_not_change_a_byte(source: Path, tmp_path: Path, orders: int) -> None:
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    interpolate(source, whole, model="blend", options=OPTIONS)
    prepared = prepare_interpolation(source, target, model="blend", options=OPTIONS)
    chance = random.Random(0)
    for number in range(orders):
        plans = planned(prepared)
        assert len(plans) == 12
        chance.shuffle(plans)
        if number % 4:
            segments = [make_segment(prepared.job, plan) for plan in plans]
        else:
            segments = SegmentMaker(prepared.job, prepared.enhancers).make(plans)
        join(prepared.job, segments)
        assert target.read_bytes() == whole.read_bytes()


def test_a_reader_returns_to_segments_that_it_has_just_read(source: Path, tmp_path: Path) -> None:
    """Segments of one frame lie within the frames that the reader keeps; tasks of lost workers are done again."""
    options = replace(OPTIONS, segment_frames=1)
    prepared = prepare_interpolation(source, tmp_path / "out.mp4", model="blend", options=options)
    segmentation = prepared.job.segmentation
    plans = list(islice(plan_segments(prepared.source, segmentation), 6))

    def read(reader: SegmentReader, plan: SegmentPlan) -> list[list[Mark]]:
        return [[frame.mark() for frame in window.shot] for window, _ in reader.read_all([plan])]

    expected = [read(SegmentReader(prepared.source, segmentation), plan) for plan in plans]
    reader = SegmentReader(prepared.source, segmentation)
    chance = random.Random(0)
    for index in (0, 0, 1, *chance.choices(range(6), k=60)):
        assert read(reader, plans[index]) == expected[index]


@pytest.mark.parametrize("suffix", ["mkv", "avi", "y4m"])
def test_order_does_not_change_times_that_collide(irregular: Path, tmp_path: Path, suffix: str) -> None:
    whole, target = tmp_path / f"whole.{suffix}", tmp_path / f"out.{suffix}"
    interpolate(irregular, whole, factor=4, model="blend", options=OPTIONS)
    prepared = prepare_interpolation(irregular, target, factor=4, model="blend", options=OPTIONS)
    join(prepared.job, [make_segment(prepared.job, plan) for plan in reversed(planned(prepared))])
    assert target.read_bytes() == whole.read_bytes()
    assert len(decode(target)) == 4 * 48


@pytest.mark.parametrize("suffix", ["mp4", "y4m"])
def test_order_does_not_change_a_factor_that_is_a_fraction(source: Path, tmp_path: Path, suffix: str) -> None:
    """Where a segment begins among the output frames is in its plan."""
    whole, target = tmp_path / f"whole.{suffix}", tmp_path / f"out.{suffix}"
    factor = Fraction(7, 3)
    interpolate(source, whole, factor=factor, model="blend", options=OPTIONS)
    prepared = prepare_interpolation(source, target, factor=factor, model="blend", options=OPTIONS)
    join(prepared.job, [make_segment(prepared.job, plan) for plan in reversed(planned(prepared))])
    assert target.read_bytes() == whole.read_bytes()
    assert len(decode(target)) == 112


def test_order_does_not_change_windows_of_several_frames(source: Path, tmp_path: Path) -> None:
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    denoise(source, whole, model=Mean(), options=OPTIONS)
    prepared = prepare_denoising(source, target, model=Mean(), options=OPTIONS)
    join(prepared.job, [make_segment(prepared.job, plan) for plan in reversed(planned(prepared))])
    assert target.read_bytes() == whole.read_bytes()


def test_planned_segments_are_made_by_three_processes_at_once(source: Path, tmp_path: Path) -> None:
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    interpolate(source, whole, model="blend", options=OPTIONS)
    prepared = prepare_interpolation(source, target, model="blend", options=OPTIONS)
    plans = planned(prepared)
    random.Random(0).shuffle(plans)
    with multiprocessing.get_context("spawn").Pool(3, maxtasksperchild=4) as pool:
        segments = pool.starmap(make_segment, [(prepared.job, plan) for plan in plans], chunksize=1)
    join(prepared.job, segments)
    assert target.read_bytes() == whole.read_bytes()


def test_segments_planned_and_made_elsewhere_are_used(source: Path, tmp_path: Path) -> None:
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    interpolate(source, whole, model="blend", options=OPTIONS)
    prepared = prepare_interpolation(source, target, model="blend", options=OPTIONS)
    plans = planned(prepared)
    for index in (11, 3, 7):
        make_segment(prepared.job, plans[index])
    report = interpolate(source, target, model="blend", options=OPTIONS)
    assert (report.resumed, report.segments) == (3, 12)
    assert target.read_bytes() == whole.read_bytes()


def test_planned_segments_are_not_planned_again(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare_interpolation(source, tmp_path / "out.mp4", model="blend", options=OPTIONS)
    plans = planned(prepared)

    def fail(*_: object) -> None:
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr("ls3d.enhance.engine.plan_segments", fail)
        assert list(plan_job(prepared.job, prepared.source, plans)) == plans
        assert prepared.run().segments == 12


def test_planned_again_from_any_segment_on(source: Path, irregular: Path, tmp_path: Path) -> None:
    for path in (source, irregular):
        prepared = prepare_denoising(path, tmp_path / "out.mp4", model=Mean(), options=OPTIONS)
        plans = planned(prepared)
        for plan in plans:
            again = plan_segments(prepared.source, prepared.job.segmentation, plan)
            assert list(again) == plans[plan.index :]


def test_plans_that_were_lost_are_planned_again(source: Path, tmp_path: Path) -> None:
    """A power failure may leave an empty file, since plans are not flushed to disk."""
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    interpolate(source, whole, model="blend", options=OPTIONS)
    prepared = prepare_interpolation(source, target, model="blend", options=OPTIONS)
    plans = planned(prepared)
    for index in (0, 1, 6):
        make_segment(prepared.job, plans[index])
    for index in (1, 3):
        (tmp_path / "out.mp4.ls3d" / f"{index:06d}.plan.json").write_text("")
    assert interpolate(source, target, model="blend", options=OPTIONS).resumed == 2
    assert target.read_bytes() == whole.read_bytes()


def test_a_planned_job_is_data(source: Path, tmp_path: Path) -> None:
    prepared = prepare_interpolation(source, tmp_path / "out.mp4", fps=60, model="blend", options=OPTIONS)
    job: Job = pickle.loads(pickle.dumps(prepared.job))
    assert job == prepared.job
    for plan in planned(prepared):
        assert SegmentPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


class CountingSource:
    """Counts the frames that are read from another source."""

    def __init__(self, source: Source) -> None:
        self.info = source.info
        self.undecodable_at_end = 0
        self.count = 0
        self._source = source

    def frames(self, after: Sequence[Mark] = (), start: Fraction = Fraction(0)) -> Iterator[Frame]:
        for frame in self._source.frames(after, start):
            self.count += 1
            yield frame


def test_segments_are_planned_while_the_source_is_read(source: Path, tmp_path: Path) -> None:
    prepared = prepare_interpolation(source, tmp_path / "out.mp4", model="blend", options=OPTIONS)
    counting = CountingSource(prepared.source)
    plans = plan_segments(counting, prepared.job.segmentation)
    next(plans)
    assert counting.count <= 4 + 1 + 3 + 1  # the segment, the frame after it, and what the cut detector reads ahead
    assert [plan.frames_in for plan in plans] == [4] * 11


def test_a_source_that_changed_after_it_was_planned(source: Path, tmp_path: Path) -> None:
    prepared = prepare_interpolation(source, tmp_path / "out.mp4", model="blend", options=OPTIONS)
    plan = planned(prepared)[5]
    Clip(48, (32, 48), options={"crf": "30"}).write(source)
    with pytest.raises(InputError, match="has changed"):
        make_segment(prepared.job, plan)


def test_a_frame_that_was_planned_differently_is_reported(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As in damaged files: error concealment depends on the timing of the decoder's threads."""
    prepared = prepare_interpolation(source, tmp_path / "out.mp4", model="blend", options=OPTIONS)
    plan = planned(prepared)[5]
    expected = make_segment(prepared.job, plan)
    assert "can't be reproduced" not in caplog.text
    first = replace(plan, first=Mark(plan.first.time, "0"))
    last = replace(plan, last=Mark(plan.last.time, "0"))
    for other in (first, last):
        segment = make_segment(prepared.job, other)
        assert "can't be reproduced" in caplog.text
        assert (segment.counts, segment.digest) == (expected.counts, expected.digest)
        caplog.clear()


def test_a_segment_of_which_the_last_frame_is_missing(source: Path, tmp_path: Path) -> None:
    prepared = prepare_interpolation(source, tmp_path / "out.mp4", model="blend", options=OPTIONS)
    last = planned(prepared)[-1]
    longer = replace(last, last=Mark(last.last.time + 1, "0"))
    assert make_segment(prepared.job, longer).counts == make_segment(prepared.job, last).counts
    later = Mark(last.last.time + 1, "0")
    with pytest.raises(InputError, match=r"has no frame at 2\.880 s"):
        make_segment(prepared.job, replace(last, context=(), first=later, last=later))


def test_a_network_that_changed_after_its_job_was_planned(source: Path, tmp_path: Path) -> None:
    prepared = prepare_interpolation(source, tmp_path / "out.mp4", model="blend", options=OPTIONS)
    plan = planned(prepared)[0]
    (step,) = prepared.job.steps
    job = replace(prepared.job, steps=(replace(step, network=replace(step.network, digest="0")),))
    with pytest.raises(InputError, match="blend: the weights have changed"):
        make_segment(job, plan)


def test_a_missing_segment_is_not_joined(source: Path, tmp_path: Path) -> None:
    prepared = prepare_interpolation(source, tmp_path / "out.mp4", model="blend", options=OPTIONS)
    segments = [make_segment(prepared.job, plan) for plan in planned(prepared)]
    for some in (segments[:-1], segments[1:], segments[:5] + segments[6:]):
        with pytest.raises(ValueError, match="not all segments"):
            join(prepared.job, some)
