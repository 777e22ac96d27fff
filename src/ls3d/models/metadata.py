"""Metadata of the registered networks: how their inputs are normalized, and what was published of their quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from ls3d.errors import InputError


@dataclass(frozen=True)
class Preprocessing:
    """How pixels are normalized for a network: scaled to ``value_range``, minus ``mean``, divided by ``std``.

    Attributes:
        mean: one value for each channel, in the order of ``channels``.
        std: one value for each channel, in the order of ``channels``.
        value_range: black and white before ``mean`` is subtracted.
        channels: order of the channels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    value_range: tuple[int, int]
    channels: str = "RGB"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dictionary of the attributes, with lists for tuples."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Read what ``to_dict`` returned.

        Raises:
            InputError: ``values`` is something else.
        """
        try:
            if not isinstance(values, Mapping):
                raise TypeError
            low, high = values["value_range"]
            mean = tuple(float(value) for value in values["mean"])
            std = tuple(float(value) for value in values["std"])
            if len(mean) != len(std) or not mean or min(std) <= 0 or values["channels"] not in ("RGB", "BGR"):
                raise ValueError
            return cls(mean, std, (int(low), int(high)), values["channels"])
        except (TypeError, ValueError, LookupError, OverflowError) as error:
            raise InputError(f"preprocessing is {values!r:.200}, expected mean, std, value_range, channels") from error


@dataclass(frozen=True)
class ClipFormat:
    """How a network's clips are taken from a video.

    Attributes:
        frames: number of frames.
        fps: frames per second, independent of the frame rate of the video.
        size: height and width in pixels.
        share: height and width of the region of the frame that a clip shows at test, as a share of the largest region
            with the aspect ratio of ``size``.
        subtract_mean: whether the mean of the frames of a clip is subtracted from each of them, which leaves what
            moves.
    """

    frames: int
    fps: float
    size: tuple[int, int]
    share: float = 0.875
    subtract_mean: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dictionary of the attributes."""
        return {**asdict(self), "size": list(self.size)}

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Read what ``to_dict`` returned.

        Raises:
            InputError: ``values`` is something else.
        """
        try:
            if not isinstance(values, Mapping):
                raise TypeError
            height, width = values["size"]
            numbers = (int(values["frames"]), float(values["fps"]), (int(height), int(width)), float(values["share"]))
            clip = cls(*numbers, bool(values.get("subtract_mean", False)))
            if min(clip.frames, *clip.size) < 1 or not 0 < clip.fps <= 1000 or not 0 < clip.share <= 1:
                raise ValueError
            return clip
        except (TypeError, ValueError, LookupError, OverflowError) as error:
            raise InputError(f"clip is {values!r:.200}, expected frames, fps, size, share") from error


@dataclass(frozen=True)
class PublishedAccuracy:
    """A published accuracy of classification.

    Attributes:
        data: the data set.
        top1: top-1 accuracy in percent.
        source: where it was published, and the protocol.
        top5: top-5 accuracy in percent, None if it was not published.
    """

    data: str
    top1: float
    source: str
    top5: float | None = None


@dataclass(frozen=True)
class PublishedFidelity:
    """A published fidelity of restored or interpolated frames.

    Attributes:
        data: the data set, and the degradation.
        psnr: in dB.
        ssim: structural similarity, at most 1.
        source: where it was published.
    """

    data: str
    psnr: float
    ssim: float
    source: str


#: VMZ in Caffe2: statistics of Kinetics on pixels from 0 to 255.
VMZ = Preprocessing((110.201, 100.64, 95.9966), (58.1489, 56.4701, 55.3324), (0, 255))
#: torchvision, VMZ in PyTorch, ig65m: the same statistics over 255.
TORCHVISION = Preprocessing((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989), (0, 1))
#: SlowFast and pytorchvideo.
SLOWFAST = Preprocessing((0.45, 0.45, 0.45), (0.225, 0.225, 0.225), (0, 1))
#: mmaction2: statistics of ImageNet on pixels from 0 to 255.
IMAGENET = Preprocessing((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), (0, 255))
#: mmaction2's CSN, whose configurations keep the statistics of VMZ, from whose weights they start.
MMACTION_CSN = Preprocessing((110.2008, 100.63983, 95.99475), (58.14765, 56.46975, 55.332195), (0, 255))
#: mmaction2's C3D: it subtracts means in the order BGR from frames decoded as RGB.
MMACTION_C3D = Preprocessing((104.0, 117.0, 128.0), (1.0, 1.0, 1.0), (0, 255))
#: 3D-ResNets: statistics of Kinetics on pixels from 0 to 1.
RESNETS_3D = Preprocessing((0.4345, 0.4051, 0.3775), (0.2768, 0.2713, 0.2737), (0, 1))
#: kinetics-i3d: pixels from -1 to 1.
I3D = Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (-1, 1))
#: C3D. The released weights come with a mean cube (16 x 128 x 171) to subtract; these are rounded means of it.
C3D_SPORTS = Preprocessing((128.0, 128.0, 128.0), (1.0, 1.0, 1.0), (0, 255), "BGR")

_VMZ_MODELS = "VMZ, tutorials/models.md: Kinetics-400 from scratch, 10 center clips"


def kinetics(top1: float, top5: float, source: str = _VMZ_MODELS) -> PublishedAccuracy:
    """Return a published accuracy on Kinetics-400."""
    return PublishedAccuracy("Kinetics-400", top1, source, top5)
