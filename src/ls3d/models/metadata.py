"""Facts beside the networks: how clips are normalized for them, and what was published of their quality."""

from __future__ import annotations

from typing import Any

#: How to bring pixels to what a network was trained on: value range first, then mean and deviation, per
#: channel in the order of ``channels``.
Normalization = dict[str, Any]


def normalization(
    mean: tuple[float, ...], std: tuple[float, ...], value_range: tuple[int, int], channels: str = "RGB"
) -> Normalization:
    """A JSON-able record of a normalization."""
    return {"mean": list(mean), "std": list(std), "value_range": list(value_range), "channels": channels}


#: VMZ, Caffe2: Kinetics, pixels 0 to 255.
VMZ = normalization((110.201, 100.64, 95.9966), (58.1489, 56.4701, 55.3324), (0, 255))
#: torchvision, VMZ in PyTorch, ig65m: the same figures over 255.
TORCHVISION = normalization((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989), (0, 1))
#: SlowFast and pytorchvideo.
SLOWFAST = normalization((0.45, 0.45, 0.45), (0.225, 0.225, 0.225), (0, 1))
#: mmaction2: ImageNet, pixels 0 to 255.
IMAGENET = normalization((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), (0, 255))
#: mmaction2's C3D: means in the order BGR, on frames that are decoded as RGB.
MMACTION_C3D = normalization((104.0, 117.0, 123.0), (1.0, 1.0, 1.0), (0, 255))
#: 3D-ResNets: Kinetics.
RESNETS_3D = normalization((0.4345, 0.4051, 0.3775), (0.2768, 0.2713, 0.2737), (0, 1))
#: C3D's own weights subtract a mean cube (16 x 128 x 171) that comes with them; these are round figures for
#: it.
C3D_SPORTS = normalization((128.0, 128.0, 128.0), (1.0, 1.0, 1.0), (0, 255), "BGR")

_VMZ_MODELS = "VMZ, tutorials/models.md: Kinetics-400 from scratch, 10 center clips"


def kinetics(top1: float, top5: float, source: str = _VMZ_MODELS) -> dict[str, Any]:
    """A published accuracy on Kinetics-400, in per cent, and where it stands."""
    return {"data": "Kinetics-400", "top1": top1, "top5": top5, "source": source}


def fidelity(data: str, psnr: float, ssim: float, source: str) -> dict[str, Any]:
    """A published PSNR in dB and SSIM, on what data, and where it stands."""
    return {"data": data, "psnr": psnr, "ssim": ssim, "source": source}
