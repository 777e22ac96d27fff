"""Filters between the decoder and everything else: deinterlacing, and dropping duplicates."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from ls3d.enhance.options import Deinterlacing, EnhanceOptions
from ls3d.video import Source, TimeRange
from ls3d.video.deinterlace import Deinterlaced
from ls3d.video.duplicates import WithoutDuplicates
from ls3d.video.fields import Fields, examine_fields, has_pulldown_flags

log = logging.getLogger(__name__)

_ORDERS = {"top": "top field first", "bottom": "bottom field first"}


@dataclass(frozen=True)
class SourceFilters:
    """What is done to the frames of a source before anything else.

    Attributes:
        deinterlace: whether one frame is made of each field, or of each frame; ``"off"`` for neither.
        first_field: ``"top"`` or ``"bottom"``, the field that is shown first; empty if nothing is deinterlaced.
        dedup_span: where duplicates are dropped, start and end in seconds: the part that is wanted. None for nowhere.
    """

    deinterlace: Literal["field", "frame", "off"] = "off"
    first_field: str = ""
    dedup_span: tuple[Fraction, Fraction | None] | None = None

    def apply(self, source: Source) -> Source:
        """The source with its frames filtered."""
        if self.deinterlace != "off":
            source = Deinterlaced(source, self.deinterlace, self.first_field)
        if self.dedup_span is not None:
            source = WithoutDuplicates(source, *self.dedup_span)
        return source

    def conditions(self) -> dict[str, Any]:
        """Everything that the frames depend on, as JSON."""
        return {"deinterlace": self.deinterlace, "first_field": self.first_field, "dedup": self.dedup_span is not None}


def choose_filters(source: Source, path: Path | None, span: TimeRange, options: EnhanceOptions) -> SourceFilters:
    """Choose the filters for a source, and log what is found.

    Args:
        source: as it is decoded.
        path: its file; None for a pipe or a folder of images.
        span: the part that is wanted.
        options: of the call.
    """
    filters = _deinterlacing(source, path, options)
    if options.dedup == "auto":
        filters = replace(filters, dedup_span=(span.start, span.end))
    return filters


def _deinterlacing(source: Source, path: Path | None, options: EnhanceOptions) -> SourceFilters:
    info = source.info
    if path is not None and has_pulldown_flags(path, info.codec):
        log.warning(
            "%s is film with pulldown flags: its frames are shown for 2 and 3 fields in turn, and keep these times",
            info.name,
        )
    wanted: Deinterlacing = options.deinterlace
    if wanted == "off" or (wanted == "auto" and not info.field_order):
        return SourceFilters()
    found = examine_fields(source) if info.seekable else Fields("unknown")
    if found.content == "progressive" and wanted == "auto":
        log.warning("%s is marked as interlaced, but its frames are progressive: they are not deinterlaced", info.name)
        return SourceFilters()
    if found.content == "telecine":
        log.warning(
            "%s is film with 3:2 pulldown (telecine): deinterlacing removes the combed lines, not the repeated fields",
            info.name,
        )
    stated = info.field_order or "top"
    first = found.first or stated
    if first != stated and info.field_order:
        log.warning("%s is marked as %s, but is %s", info.name, _ORDERS[stated], _ORDERS[first])
    output: Literal["field", "frame"] = "frame" if wanted == "frame" else "field"
    log.warning("%s is interlaced (%s): one frame is made of each %s", info.name, _ORDERS[first], output)
    return SourceFilters(output, first)
