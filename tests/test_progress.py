"""Progress as JSON: a few states per second, and the first and last of each phase."""

from __future__ import annotations

from typing import Any

import pytest

from ls3d.progress import JsonProgress, Progress


@pytest.mark.parametrize(
    ("states", "written"),
    [
        # The number of frames is unknown: no state says that it is the last one.
        ([(n, None, "frames") for n in (98, 99, 100)] + [(100, None, "joining")], [0, 2, 3]),
        # There were fewer frames than the file says.
        ([(99, 101, "frames"), (100, 101, "frames"), (100, 101, "joining")], [0, 1, 2]),
        ([(99, 100, "frames"), (100, 100, "frames"), (100, 100, "joining")], [0, 1, 2]),
        ([(n, None, "frames") for n in range(5)], [0, 4]),
        ([(1, 2, "frames")], [0]),
        ([], []),
    ],
)
def test_the_first_and_last_state_of_each_phase_are_written(
    states: list[tuple[int, int | None, str]], written: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 7.0)  # all at the same time
    found: list[dict[str, Any]] = []
    show = JsonProgress(found.append)
    for done, total, phase in states:
        show(Progress(done, total, phase=phase))
    show.finish()
    show.finish()
    assert [(line["done"], line["total"], line["phase"]) for line in found] == [states[n] for n in written]


def test_states_are_written_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[dict[str, Any]] = []
    show = JsonProgress(found.append)
    moments = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: next(moments) / 16)
    for n in range(100):
        show(Progress(n, 200))
    assert [line["done"] for line in found] == list(range(0, 100, 4))
