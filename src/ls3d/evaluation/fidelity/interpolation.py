"""The table of interpolation protocols.

Each protocol follows the evaluation scripts of its papers. Notes state where these differ or leave something open.
"""

from __future__ import annotations

from collections.abc import Mapping

from ls3d.data import get_data_set
from ls3d.evaluation.fidelity import published
from ls3d.evaluation.fidelity.protocols import InterpolationProtocol
from ls3d.evaluation.fidelity.scored_frames import InterpolationWindow
from ls3d.evaluation.protocol import PublishedRow
from ls3d.metrics import METRICS, Metric

#: RGB, rounded to 8 bit, with MATLAB's SSIM of the volume; also the PSNR without rounding.
_RGB = {"psnr": METRICS["psnr-rgb"], "ssim": METRICS["ssim-3d"], "psnr_float": METRICS["psnr-rgb-float"]}
_RGB_AND_ERROR = _RGB | {"ie": METRICS["ie"], "ie_abs": METRICS["ie-abs"]}

#: The middle frame of the first three.
_MIDDLE = InterpolationWindow(2, (1,))
#: im4 of a septuplet, from im3 and im5.
_FOURTH = InterpolationWindow(2, (1,), first=2)
#: Seven frames between the first and the last of 33.
_EIGHTHS = InterpolationWindow(32, tuple(range(4, 32, 4)))
#: Twice and four times the frames of a clip.
_X2 = InterpolationWindow(2, (1,), repeat=True)
_X4 = InterpolationWindow(4, (1, 2, 3), repeat=True)

_NOTES = {
    "vimeo-septuplet": "most published methods are given four frames, some six",
    "middlebury": "papers print the mean absolute difference as IE (column IE abs); Middlebury's own IE is RMS",
    "x-test-4k": "quarters from the network, eighths as midpoints between these",
    "x-test-2k": "resized to 2K bicubic with antialiasing; quarters by the network, eighths as midpoints",
    "cityscapes": "the paper states only the size; here the split val, resized bicubic with antialiasing",
    "mlb-youtube": "size from the paper; clips of the subset testing, bicubic with antialiasing",
    "davis": "every odd frame from its neighbors; no published rows",
    "davis-triplets": "one triplet of each of 30 sequences, distributed with AdaCoF; no published rows",
}


def _protocol(
    name: str,
    title: str,
    data_set: str,
    window: InterpolationWindow,
    rows: tuple[PublishedRow, ...] = (),
    *,
    metrics: Mapping[str, Metric] = _RGB,
    size: tuple[int, int] | None = None,
) -> InterpolationProtocol:
    return InterpolationProtocol(
        name=name,
        title=title,
        data_set=get_data_set(data_set),
        metrics=metrics,
        window=window,
        size=size,
        published=rows,
        note=_NOTES.get(name, ""),
    )


def _snu_film(level: str) -> InterpolationProtocol:
    name = f"snu-film-{level}"
    return _protocol(name, f"SNU-FILM {level}", name, _MIDDLE, published.SNU_FILM[level])


PROTOCOLS = (
    _protocol("vimeo-triplet", "Vimeo-90K triplets", "vimeo-triplet", _MIDDLE, published.VIMEO_TRIPLET),
    _protocol(
        "vimeo-septuplet",
        "Vimeo-90K septuplets, im3 and im5 to im4",
        "vimeo-septuplet",
        _FOURTH,
        published.VIMEO_SEPTUPLET,
    ),
    _protocol("ucf101", "UCF101", "ucf101", _MIDDLE, published.UCF101),
    _protocol("middlebury", "Middlebury-Other", "middlebury", _MIDDLE, published.MIDDLEBURY, metrics=_RGB_AND_ERROR),
    _protocol("davis-triplets", "DAVIS, the 30 triplets of AdaCoF", "davis-triplets", _MIDDLE),
    *(_snu_film(level) for level in ("easy", "medium", "hard", "extreme")),
    _protocol("x-test-4k", "X-TEST, 4096 x 2160, x8", "x-test", _EIGHTHS, published.X_TEST_4K),
    _protocol("x-test-2k", "X-TEST, 2048 x 1080, x8", "x-test", _EIGHTHS, published.X_TEST_2K, size=(1080, 2048)),
    _protocol("cityscapes", "Cityscapes 256 x 512, x4", "cityscapes", _X4, published.CITYSCAPES, size=(256, 512)),
    _protocol("mlb-youtube", "MLB-YouTube 360 x 720, x4", "mlb-youtube", _X4, published.MLB_YOUTUBE, size=(360, 720)),
    _protocol("gait", "CASIA gait, dataset A, x4", "gait", _X4, published.GAIT, size=(240, 352)),
    _protocol("davis", "DAVIS 2017 480p, x2", "davis", _X2),
    _protocol("folder-x2", "your clips, x2", "folder", _X2),
    _protocol("folder-x4", "your clips, x4", "folder", _X4),
)
