"""The parts of PyAV that are used beyond its documented interface, in one place.

PyAV's enumeration of frame side data ends at FFmpeg's number 27, and reading the side data of a picture raises an error
if one has a higher number. EXIF, which every camera writes, is 31.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import av
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType


def side_data(picture: av.VideoFrame) -> dict[SideDataType, SideData]:
    """The side data of a picture by type; that of unknown types is left out."""
    _accept_unknown_types()
    container: Any = picture.side_data  # its type says that iteration yields keys; indices yield the data
    known = set(SideDataType)
    return {data.type: data for data in (container[index] for index in range(len(container))) if data.type in known}


@cache
def _accept_unknown_types() -> None:
    """Make the enumeration return a member of its own for an unknown number, instead of raising an error."""

    def missing(cls: Any, value: object) -> Any:
        member = object.__new__(cls)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member

    enumeration: Any = SideDataType
    enumeration._missing_ = classmethod(missing)
