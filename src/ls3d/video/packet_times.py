"""Times of packets: those of a file's first pictures, and those of copied packets, of which every one is kept."""

from __future__ import annotations

import logging
import os
from fractions import Fraction
from itertools import islice
from typing import Any

import av

from ls3d.video.opening import open_video

log = logging.getLogger(__name__)

_NONSTRICT = 0x20000  # AVFMT_TS_NONSTRICT: packets of a stream may have equal times

#: A stream whose times go back by more than this, in seconds, is another recording, whose clock starts anew.
_RESTART = Fraction(1, 2)

#: Seconds between packets of equal time where a format allows none.
_SPREAD = Fraction(1, 16_000)


def first_packet_times(path: str | os.PathLike[str], count: int) -> tuple[list[Fraction], Fraction]:
    """Read when the first packets of a video are shown; nothing is decoded.

    Args:
        path: a video file.
        count: number of packets.

    Returns:
        The times in seconds, in ascending order, none if a packet can't be read; and the seconds of a tick.

    Raises:
        InputError: it is not a video.
    """
    with open_video(path) as (container, stream):
        time_base = Fraction(stream.time_base or 0)
        try:
            packets = islice(container.demux(stream), count)
            return sorted(packet.pts * time_base for packet in packets if packet.pts is not None), time_base
        except av.FFmpegError:
            return [], time_base


class PacketTimes:
    """Moves the times of a stream's packets where they don't increase.

    Packets that share a tick of the source's clock (TrueHD in Matroska, lines of subtitles that appear together) keep
    their time or, in formats that allow no equal times, follow each other closely. Where the clock starts anew, the
    stream continues after its last packet.

    Args:
        name: of the stream, for messages.
        strict: whether the output's format allows no equal times.
        main: times of the main stream. Where the clock starts anew, the stream's distance from it becomes what it was
            at the beginning.
    """

    def __init__(self, name: str, strict: bool, main: PacketTimes | None = None) -> None:
        self._name = name
        self._strict = strict
        self._main = main
        self._restarts: list[Fraction] = []  # duration of all packets before each
        self._first: Fraction | None = None
        self._shift = Fraction(0)
        self._latest: Fraction | None = None
        self._end = Fraction(0)
        self._durations = Fraction(0)  # of all packets: known better than their times where a clock starts anew

    def apply(self, packet: av.Packet[Any]) -> Fraction:
        """Set the times of a packet that has some.

        Returns:
            Its decoding time in seconds.
        """
        time_base = Fraction(packet.time_base)
        duration = int(packet.duration or 0) * time_base
        decoded = int(packet.dts or 0) * time_base + self._shift
        if self._latest is not None and self._latest - decoded > _RESTART:
            restart = self._restart()
            log.warning("%s: its clock starts anew after %.3f s; it continues there", self._name, float(restart))
            self._restarts.append(self._durations)
            self._shift += restart - decoded
            decoded = restart
        if self._first is None:
            self._first = decoded
        earliest = decoded
        if self._latest is not None:
            earliest = self._latest + (_SPREAD if self._strict else 0)
        moved = max(decoded, earliest)
        delay = moved - int(packet.dts or 0) * time_base
        if delay:
            _delay(packet, delay, moved)
        self._latest = moved
        self._durations += duration
        self._end = max(self._end, moved + duration)
        return moved

    def _restart(self) -> Fraction:
        """The time at which a packet is shown with which the clock starts anew."""
        if self._main is None or self._first is None or self._main._first is None:
            return self._end
        count = len(self._restarts)
        known = self._main._restarts[count:]  # the main stream may have come to this restart already
        return self._first + (known[0] if known else self._main._durations)


def _delay(packet: av.Packet[Any], delay: Fraction, decoded: Fraction) -> None:
    """Move a packet, in ticks that are fine enough."""
    coarse = Fraction(packet.time_base)
    fine = min(coarse, Fraction(1, 720_000))
    shown = int(packet.pts if packet.pts is not None else packet.dts or 0) * coarse + delay
    packet.duration = round(int(packet.duration or 0) * coarse / fine)
    packet.time_base = fine
    packet.dts = round(decoded / fine)
    packet.pts = max(round(shown / fine), packet.dts)


def is_strict(container: str) -> bool:
    """Whether a format allows no equal times of packets of a stream.

    Args:
        container: FFmpeg's name of the format.
    """
    return not av.ContainerFormat(container, "w").flags & _NONSTRICT
