"""Video input and output: file properties, frames with exact times, color conversion, cuts, encoding, containers.

Knows no network. PyAV (FFmpeg) reads and writes; times are ``Fraction`` seconds.

A *picture* is an ``av.VideoFrame``: samples without a reliable time. A *frame* (``Frame``) is a picture with its exact
time.
"""

from av import FFmpegError

from ls3d.video.codecs import CODECS
from ls3d.video.color import Color, from_rgb, to_rgb
from ls3d.video.containers import container_of
from ls3d.video.cuts import ScannedFrame, find_cuts
from ls3d.video.encoder import Encoder, Packet
from ls3d.video.file_source import VideoFile, VideoPipe
from ls3d.video.image_source import ImageSequence
from ls3d.video.images import write_images
from ls3d.video.mux import EncodedSegment, reorder_depth, write_container
from ls3d.video.other_streams import StreamReport, TimeRange
from ls3d.video.pixels import Layout, layout_of, picture_of, planes_of, same_pixels
from ls3d.video.probe import StreamInfo, VideoInfo, probe
from ls3d.video.rates import exact_rate
from ls3d.video.settings import EncoderSettings, choose_settings
from ls3d.video.source import Frame, Mark, OnError, Source
from ls3d.video.y4m import write_y4m, y4m_header

__all__ = [
    "CODECS",
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
    "container_of",
    "exact_rate",
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
