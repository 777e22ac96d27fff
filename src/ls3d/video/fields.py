"""What the fields of a video hold: interlaced pictures, progressive ones, or film with 3:2 pulldown (telecine).

A file may say that it is interlaced while its pictures are progressive, or state the wrong field order. FFmpeg's filter
idet measures both, and which fields repeat those of the frame before.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice, pairwise
from typing import Literal

import av

from ls3d.errors import InputError
from ls3d.video.filters import PictureFilter
from ls3d.video.packet_times import first_packet_times
from ls3d.video.source import Source

#: What the fields of a video hold; ``"unknown"`` without motion.
FieldContent = Literal["interlaced", "progressive", "telecine", "unknown"]

# Places in a video that are examined, as fractions of its duration, and the number of frames at each.
_PLACES = (Fraction(0), Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))
_FRAMES = 30

_MIN_FRAMES = 8  # with a clear result, of all examined
_CLEAR = 5  # times as many frames of one kind as of the other

# In 3:2 pulldown, one of five frames repeats the top field, and another one the bottom field of the frame before.
_CYCLE = 5
_MIN_CYCLES = 3
_REGULAR = Fraction(4, 5)  # of the repeated fields, at the same place of the cycle

# Pulldown by flags: frames are shown for 2 and 3 fields in turn.
_FLAGGED_CODECS = ("mpeg1video", "mpeg2video", "h264", "vc1")
_TIMED_PACKETS = 60
_MAX_REORDERING = 16
_FIELD_RATES = (Fraction(595, 10), Fraction(605, 10))  # per second: 59.94 and 60
_UNEVEN = (Fraction(13, 10), Fraction(17, 10))  # times as long is a frame of 3 fields as one of 2, with rounding


@dataclass(frozen=True)
class Fields:
    """What was measured.

    Attributes:
        content: what the fields hold.
        first: ``"top"`` or ``"bottom"``, the field of an interlaced video that is shown first; empty if it isn't clear.
    """

    content: FieldContent
    first: str = ""


def examine_fields(source: Source) -> Fields:
    """Examine some frames at several places of a source that can be read from any position."""
    places = [place * (source.info.duration or 0) for place in _PLACES]
    results = [_idet(source, place) for place in dict.fromkeys(places)]
    if any(_is_telecine(repeated) for _, repeated in results):
        return Fields("telecine")
    kinds = Counter(chain.from_iterable(kinds for kinds, _ in results))
    interlaced = kinds["tff"] + kinds["bff"]
    if kinds["progressive"] >= _MIN_FRAMES and kinds["progressive"] > _CLEAR * interlaced:
        return Fields("progressive")
    if interlaced < _MIN_FRAMES:
        return Fields("unknown")
    for first, number, other in (("top", "tff", "bff"), ("bottom", "bff", "tff")):
        if kinds[number] >= _MIN_FRAMES and kinds[number] > _CLEAR * kinds[other]:
            return Fields("interlaced", first)
    return Fields("interlaced")


def _idet(source: Source, start: Fraction) -> tuple[list[str], list[str]]:
    """For some frames: ``"tff"``, ``"bff"``, ``"progressive"`` or ``"undetermined"``, and the repeated field."""
    detector = PictureFilter(source.info, "idet")
    pictures: list[av.VideoFrame] = []
    with suppress(InputError):  # the frames can't be decoded, which is handled when they are processed
        for frame in islice(source.frames(start=start), _FRAMES):
            pictures += detector.push(frame.picture)
    pictures += detector.push(None)
    kinds = [picture.metadata.get("lavfi.idet.multiple.current_frame", "") for picture in pictures]
    return kinds, [picture.metadata.get("lavfi.idet.repeated.current_frame", "") for picture in pictures]


def _is_telecine(repeated: Sequence[str]) -> bool:
    """Whether top and bottom fields are repeated in cycles of five frames."""
    places: dict[str, int] = {}
    for name in ("top", "bottom"):
        numbers = [number % _CYCLE for number, value in enumerate(repeated) if value == name]
        if len(numbers) < _MIN_CYCLES:
            return False
        ((place, count),) = Counter(numbers).most_common(1)
        if count < _MIN_CYCLES or count < _REGULAR * len(numbers):
            return False
        places[name] = place
    return places["top"] != places["bottom"]


def has_pulldown_flags(path: str | os.PathLike[str], codec: str) -> bool:
    """Whether the first frames of a video are shown for 2 and 3 fields in turn, as film on NTSC video is.

    Args:
        path: a video file.
        codec: of the video.

    Raises:
        InputError: it is not a video.
    """
    if codec not in _FLAGGED_CODECS:
        return False
    times, _ = first_packet_times(path, _TIMED_PACKETS)
    steps = [after - before for before, after in pairwise(times[:-_MAX_REORDERING])]
    pairs = [first + second for first, second in pairwise(steps)]
    if len(pairs) < _CYCLE * _MIN_CYCLES:
        return False
    fields = [5 / pair for pair in pairs if pair]  # per second, if a pair of frames has five fields
    regular = sum(_FIELD_RATES[0] <= rate <= _FIELD_RATES[1] for rate in fields)
    ratios = [max(pair) / min(pair) for pair in pairwise(steps) if min(pair) > 0]
    uneven = sum(_UNEVEN[0] <= ratio <= _UNEVEN[1] for ratio in ratios)
    return min(regular, uneven) >= _REGULAR * len(pairs)
