"""Threads, timelines and options: the engine's parts on their own."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import fields
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ls3d.enhance._progress import ProgressMeter
from ls3d.enhance._threads import Worker, prefetch
from ls3d.enhance._timeline import Constant, Multiply
from ls3d.enhance.options import EnhanceOptions
from ls3d.errors import InputError
from ls3d.inference import tiling
from ls3d.progress import Progress
from ls3d.video import cuts, exact_rate

rates = st.fractions(min_value=1, max_value=240, max_denominator=1001)
increasing = st.lists(st.fractions(0, 3, max_denominator=90_000), min_size=2, max_size=12, unique=True)


@given(increasing, rates)
def test_a_constant_rate_has_every_frame_once(times: list[Fraction], fps: Fraction) -> None:
    times.sort()
    timeline = Constant(fps, times[0])
    shown = [time for a, b in pairwise(times) for time, _ in timeline.between(a, b, 0)]
    assert shown == [times[0] + n / fps for n in range(len(shown))]
    assert shown[-1] < times[-1] <= shown[-1] + 1 / fps


@given(increasing, st.fractions(1, 100, max_denominator=1001))
def test_output_k_of_a_factor_is_k_factorths_of_an_interval_from_the_start(
    times: list[Fraction], factor: Fraction
) -> None:
    times.sort()
    timeline = Multiply(factor)
    shown = [each for n, (a, b) in enumerate(pairwise(times)) for each in timeline.between(a, b, n)]
    assert len(shown) == math.ceil((len(times) - 1) * factor)
    for k, output in enumerate(shown):
        n = int(k / factor)
        assert output.position == k / factor - n
        assert output.time == times[n] + output.position * (times[n + 1] - times[n])


def test_time_bases_can_be_represented() -> None:
    assert Multiply(Fraction(8)).time_base(Fraction(1, 90_000)) == Fraction(1, 720_000)
    assert Multiply(Fraction(5, 2)).time_base(Fraction(1, 90_000)) == Fraction(1, 450_000)
    assert Multiply(Fraction(8)).time_base(Fraction(1, 10**9)) == Fraction(1, 1_000_000)
    ticks = Constant(Fraction(60_000, 1001), Fraction(0)).time_base(Fraction(1, 90_000))
    assert (Fraction(1001, 60_000) / ticks).denominator == 1


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (23.976, Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (60, Fraction(60)),
        (24, Fraction(24)),
        (12.5, Fraction(25, 2)),
        (Fraction(60000, 1001), Fraction(60000, 1001)),
    ],
)
def test_rates_are_exact(written: float | Fraction, meant: Fraction) -> None:
    assert exact_rate(written) == meant


def test_prefetch_passes_items_and_errors() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise ValueError("broken")

    seen: list[int] = []
    with prefetch(items(), 2, "test") as ready, pytest.raises(ValueError, match="broken"):
        seen.extend(ready)
    with prefetch(iter(range(5)), 2, "test") as ready:
        assert list(ready) == [0, 1, 2, 3, 4]


def test_prefetch_can_be_left_early() -> None:
    made: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            made.append(1)
            yield len(made)

    with prefetch(endless(), 3, "test") as ready:
        assert next(ready) == 1
    count = len(made)
    assert count <= 6
    assert not any(thread.name == "test" for thread in threading.enumerate())


def test_worker_handles_everything_in_order() -> None:
    seen: list[int] = []
    with Worker(seen.append, 2) as worker:
        for n in range(50):
            worker.send(n)
    assert seen == list(range(50))


def test_a_failing_worker_fails_its_sender() -> None:
    def handle(item: int) -> None:
        if item == 3:
            raise OSError("disk full")

    def work() -> None:
        with Worker(handle, 2) as worker:
            for n in range(1000):
                worker.send(n)

    with pytest.raises(OSError, match="disk full"):
        work()


def test_a_failing_sender_keeps_what_was_sent() -> None:
    seen: list[int] = []

    def slow(item: int) -> None:
        time.sleep(0.01)
        seen.append(item)

    def work() -> None:
        with Worker(slow, 8) as worker:
            for n in range(5):
                worker.send(n)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert seen == list(range(5))


def test_every_option_has_a_help_text() -> None:
    for option in fields(EnhanceOptions):
        text = option.metadata["help"]
        assert text.endswith(("...", "."))
        assert f"{option.name}: {text}" in (EnhanceOptions.__doc__ or "")


def test_constants_that_the_options_repeat() -> None:
    """The module of the options imports nothing heavy, so it can't import these."""
    assert EnhanceOptions().cut_threshold == cuts.DEFAULT_THRESHOLD
    assert EnhanceOptions(tile=tiling.SMALLEST_TILE).tile == tiling.SMALLEST_TILE


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("precision", "double", "auto, float32, bfloat16 or float16"),
        ("tile", 63, "at least 64 pixels"),
        ("max_memory", 0, "more than 0 bytes"),
        ("start", -1, "seconds, 0 or more"),
        ("duration", 0, "seconds, more than 0"),
        ("crf", 64, "a number from 0 to 63"),
        ("cut_threshold", 101, "a percentage"),
        ("on_error", "panic", "skip, repeat or stop"),
        ("image_rate", 0, "frames per second, more than 0 and at most 1000"),
        ("threads", -1, "a number, 0 or more"),
        ("segment_frames", 0, "at least 1"),
        ("codec", "flash", "one of h264, hevc, av1, vp9, prores, ffv1, or a hardware encoder such as h264_nvenc"),
    ],
)
def test_options_out_of_range(name: str, value: Any, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        EnhanceOptions(**{name: value})
    assert str(caught.value) == f"{name} {value}: expected {expected}"
    assert caught.value.argument == name


def test_long_gaps_are_kept() -> None:
    timeline = Constant(Fraction(60), Fraction(0))
    assert not timeline.keeps_gap(Fraction(0), Fraction(60))
    assert len(timeline.between(Fraction(0), Fraction(60), 0)) == 3600
    first, second = Fraction(1, 7), Fraction(86_400)
    assert timeline.keeps_gap(first, second)
    assert timeline.between(first, second, 1) == [(Fraction(9, 60), Fraction(0))]
    assert not Constant(Fraction(1, 100_000), Fraction(0)).keeps_gap(Fraction(0), Fraction(90_000))


def test_a_stalled_worker_is_left_at_an_interruption() -> None:
    stalled = threading.Event()

    def handle(item: int) -> None:
        stalled.wait()

    def interrupt() -> None:
        with Worker(handle, 1, patience=0.05) as worker:
            worker.send(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    stalled.set()


class Clock:
    """Replaces ``time.monotonic``: the first frame takes 5 seconds, every other one 2."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    def run(self, meter: ProgressMeter, frames: int) -> None:
        for number in range(frames):
            self.seconds += 2 if number else 5
            meter.step(written=3)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Clock:
    caplog.set_level(logging.INFO, "ls3d.enhance")
    made = Clock()
    monkeypatch.setattr("ls3d.enhance._progress.time.monotonic", made)
    return made


def test_the_estimate_does_not_take_the_first_frame_for_the_others(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    states: list[Progress] = []
    meter = ProgressMeter(2000, states.append, segment_frames=128)
    clock.run(meter, 7)
    assert caplog.messages == ["estimated time: 1:06:43 (2 s for each of 2000 frames)"]
    assert states[-1].estimate == 5 + 1999 * 2
    assert states[-1].remaining == (2000 - 7) * 2
    assert states[0].estimate == 5 * 2000


@pytest.mark.parametrize(
    ("total", "segment_frames", "frames", "message"),
    [
        (None, 128, 8, "estimated time: 2 s for each source frame, whose number is unknown"),
        (3, 128, 2, "estimated time: 0:00:09 (2 s for each of 3 frames)"),
        (100, 2, 1, "estimated time: 0:08:20 (5 s for each of 100 frames)"),
    ],
)
def test_the_estimate_comes_before_the_first_segment_ends(
    total: int | None,
    segment_frames: int,
    frames: int,
    message: str,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ls3d.enhance._progress._LONG", 1000.0)
    meter = ProgressMeter(total, None, segment_frames=segment_frames)
    clock.run(meter, frames - 1)
    assert not caplog.messages
    clock.seconds += 2 if frames > 1 else 5
    meter.step(written=1)
    assert caplog.messages == [message]
