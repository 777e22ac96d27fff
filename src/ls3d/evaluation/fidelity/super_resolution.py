"""The table of protocols for super-resolution x4.

Each protocol follows the evaluation scripts of its papers. Notes state where these differ or leave something open.
"""

from __future__ import annotations

from collections.abc import Mapping

from ls3d.data import get_data_set, get_degradation
from ls3d.evaluation.fidelity import published
from ls3d.evaluation.fidelity.protocols import RestorationProtocol
from ls3d.evaluation.protocol import PublishedRow
from ls3d.metrics import METRICS, Metric

_Y = {"psnr": METRICS["psnr-y"], "ssim": METRICS["ssim-y"]}
#: SSIM of each channel.
_RGB = {"psnr": METRICS["psnr-rgb"], "ssim": METRICS["ssim-rgb"]}
#: SSIM of the volume, as in interpolation.
_RGB_VOLUME = {"psnr": METRICS["psnr-rgb"], "ssim": METRICS["ssim-3d"], "psnr_float": METRICS["psnr-rgb-float"]}

#: The middle frame of a septuplet.
_FOURTH = (3,)

_NOTES = {
    "vid4-bd-y": "the PSNR of the published bicubic row is reproduced, its SSIM is not (0.543 here)",
    "vimeo90k-t-bi-rgb": "table 6 of the LS3D paper; that its numbers are RGB follows from its bicubic row",
}


def _protocol(
    name: str,
    title: str,
    data_set: str,
    degradation: str,
    metrics: Mapping[str, Metric],
    rows: tuple[PublishedRow, ...] = (),
    *,
    scored: tuple[int, ...] | None = None,
    crop: int = 0,
) -> RestorationProtocol:
    return RestorationProtocol(
        name=name,
        title=title,
        data_set=get_data_set(data_set),
        metrics=metrics,
        degradation=get_degradation(degradation),
        scored=scored,
        crop=crop,
        published=rows,
        note=_NOTES.get(name, ""),
    )


def _vimeo90k_t(
    degradation: str, channels: str, metrics: Mapping[str, Metric], rows: tuple[PublishedRow, ...]
) -> RestorationProtocol:
    name = f"vimeo90k-t-{degradation}-{channels}"
    title = f"Vimeo-90K-T x4, {degradation.upper()}, {channels.upper()}, middle frame"
    return _protocol(name, title, "vimeo-septuplet", degradation, metrics, rows, scored=_FOURTH)


PROTOCOLS = (
    _protocol("vid4-bi-y", "Vid4 x4, BI, Y", "vid4", "bi", _Y, published.VID4_BI_Y),
    _protocol("vid4-bd-y", "Vid4 x4, BD, Y", "vid4", "bd", _Y, published.VID4_BD_Y),
    _protocol("vid4-bi-rgb", "Vid4 x4, BI, RGB", "vid4", "bi", _RGB, published.VID4_BI_RGB),
    _protocol("vid4-bi-y-crop8", "Vid4 x4, BI, Y, cropped", "vid4", "bi", _Y, published.VID4_BI_Y_CROP8, crop=8),
    _protocol("reds4-bi-rgb", "REDS4 x4, BI, RGB", "reds4", "bi", _RGB, published.REDS4_BI_RGB),
    _protocol("udm10-bd-y", "UDM10 x4, BD, Y", "udm10", "bd", _Y, published.UDM10_BD_Y),
    _protocol("udm10-bi-y", "UDM10 x4, BI, Y", "udm10", "bi", _Y),
    _protocol("spmcs-bd-y", "SPMCS x4, BD, Y", "spmcs", "bd", _Y),
    _protocol("spmcs-bi-y", "SPMCS x4, BI, Y", "spmcs", "bi", _Y),
    _protocol("yuv25-bi-y", "25 YUV x4, BI, Y", "yuv25", "bi", _Y, published.YUV25),
    _vimeo90k_t("bi", "y", _Y, published.VIMEO90K_T_BI_Y),
    _vimeo90k_t("bd", "y", _Y, published.VIMEO90K_T_BD_Y),
    _vimeo90k_t("bi", "rgb", _RGB_VOLUME, published.VIMEO90K_T_BI_RGB),
    _protocol("folder-bi-y", "your clips x4, BI, Y", "folder", "bi", _Y),
)
