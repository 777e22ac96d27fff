"""Video input and output: file properties, frames with exact times, color conversion, cuts, encoding, containers.

Knows no network. PyAV (FFmpeg) reads and writes; times are ``Fraction`` seconds.

A *picture* is an ``av.VideoFrame``: samples without a reliable time. A *frame* (``Frame``) is a picture with its exact
time.

The names are imported on first use, so that file names can be checked before PyAV and torch are imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

#: Public name to the module that defines it.
_PUBLIC = {
    "CODECS": "ls3d.video.codecs",
    "Color": "ls3d.video.color",
    "DEFAULT_MAX_PIXELS": "ls3d.video.names",
    "EncodedSegment": "ls3d.video.mux",
    "Encoder": "ls3d.video.encoder",
    "EncoderSettings": "ls3d.video.settings",
    "FFmpegError": "av",
    "Frame": "ls3d.video.source",
    "ImageSequence": "ls3d.video.image_source",
    "Layout": "ls3d.video.pixels",
    "Mark": "ls3d.video.source",
    "OnError": "ls3d.video.source",
    "Packet": "ls3d.video.encoder",
    "ScannedFrame": "ls3d.video.cuts",
    "Source": "ls3d.video.source",
    "StreamInfo": "ls3d.video.properties",
    "StreamReport": "ls3d.video.other_streams",
    "TimeRange": "ls3d.video.other_streams",
    "VideoFile": "ls3d.video.file_source",
    "VideoInfo": "ls3d.video.properties",
    "VideoPipe": "ls3d.video.file_source",
    "choose_settings": "ls3d.video.settings",
    "container_notes": "ls3d.video.mux",
    "container_of": "ls3d.video.names",
    "exact_rate": "ls3d.video.rates",
    "find_cuts": "ls3d.video.cuts",
    "from_rgb": "ls3d.video.color",
    "layout_of": "ls3d.video.pixels",
    "picture_of": "ls3d.video.pixels",
    "planes_of": "ls3d.video.pixels",
    "probe": "ls3d.video.properties",
    "read_audio": "ls3d.video.audio",
    "read_duration": "ls3d.video.timed_frames",
    "read_frames_at": "ls3d.video.timed_frames",
    "read_frames_regularly": "ls3d.video.timed_frames",
    "reorder_depth": "ls3d.video.mux",
    "same_pixels": "ls3d.video.pixels",
    "to_rgb": "ls3d.video.color",
    "write_container": "ls3d.video.mux",
    "write_images": "ls3d.video.images",
    "write_y4m": "ls3d.video.y4m",
    "y4m_header": "ls3d.video.y4m",
}

__all__ = [
    "CODECS",
    "DEFAULT_MAX_PIXELS",
    "Color",
    "EncodedSegment",
    "Encoder",
    "EncoderSettings",
    "FFmpegError",
    "Frame",
    "ImageSequence",
    "Layout",
    "Mark",
    "OnError",
    "Packet",
    "ScannedFrame",
    "Source",
    "StreamInfo",
    "StreamReport",
    "TimeRange",
    "VideoFile",
    "VideoInfo",
    "VideoPipe",
    "choose_settings",
    "container_notes",
    "container_of",
    "exact_rate",
    "find_cuts",
    "from_rgb",
    "layout_of",
    "picture_of",
    "planes_of",
    "probe",
    "read_audio",
    "read_duration",
    "read_frames_at",
    "read_frames_regularly",
    "reorder_depth",
    "same_pixels",
    "to_rgb",
    "write_container",
    "write_images",
    "write_y4m",
    "y4m_header",
]

if TYPE_CHECKING:  # the names of _PUBLIC for type checkers; tests/test_imports.py compares the two
    from av import FFmpegError as FFmpegError

    from ls3d.video.audio import read_audio as read_audio
    from ls3d.video.codecs import CODECS as CODECS
    from ls3d.video.color import Color as Color
    from ls3d.video.color import from_rgb as from_rgb
    from ls3d.video.color import to_rgb as to_rgb
    from ls3d.video.cuts import ScannedFrame as ScannedFrame
    from ls3d.video.cuts import find_cuts as find_cuts
    from ls3d.video.encoder import Encoder as Encoder
    from ls3d.video.encoder import Packet as Packet
    from ls3d.video.file_source import VideoFile as VideoFile
    from ls3d.video.file_source import VideoPipe as VideoPipe
    from ls3d.video.image_source import ImageSequence as ImageSequence
    from ls3d.video.images import write_images as write_images
    from ls3d.video.mux import EncodedSegment as EncodedSegment
    from ls3d.video.mux import container_notes as container_notes
    from ls3d.video.mux import reorder_depth as reorder_depth
    from ls3d.video.mux import write_container as write_container
    from ls3d.video.names import DEFAULT_MAX_PIXELS as DEFAULT_MAX_PIXELS
    from ls3d.video.names import container_of as container_of
    from ls3d.video.other_streams import StreamReport as StreamReport
    from ls3d.video.other_streams import TimeRange as TimeRange
    from ls3d.video.pixels import Layout as Layout
    from ls3d.video.pixels import layout_of as layout_of
    from ls3d.video.pixels import picture_of as picture_of
    from ls3d.video.pixels import planes_of as planes_of
    from ls3d.video.pixels import same_pixels as same_pixels
    from ls3d.video.properties import StreamInfo as StreamInfo
    from ls3d.video.properties import VideoInfo as VideoInfo
    from ls3d.video.properties import probe as probe
    from ls3d.video.rates import exact_rate as exact_rate
    from ls3d.video.settings import EncoderSettings as EncoderSettings
    from ls3d.video.settings import choose_settings as choose_settings
    from ls3d.video.source import Frame as Frame
    from ls3d.video.source import Mark as Mark
    from ls3d.video.source import OnError as OnError
    from ls3d.video.source import Source as Source
    from ls3d.video.timed_frames import read_duration as read_duration
    from ls3d.video.timed_frames import read_frames_at as read_frames_at
    from ls3d.video.timed_frames import read_frames_regularly as read_frames_regularly
    from ls3d.video.y4m import write_y4m as write_y4m
    from ls3d.video.y4m import y4m_header as y4m_header


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'ls3d.video' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
