"""The table of protocols is consistent with data sets, metrics and published rows."""

from __future__ import annotations

import json

import pytest

from ls3d.data import DATA_SETS, DEGRADATIONS
from ls3d.errors import InputError
from ls3d.evaluation import (
    PROTOCOLS,
    InterpolationProtocol,
    InterpolationWindow,
    Protocol,
    RestorationProtocol,
    get_protocol,
)
from ls3d.metrics import METRICS

ALL = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)


@ALL
def test_holds_known_data_sets_metrics_and_degradations(protocol: Protocol) -> None:
    assert protocol.data_set is DATA_SETS[protocol.data_set.name]
    assert all(metric in METRICS.values() for metric in protocol.metrics.values())
    assert (protocol.task == "interpolation") == isinstance(protocol, InterpolationProtocol)
    if isinstance(protocol, RestorationProtocol):
        assert protocol.degradation is DEGRADATIONS[protocol.degradation.name]
        assert (protocol.task == "super-resolution") == (protocol.degradation.scale == 4)


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
def test_interpolation_needs_only_times_that_halving_reaches(protocol: Protocol) -> None:
    if isinstance(protocol, InterpolationProtocol):
        assert all(0 < target < protocol.window.span for target in protocol.window.targets)
        assert protocol.window.span & (protocol.window.span - 1) == 0


@pytest.mark.parametrize(
    ("window", "frames", "starts"),
    [
        (InterpolationWindow(2, (1,)), 3, [0]),
        (InterpolationWindow(2, (1,)), 2, []),
        (InterpolationWindow(2, (1,)), 9, [0]),
        (InterpolationWindow(2, (1,), first=2), 7, [2]),
        (InterpolationWindow(2, (1,), repeat=True), 7, [0, 2, 4]),
        (InterpolationWindow(4, (1, 2, 3), repeat=True), 30, [0, 4, 8, 12, 16, 20, 24]),
        (InterpolationWindow(32, (4,)), 33, [0]),
    ],
)
def test_windows(window: InterpolationWindow, frames: int, starts: list[int]) -> None:
    assert list(window.starts(frames)) == starts


def test_documented_names_exist() -> None:
    names = {"ucf101", "middlebury", "davis", "davis-triplets", "vimeo-triplet", "vid4-bi-y", "vid4-bd-y", "set8-25"}
    assert names <= set(PROTOCOLS)


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(InputError, match="vid5"):
        get_protocol("vid5")
