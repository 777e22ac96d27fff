"""The table of protocols is consistent with data sets, metrics and published rows."""

from __future__ import annotations

import json

import pytest

from ls3d.data import DATA_SETS, DEGRADATIONS
from ls3d.errors import InputError
from ls3d.evaluation import PROTOCOLS, Protocol, Window, get_protocol
from ls3d.metrics import METRICS

ALL = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)


@ALL
def test_refers_to_what_exists(protocol: Protocol) -> None:
    assert protocol.data_set in DATA_SETS
    assert set(protocol.metrics.values()) <= set(METRICS)
    assert (protocol.task == "interpolation") == (protocol.window is not None)
    assert (protocol.degradation in DEGRADATIONS) == (protocol.window is None)


@ALL
def test_conditions_are_complete_and_json(protocol: Protocol) -> None:
    conditions = json.loads(json.dumps(protocol.conditions()))
    assert {"data_set", "degradation", "metrics", "crop", "average", "scored_frames"} <= set(conditions)


@ALL
def test_published_rows_fit_the_columns(protocol: Protocol) -> None:
    methods = [row.method for row in protocol.published]
    assert len(set(methods)) == len(methods)
    for row in protocol.published:
        assert row.scores, row
        assert set(row.scores) <= set(protocol.metrics)
        for column, value in row.scores.items():
            low, high = {"psnr": (15, 50), "ssim": (0.4, 1), "ie_abs": (1, 5)}[column]
            assert low < value < high, row


@ALL
def test_interpolation_keeps_to_places_that_halving_reaches(protocol: Protocol) -> None:
    if protocol.window:
        assert all(0 < target < protocol.window.span for target in protocol.window.targets)
        assert protocol.window.span & (protocol.window.span - 1) == 0


@pytest.mark.parametrize(
    ("window", "frames", "starts"),
    [
        (Window(2, (1,)), 3, [0]),
        (Window(2, (1,)), 2, []),
        (Window(2, (1,)), 9, [0]),
        (Window(2, (1,), first=2), 7, [2]),
        (Window(2, (1,), repeat=True), 7, [0, 2, 4]),
        (Window(4, (1, 2, 3), repeat=True), 30, [0, 4, 8, 12, 16, 20, 24]),
        (Window(32, (4,)), 33, [0]),
    ],
)
def test_windows(window: Window, frames: int, starts: list[int]) -> None:
    assert list(window.starts(frames)) == starts


def test_the_names_of_the_design() -> None:
    names = {"ucf101", "middlebury", "davis", "vimeo-triplet", "vid4-bi-y", "vid4-bd-y", "set8-25"}
    assert names <= set(PROTOCOLS)


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(InputError, match="vid5"):
        get_protocol("vid5")
