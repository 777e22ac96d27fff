"""Sources whose frames are made from those of another source, by filters that need a few frames before each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction

from ls3d.errors import InputError
from ls3d.video.properties import VideoInfo
from ls3d.video.source import Frame, Mark, Source, read_from, read_marked

#: How far before the wanted frame to begin, in seconds, tried in this order; None reads from the beginning.
_MARGINS = (Fraction(1, 2), Fraction(5), Fraction(60), None)


class FilteredSource:
    """A source that filters another one. Its frames don't depend on where reading begins.

    Implements ``ls3d.video.Source``. A subclass implements ``_filtered``.

    Args:
        base: the source that is filtered.
        info: the properties of the result.
        beginning: time in seconds at which the base begins; earlier frames of it are ignored.
    """

    def __init__(self, base: Source, info: VideoInfo, beginning: Fraction = Fraction(0)) -> None:
        self.info = info
        self.undecodable_at_end = 0
        self._base = base
        self._beginning = beginning

    def frames(self, after: Sequence[Mark] = (), start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """See ``Source.frames``."""
        target = after[0].time if after else start
        for margin in _MARGINS if self.info.seekable else (None,):
            if margin is not None and target - margin <= self._beginning:
                continue
            begin = self._beginning if margin is None else target - margin
            frames = self._filtered(self._base.frames(start=begin), from_beginning=margin is None)
            first = read_marked(frames, after) if after else read_from(frames, start, margin is None)
            if first is not None:
                yield from itertools.chain(first, frames)
                self.undecodable_at_end = self._base.undecodable_at_end
                return
        raise InputError(f"{self.info.name} has changed since the job began, so the job can't be resumed")

    def _filtered(self, frames: Iterator[Frame], from_beginning: bool) -> Iterator[Frame]:
        """Filter consecutive frames.

        Args:
            frames: of the base.
            from_beginning: whether they begin with the first frame of the base. If not, frames of the result that
                depend on earlier ones are left out.
        """
        raise NotImplementedError
