"""Decoding times of joined pieces, whatever the order in which encoders give packets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ls3d.video import EncodedSegment, Packet, reorder_depth
from ls3d.video.mux import in_decoding_order


@st.composite
def pieces(draw: st.DrawFn) -> list[EncodedSegment]:
    """Pieces of variable frame rate, each in an order that some encoder could have chosen."""
    result, clock = [], draw(st.integers(-100, 100))
    for _ in range(draw(st.integers(1, 4))):
        shown = []
        for _ in range(draw(st.integers(1, 12))):
            shown.append(clock)
            clock += draw(st.integers(1, 50))
        order = shown[:]
        for _ in range(draw(st.integers(0, 6))):
            here, there = (draw(st.integers(0, len(order) - 1)) for _ in range(2))
            order.insert(there, order.pop(here))
        result.append(_piece(order, clock))
    return result


def _piece(order: list[int], end: int) -> EncodedSegment:
    return EncodedSegment(lambda: (Packet(pts, False, b"") for pts in order), lambda: order, reorder_depth(order), end)


@given(pieces())
def test_decoding_times_increase_and_come_first(parts: list[EncodedSegment]) -> None:
    timed = list(in_decoding_order(parts))
    assert [each.packet.pts for each in timed] == [pts for part in parts for pts in part.times()]
    assert all(a.dts < b.dts for a, b in pairwise(timed))
    assert all(each.dts <= each.packet.pts for each in timed)


@given(pieces())
def test_durations_fill_the_time(parts: list[EncodedSegment]) -> None:
    timed = sorted(in_decoding_order(parts), key=lambda each: each.packet.pts)
    for here, following in pairwise(timed):
        assert here.packet.pts + here.duration == following.packet.pts
    assert timed[-1].packet.pts + timed[-1].duration == parts[-1].end


def test_no_delay_without_reordering() -> None:
    timed = list(in_decoding_order([_piece([0, 10, 25], 30), _piece([30, 40], 50)]))
    assert [each.dts for each in timed] == [0, 10, 25, 30, 40]
