"""Container formats: what each can hold."""

from __future__ import annotations

import os

import av

from ls3d.video.codecs import CODECS, family_of

_GLOBAL_HEADER = 0x40  # AVFMT_GLOBALHEADER


def supports_codec(container: str, codec: str) -> bool:
    """Whether a container format can hold a codec and players can be expected to play it.

    Args:
        container: FFmpeg's name of the format.
        codec: a key of ``CODECS``, or a hardware encoder.
    """
    codec = family_of(codec)
    if container == "mpegts":
        return codec in ("h264", "hevc")  # its muxer has no list of codecs
    if container == "mp4" and codec in ("ffv1", "prores"):
        return False  # allowed by the muxer, but no common player opens such files
    if container == "mov" and codec in ("av1", "vp9"):
        return False  # listed by the muxer, which then refuses to write the header
    with av.open(os.devnull, "w", format=container) as output:
        return CODECS[codec].encoder in output.supported_codecs


def needs_global_header(container: str) -> bool:
    """Whether a format stores the encoder's parameter sets in its header.

    Args:
        container: FFmpeg's name of the format, or ``"y4m"`` or ``"images"``.
    """
    if container in ("y4m", "images"):
        return False
    return bool(av.ContainerFormat(container, "w").flags & _GLOBAL_HEADER)
