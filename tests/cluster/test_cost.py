"""The cost model: bounds by arithmetic, and simulations that agree with them where one limit counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.scripts import load_script
from helpers.simulated import SimulatedExecutor

from ls3d.cluster.cost import Machines, Videos, bounds, simulate
from ls3d.cluster.executors import Outcome

VIDEOS = Videos([1280] * 20, segment_frames=128, bytes_in=100, bytes_out=200)
MACHINES = Machines(workers=4, frame=0.1, planners=4)


def test_workers_end_when_a_measurement_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = load_script("cluster_cost", "benchmarks")
    closed: list[bool] = []

    class Broken(SimulatedExecutor):
        def wait(self) -> list[Outcome]:
            raise OSError("disk full")

        def close(self) -> None:
            closed.append(True)

    monkeypatch.setattr(script, "LocalExecutor", Broken)
    call = script.call_for(tmp_path / "in.mkv", tmp_path / "out.mkv")
    with pytest.raises(OSError, match="disk full"):
        script.batch_seconds([call], 1)
    with pytest.raises(OSError, match="disk full"):
        script.parts(tmp_path / "in.mkv", tmp_path, 8, 1)
    assert closed == [True, True]


def test_bounds() -> None:
    machines = replace(MACHINES, segment=2, plan_frame=0.01, prepare=3, bandwidth=1000, order=0.5)
    assert bounds(VIDEOS, machines) == pytest.approx(
        {
            "workers": (20 * 1280 * 0.1 + 200 * 2) / 4,
            "planning": 3 + 12.8 + 2 + 12.8,
            "storage": 20 * 1280 * (2 * 100 + 3 * 200) / 1000,
            "driver": 0.5 * (200 + 20 + 40),
        }
    )


def test_one_worker_does_everything_one_after_the_other() -> None:
    machines = Machines(1, frame=0.1, segment=1, plan_frame=0.01, prepare=2, start=5, load=3, join_byte=1e-4)
    work = 20 * 1280 * 0.11 + 200 * 1 + 20 * 2 + 20 * 1280 * 200 * 1e-4
    assert simulate(VIDEOS, machines).seconds == pytest.approx(5 + 3 + work)
    assert simulate(VIDEOS, machines).tasks == 200 + 20 + 40


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_workers_are_the_limit(workers: int) -> None:
    estimate = simulate(VIDEOS, replace(MACHINES, workers=workers))
    assert estimate.limit == "workers"
    assert estimate.seconds == pytest.approx(20 * 128 / workers, rel=0.11)
    assert estimate.busy > 0.9


@pytest.mark.parametrize(
    ("limit", "change"),
    [
        ("storage", {"bandwidth": 2000.0, "workers": 200}),
        ("driver", {"order": 5.0, "workers": 200}),
        ("planning", {"plan_frame": 2.0, "workers": 200, "planners": 20}),
    ],
)
def test_more_workers_do_not_help_beyond_a_limit(limit: str, change: dict[str, float]) -> None:
    machines = Machines(**{"frame": 0.1, "planners": 4, **change})  # type: ignore[arg-type]
    estimate = simulate(VIDEOS, machines)
    assert estimate.limit == limit
    assert max(estimate.bounds.values()) <= estimate.seconds * 1.001
    assert estimate.seconds < 1.2 * estimate.bounds[limit] + 30
    assert simulate(VIDEOS, replace(machines, workers=400)).seconds == pytest.approx(estimate.seconds, rel=0.05)


def test_more_workers_than_cores() -> None:
    two = simulate(VIDEOS, Machines(2, frame=0.1)).seconds
    four = simulate(VIDEOS, Machines(4, frame=0.1, cores=2)).seconds
    assert four == pytest.approx(two, rel=0.05)


def test_a_long_video_is_planned_while_it_is_made() -> None:
    long = Videos([128 * 1000])
    machines = Machines(10, frame=0.1, plan_frame=0.001, planners=1)
    assert simulate(long, machines).seconds == pytest.approx(1280, rel=0.05)


def test_hours() -> None:
    videos = Videos.of_hours(10, 5, rate=25)
    assert videos.frames == [180_000] * 5
    assert videos.segments(180_000) == 1407


def test_the_script_simulates(capsys: pytest.CaptureFixture[str]) -> None:
    script = load_script("cluster_cost", "benchmarks")
    rows = script.scale(hours=2, gpus=[8, 16])
    assert [row["gpus"] for row in rows] == [8, 16]
    assert rows[0]["hours"] > rows[1]["hours"] > 0
