"""The parts of PyAV that are used beyond its documented interface, in one place.

PyAV's enumeration of frame side data ends at FFmpeg's number 27, and reading the side data of a picture raises an error
if one has a higher number. EXIF, which every camera writes, is 31.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import av
from av.packet import PacketSideData, PktSideDataT, packet_sidedata_type_from_literal
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType

from ls3d.video.logs import logged


def side_data(picture: av.VideoFrame) -> dict[SideDataType, SideData]:
    """The side data of a picture by type; that of unknown types is left out."""
    _accept_unknown_types()
    container: Any = picture.side_data  # its type says that iteration yields keys; indices yield the data
    known = set(SideDataType)
    return {data.type: data for data in (container[index] for index in range(len(container))) if data.type in known}


def packet_side_data(kind: PktSideDataT, data: bytes) -> PacketSideData:
    """Side data for a packet; PyAV documents only how to copy that of another packet."""
    constructor: Any = PacketSideData
    result: PacketSideData = constructor(packet_sidedata_type_from_literal(kind), len(data))
    result.update(data)
    return result


_CHROMA_LOCATION = re.compile(r"\bcl:(\w+)")


def chroma_location(picture: av.VideoFrame) -> str:
    """FFmpeg's name of a picture's chroma siting, for example ``"left"``; empty if the picture doesn't say.

    PyAV doesn't expose it, but FFmpeg's filter ``showinfo`` logs it.
    """
    found = _shown(picture, _CHROMA_LOCATION)
    return "" if found in ("unspecified", "unknown") else found


def first_field(picture: av.VideoFrame) -> str:
    """``"top"`` or ``"bottom"``, the field of an interlaced picture that is shown first; empty if it is progressive.

    PyAV exposes only whether it is interlaced. FFmpeg's filter ``select`` passes a picture on if it has a field order.
    """
    for constant, name in (("TOPFIRST", "top"), ("BOTTOMFIRST", "bottom")):
        graph = _graph(picture, "select", f"eq(interlace_type\\,{constant})")
        graph.push(picture)
        try:
            graph.pull()
        except BlockingIOError:
            continue
        return name
    return ""


def _graph(picture: av.VideoFrame, name: str, options: str) -> av.filter.Graph:
    """A graph of a single filter for pictures such as this one."""
    graph = av.filter.Graph()
    size = f"{picture.width}x{picture.height}"
    source = graph.add("buffer", f"video_size={size}:pix_fmt={picture.format.name}:time_base=1/1000")
    filter = graph.add(name, options)
    source.link_to(filter)
    filter.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _shown(picture: av.VideoFrame, pattern: re.Pattern[str]) -> str:
    """What FFmpeg's filter ``showinfo`` logs of a picture: the first group of a pattern; empty if nothing matches."""
    graph = _graph(picture, "showinfo", "checksum=0")
    with logged(av.logging.INFO) as messages:
        graph.push(picture)
        graph.pull()
    found = next(filter(None, (pattern.search(text) for _, _, text in messages())), None)
    return "" if found is None else found[1]


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
