"""Interlaced video as progressive video: each frame becomes one frame, or one frame for each of its two fields.

FFmpeg's filter bwdif makes a frame from the fields of the frame before it, its own, and those of the frame after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from typing import Literal

import av
import numpy as np

from ls3d.video.filtered_source import FilteredSource
from ls3d.video.filters import PictureFilter
from ls3d.video.pixels import copy_properties, gray_layout, layout_of, picture_of, planes_of
from ls3d.video.properties import VideoInfo
from ls3d.video.source import Frame, Source, conform

#: One output frame for each field, or for each frame.
FieldOutput = Literal["field", "frame"]

_MODES = {"field": "send_field", "frame": "send_frame"}
_PARITIES = {"top": "tff", "bottom": "bff"}

#: A frame that is shown for longer than this, in frames of the average rate, is followed by a gap.
_LONGEST = Fraction(3, 2)


class Deinterlaced(FilteredSource):
    """The frames of an interlaced source, deinterlaced. Implements ``ls3d.video.Source``.

    The first frame of each source frame has its time; the second one is shown half a frame later.

    Args:
        base: the source.
        output: one frame for each field, or for each frame.
        first_field: ``"top"`` or ``"bottom"``, the field that is shown first.
    """

    def __init__(self, base: Source, output: FieldOutput, first_field: str) -> None:
        info = base.info
        count = 2 if output == "field" else 1
        super().__init__(
            base,
            replace(
                info,
                rate=info.rate * count,
                base_rate=max(info.base_rate, info.rate * count),
                time_base=info.time_base / count,
                frames=None if info.frames is None else info.frames * count,
                field_order="",
            ),
        )
        self._filter_options = f"mode={_MODES[output]}:parity={_PARITIES[first_field]}:deint=all"

    def _filtered(self, frames: Iterator[Frame], from_beginning: bool) -> Iterator[Frame]:
        """See ``FilteredSource``; the first frame depends on the one before it."""
        info = self._base.info
        fields = PictureFilter(info, "bwdif", self._filter_options)
        alpha_fields = PictureFilter(_alpha_info(info), "bwdif", self._filter_options) if info.alpha else None
        previous: Frame | None = None
        complete = from_beginning
        for frame in chain(frames, [None]):
            pictures = list(fields.push(None if frame is None else frame.picture))
            alpha = None if alpha_fields is None else list(alpha_fields.push(_alpha_picture(frame)))
            if previous is not None:
                if complete:
                    yield from self._timed(previous, pictures, alpha, frame)
                complete = True
            previous = frame

    def _timed(
        self,
        frame: Frame,
        pictures: Sequence[av.VideoFrame],
        alpha: Sequence[av.VideoFrame] | None,
        following: Frame | None,
    ) -> Iterator[Frame]:
        """The pictures made from a frame and its alpha, with their times."""
        nominal = 1 / self._base.info.rate
        shown = frame.duration if following is None else following.time - frame.time
        duration = (shown if shown <= _LONGEST * nominal else nominal) / len(pictures)
        for number, picture in enumerate(pictures):
            yield Frame(
                frame.time + number * duration,
                duration,
                conform(picture, self.info),
                undecodable_packets=0 if number else frame.undecodable_packets,
                retimed=frame.retimed and not number,
                alpha=None if alpha is None else np.array(planes_of(alpha[number])[0]),
            )


def _alpha_info(info: VideoInfo) -> VideoInfo:
    """The properties of a video whose samples are the alpha of another one."""
    return replace(info, color=replace(info.color, layout=gray_layout(info.color.layout.depth)))


def _alpha_picture(frame: Frame | None) -> av.VideoFrame | None:
    """The alpha of a frame as a gray picture; None without a frame."""
    if frame is None or frame.alpha is None:
        return None
    picture = picture_of([frame.alpha], gray_layout(layout_of(frame.picture.format.name).depth))
    copy_properties(frame.picture, picture)
    return picture
