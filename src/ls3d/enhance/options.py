"""The options that interpolation, upscaling and denoising share, each with its type, default and help text.

The command line and other user interfaces are generated from ``EnhanceOptions``, so this module imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any, Literal, get_args

from ls3d.errors import InputError
from ls3d.video.names import DEFAULT_MAX_PIXELS, EXPECTED_CODECS, HARDWARE_DECODERS, is_codec

# The same as ``ls3d.video.OnError`` and ``ls3d.inference.Precision``, whose modules take long to import.
OnError = Literal["skip", "repeat", "stop"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

#: One frame is made of each field (``"auto"``: if the video is interlaced), of each frame, or nothing is deinterlaced.
Deinterlacing = Literal["auto", "field", "frame", "off"]
Deduplication = Literal["auto", "off"]

#: Number of a part from 0, and number of parts.
_SHARD = re.compile(r"[0-9]{1,6}/[1-9][0-9]{0,5}")

_LONGEST = 10**9  # seconds that can be asked for, more than thirty years
_LOWEST_RATE = 1e-5  # frames per second, as in ``ls3d.video.exact_rate``
_HIGHEST_RATE = 1000

#: An output's name and this is the name of the folder of its unfinished job.
WORKSPACE_SUFFIX = ".ls3d"

#: The network of each job unless another is given. Scores decide: see the tables in the README.
DEFAULT_INTERPOLATION = "bilateral"
DEFAULT_SUPER_RESOLUTION = "vsr"
DEFAULT_DENOISING = "vdn"

Quality = Literal["fast", "best", "sharp"]

#: The networks of `ls3d interpolate --quality`. "best" takes longer than "fast", and "sharp" as long as "best".
QUALITIES = {"fast": DEFAULT_INTERPOLATION, "best": "vfi", "sharp": "vfi_ls3d_plus_sharp"}


def _about(help: str, valid: Callable[[Any], bool] | None = None, expected: str = "") -> dict[str, Any]:
    """Metadata of a field of ``EnhanceOptions``.

    Args:
        help: one or two sentences for people.
        valid: whether a value other than None can be used; None if that can't be known here.
        expected: completes "expected ..." in the error.
    """
    return {"help": help, "valid": valid, "expected": expected}


def _is_time(value: Fraction | float) -> bool:
    return 0 <= value < _LONGEST


def _about_choice(help: str, choices: Any) -> dict[str, Any]:
    names = get_args(choices)
    return _about(help, lambda value: value in names, f"{', '.join(names[:-1])} or {names[-1]}")


@dataclass(frozen=True)
class EnhanceOptions:
    """Options that ``interpolate``, ``upscale`` and ``denoise`` share.

    Raises:
        InputError: a value is out of range.
    """

    device: str = field(
        default="auto",
        metadata=_about("Device of the network: auto (a GPU if there is one), cpu, cuda, cuda:1, ..."),
    )
    precision: Precision = field(
        default="float32",
        metadata=_about_choice(
            "Floating-point type of the network; auto is bfloat16 on CPUs that compute in it (AVX512-BF16, AMX), "
            "otherwise float32. The half-precision types are meant for GPUs and these CPUs.",
            Precision,
        ),
    )
    tile: int | None = field(
        default=None,
        metadata=_about(
            "Maximum side of a tile, in source pixels. By default, frames are processed whole.",
            lambda value: value >= 64,
            "at least 64 pixels",
        ),
    )
    max_memory: int | None = field(
        default=None,
        metadata=_about(
            "Main memory to use at most on a CPU, in bytes, for decoding, network and encoding; determines the size of "
            "tiles.",
            lambda value: value > 0,
            "more than 0 bytes",
        ),
    )
    max_pixels: int = field(
        default=DEFAULT_MAX_PIXELS,
        metadata=_about(
            "Maximum number of pixels in a picture of the source, and of an output whose size is asked for. Larger "
            "pictures are refused before they are decoded.",
            lambda value: 0 < value < 2**31,
            "a number from 1 to 2147483647",
        ),
    )
    start: Fraction | float = field(
        default=0,
        metadata=_about("Start this many seconds into the source.", _is_time, "seconds, 0 or more"),
    )
    duration: Fraction | float | None = field(
        default=None,
        metadata=_about(
            "Process this many seconds of the source. By default, everything up to its end.",
            lambda value: _is_time(value) and value > 0,
            "seconds, more than 0",
        ),
    )
    deinterlace: Deinterlacing = field(
        default="auto",
        metadata=_about_choice(
            "Deinterlace: one frame for each field if the video is interlaced (auto) or in any case (field), one for "
            "each frame (frame), or not at all (off). By default, 25 interlaced frames a second become 50.",
            Deinterlacing,
        ),
    )
    dedup: Deduplication = field(
        default="off",
        metadata=_about_choice(
            "For animation on twos and threes: drop the frames that repeat a drawing and give their time to the motion "
            "(auto), or not (off).",
            Deduplication,
        ),
    )
    codec: str | None = field(
        default=None,
        metadata=_about(
            "h264, hevc, av1, vp9, prores or ffv1, or a hardware encoder such as h264_nvenc, hevc_qsv or "
            "hevc_videotoolbox. By default, the codec of the source.",
            is_codec,
            EXPECTED_CODECS,
        ),
    )
    encoder_options: Mapping[str, str] | None = field(
        default=None,
        metadata=_about("Further options for FFmpeg's encoder, such as preset=slow,tune=grain."),
    )
    hwaccel: str = field(
        default="off",
        metadata=_about(
            "Decode on a device: auto, or cuda, qsv, vaapi, videotoolbox, d3d11va, ...; in software (off) if none can.",
            lambda value: value in HARDWARE_DECODERS,
            f"{', '.join(HARDWARE_DECODERS[:-1])} or {HARDWARE_DECODERS[-1]}",
        ),
    )
    crf: int | None = field(
        default=None,
        metadata=_about(
            "Constant rate factor: lower means better quality and larger files. By default, visually lossless.",
            lambda value: 0 <= value <= 63,
            "a number from 0 to 63",
        ),
    )
    resume: bool = field(
        default=True,
        metadata=_about("Resume an unfinished job that had the same settings, or start over and replace the output."),
    )
    overwrite: bool = field(
        default=False,
        metadata=_about(
            "Replace an output that exists. By default, it is an error, unless the same job has made it: then nothing "
            "is done."
        ),
    )
    cut_threshold: float = field(
        default=4.0,
        metadata=_about(
            "Minimum change of the picture at a hard cut, in percent; 0 disables the detection of cuts.",
            lambda value: 0 <= value <= 100,
            "a percentage",
        ),
    )
    on_error: OnError = field(
        default="skip",
        metadata=_about_choice(
            "What to do where the source can't be decoded: hold the previous frame for longer (skip), repeat it at the "
            "times of the missing frames (repeat), or stop with an error (stop).",
            OnError,
        ),
    )
    image_rate: Fraction | float = field(
        default=25,
        metadata=_about(
            "Frames per second of a folder of images.",
            lambda value: _LOWEST_RATE <= value <= _HIGHEST_RATE,
            f"frames per second, more than 0 and at most {_HIGHEST_RATE}",
        ),
    )
    threads: int = field(
        default=0,
        metadata=_about("Threads of the encoder; 0 lets it choose.", lambda value: value >= 0, "a number, 0 or more"),
    )
    segment_frames: int = field(
        default=128,
        metadata=_about(
            "Maximum number of source frames in a segment, the unit in which an unfinished job is resumed.",
            lambda value: value > 0,
            "at least 1",
        ),
    )
    shard: str | None = field(
        default=None,
        metadata=_about(
            "Make only a part of the segments: 0/3, 1/3 and 2/3 are the parts of three processes or machines that see "
            "the same folder. ls3d join, or the command without this option, joins them.",
            lambda value: _SHARD.fullmatch(value) is not None and int(value.split("/")[0]) < int(value.split("/")[1]),
            "the number of a part and the number of all parts, from 0/3 to 2/3 for three",
        ),
    )

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            valid = option.metadata["valid"]
            if value is not None and valid is not None and not valid(value):
                raise InputError(f"{value}: expected {option.metadata['expected']}", argument=option.name)
        if self.shard is not None and not self.resume:
            raise InputError(f"{self.shard}: a part can't start the job over; delete its folder", argument="shard")

    @property
    def part(self) -> tuple[int, int] | None:
        """The number of the part to make, from 0, and the number of parts; None for all of them."""
        if self.shard is None:
            return None
        index, count = self.shard.split("/")
        return int(index), int(count)

    @property
    def replaces_output(self) -> bool:
        """Whether an output that exists is replaced."""
        return self.overwrite or not self.resume


def _attributes() -> str:
    """The "Attributes" section of the docstring, from the help texts."""
    lines = [f"{option.name}: {option.metadata['help']}" for option in fields(EnhanceOptions)]
    return "\n        ".join(["Attributes:", *lines])


EnhanceOptions.__doc__ = (EnhanceOptions.__doc__ or "").replace("Raises:", f"{_attributes()}\n\n    Raises:")
