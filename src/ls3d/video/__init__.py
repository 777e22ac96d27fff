"""Video files: what is in them, frames with exact times, color, encoders, and containers with nothing lost.

Knows no network. PyAV (FFmpeg) reads and writes; times are ``Fraction`` seconds.
"""

from ls3d.video.color import Color, from_rgb, to_rgb
from ls3d.video.cuts import ScannedFrame, find_cuts
from ls3d.video.encoder import CODECS, Encoder, EncoderSettings, Packet, choose_settings, container_of
from ls3d.video.mux import (
    EncodedSegment,
    StreamReport,
    TimeRange,
    reorder_depth,
    write_container,
    write_images,
    write_y4m,
    y4m_header,
)
from ls3d.video.pixels import Layout, layout_of, picture_of, planes_of, same_pixels
from ls3d.video.probe import StreamInfo, VideoInfo, probe
from ls3d.video.reader import Frame, ImageSequence, Mark, OnError, Source, VideoFile, VideoPipe

__all__ = [
    "CODECS",
    "Color",
    "EncodedSegment",
    "Encoder",
    "EncoderSettings",
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
    "container_of",
    "find_cuts",
    "from_rgb",
    "layout_of",
    "picture_of",
    "planes_of",
    "probe",
    "reorder_depth",
    "same_pixels",
    "to_rgb",
    "write_container",
    "write_images",
    "write_y4m",
    "y4m_header",
]
