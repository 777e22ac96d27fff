"""YUV4MPEG2 (y4m): uncompressed video as a stream, one header line and then the samples of each frame.

The format is that of the mjpegtools, with the extensions that FFmpeg writes: ``C420p10`` and the like for more than 8
bits, and the parameter ``XCOLORRANGE``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from ls3d.errors import InputError
from ls3d.video.encoder import Packet
from ls3d.video.pixels import FULL_RANGE
from ls3d.video.settings import EncoderSettings

#: Names of chroma formats by log2 of the horizontal and vertical subsampling.
_CHROMA_NAMES = {(0, 0): "444", (1, 0): "422", (1, 1): "420", (2, 0): "411"}


#: Names of 4:2:0 by whether chroma samples coincide with luma samples, horizontally and vertically.
_SITINGS = {(True, False): "420mpeg2", (False, False): "420jpeg", (True, True): "420paldv"}


def y4m_header(settings: EncoderSettings) -> bytes:
    """The header line of a YUV4MPEG2 stream.

    Raises:
        InputError: the format has no name for the layout.
    """
    rate = settings.rate
    aspect = settings.sample_aspect_ratio
    color_range = "FULL" if settings.tags.get("color_range") == FULL_RANGE else "LIMITED"
    header = (
        f"YUV4MPEG2 W{settings.width} H{settings.height} F{rate.numerator}:{rate.denominator} Ip "
        f"A{aspect.numerator}:{aspect.denominator} C{_color_space(settings)} XCOLORRANGE={color_range}\n"
    )
    return header.encode()


def _color_space(settings: EncoderSettings) -> str:
    """The value of the parameter ``C``."""
    layout = settings.color.layout
    deep = layout.depth > 8
    if layout.family == "gray":
        return f"mono{layout.depth}" if deep else "mono"
    if layout.family != "yuv" or layout.subsampling not in _CHROMA_NAMES:
        raise InputError(f"y4m can't hold {layout.name}; expected gray or YUV samples of 4:2:0, 4:2:2, 4:4:4 or 4:1:1")
    name = _CHROMA_NAMES[layout.subsampling]
    if deep:
        return f"{name}p{layout.depth}"
    if name == "420":
        return _SITINGS.get(settings.color.cosited, "420mpeg2")
    return name


def write_y4m(file: BinaryIO, packets: Iterable[Packet]) -> None:
    """Write frames to a binary file that begins with the header.

    Args:
        file: where to write.
        packets: raw samples, as ``Encoder`` gives them for the codec ``"y4m"``.
    """
    for packet in packets:
        write_all(file, b"FRAME\n")
        write_all(file, packet.data)


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write all bytes to a file, which may be unbuffered and then takes only some of them at a time."""
    rest = memoryview(data)
    while len(rest):
        rest = rest[file.write(rest) :]
