"""The table of denoising protocols, in the two conventions of the field.

FastDVDnet and later papers add float noise, neither clipped nor rounded, and score the unrounded output. TOFlow and the
LS3D paper add noise that is clipped and rounded to 8 bit, and score the rounded middle frame of each septuplet.
"""

from __future__ import annotations

from ls3d.data import get_data_set, get_degradation
from ls3d.evaluation.fidelity import published
from ls3d.evaluation.fidelity.protocols import RestorationProtocol
from ls3d.evaluation.protocol import PublishedRow
from ls3d.metrics import METRICS

_FLOAT = {"psnr": METRICS["psnr-rgb-float"], "ssim": METRICS["ssim-3d-float"]}
_8BIT = {"psnr": METRICS["psnr-rgb"], "ssim": METRICS["ssim-3d"], "psnr_float": METRICS["psnr-rgb-float"]}

#: Standard deviations of the noise in 8-bit values.
_SIGMAS = (10, 20, 25, 30, 40, 50)


def _float_noise(
    data_set: str, title: str, sigma: int, rows: tuple[PublishedRow, ...] = (), *, max_frames: int | None = None
) -> RestorationProtocol:
    return RestorationProtocol(
        name=f"{data_set}-{sigma}",
        title=f"{title}, sigma {sigma}",
        data_set=get_data_set(data_set),
        metrics=_FLOAT,
        degradation=get_degradation(f"noise-{sigma}"),
        max_frames=max_frames,
        published=rows,
        note="noise neither clipped nor rounded, output clamped",
    )


def _8bit_noise(kind: str, title: str, degradation: str, rows: tuple[PublishedRow, ...]) -> RestorationProtocol:
    return RestorationProtocol(
        name=f"vimeo-noise-{kind}",
        title=f"Vimeo-90K denoising, {title}, middle frame",
        data_set=get_data_set("vimeo-septuplet"),
        metrics=_8BIT,
        degradation=get_degradation(degradation),
        scored=(3,),
        published=rows,
    )


def _set8(sigma: int) -> RestorationProtocol:
    return _float_noise("set8", "Set8", sigma, published.SET8.get(sigma, ()), max_frames=85)


def _davis_test(sigma: int) -> RestorationProtocol:
    rows = published.DAVIS_TEST.get(sigma, ())
    return _float_noise("davis-test", "DAVIS 2017 test-dev", sigma, rows, max_frames=85)


PROTOCOLS = (
    *(_set8(sigma) for sigma in _SIGMAS),
    *(_davis_test(sigma) for sigma in _SIGMAS),
    *(_float_noise("folder", "your clips", sigma) for sigma in _SIGMAS),
    _8bit_noise("15", "sigma 15", "noise8-15", published.VIMEO_NOISE_15),
    _8bit_noise("25", "sigma 25", "noise8-25", published.VIMEO_NOISE_25),
    _8bit_noise("mixed", "mixed noise", "mixed", published.VIMEO_MIXED),
)
