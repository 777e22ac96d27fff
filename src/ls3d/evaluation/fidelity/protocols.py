"""The published protocols by name: data, degradation, frames that are scored, metric variants, averaging.

A number means something only with its protocol; each one here is what its papers' own scripts do, and says
where they differ among themselves. ``published`` holds the rows of the papers' tables, for comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ls3d.data.degradations import degradation
from ls3d.data.sets import DATA_SETS
from ls3d.errors import InputError
from ls3d.evaluation.fidelity import published as tables
from ls3d.evaluation.fidelity.published import Row
from ls3d.metrics import METRICS

Task = Literal["interpolation", "super-resolution", "denoising"]


@dataclass(frozen=True)
class Window:
    """Which two frames are given and which between them are to be made.

    Attributes:
        span: the second given frame comes this many frames after the first.
        targets: the frames to make, counted from the first given frame.
        first: the first given frame of the clip's first window.
        repeat: whether the next window begins at the last frame of this one; otherwise a clip has one window.
    """

    span: int
    targets: tuple[int, ...]
    first: int = 0
    repeat: bool = False

    def starts(self, frames: int) -> range:
        """First frames of all windows in a clip of so many frames."""
        starts = range(self.first, frames - self.span, self.span)
        return starts if self.repeat else starts[:1]


@dataclass(frozen=True)
class Protocol:
    """One way to measure.

    Attributes:
        name: the key in ``PROTOCOLS``.
        title: what a table is headed with.
        task: what the model does.
        data_set: a key of ``ls3d.data.sets.DATA_SETS``.
        metrics: columns of the result to names in ``ls3d.metrics.METRICS``.
        window: interpolation: given and wanted frames.
        degradation: super-resolution and denoising: a key of ``ls3d.data.degradations.DEGRADATIONS``.
        size: height and width the frames are brought to before anything else.
        max_frames: only so many frames from the beginning of each clip.
        scored: the only frames that are scored; all by default.
        crop: pixels left out at each border.
        average: ``"clips"`` takes the mean of a clip's frames, then of the clips; ``"frames"`` of all frames.
        published: rows of papers under this protocol.
        note: what a reader of the table should know.
    """

    name: str
    title: str
    task: Task
    data_set: str
    metrics: Mapping[str, str]
    window: Window | None = None
    degradation: str | None = None
    size: tuple[int, int] | None = None
    max_frames: int | None = None
    scored: tuple[int, ...] | None = None
    crop: int = 0
    average: Literal["clips", "frames"] = "clips"
    published: tuple[Row, ...] = field(default=(), repr=False)
    note: str = ""

    def conditions(self) -> dict[str, Any]:
        """Everything that decides the numbers, for the JSON."""
        window = self.window
        return {
            "task": self.task,
            "data_set": DATA_SETS[self.data_set].title,
            "degradation": degradation(self.degradation).description if self.degradation else None,
            "given": [0, window.span] if window else None,
            "wanted": list(window.targets) if window else None,
            "size": list(self.size) if self.size else None,
            "max_frames": self.max_frames,
            "scored_frames": list(self.scored) if self.scored else "all",
            "crop": self.crop,
            "average": self.average,
            "metrics": {column: METRICS[name].description for column, name in self.metrics.items()},
        }


#: RGB, rounded to 8 bit, MATLAB's SSIM of the volume: interpolation and TOFlow's denoising.
_RGB = {"psnr": "psnr-rgb", "ssim": "ssim-3d", "psnr_float": "psnr-rgb-float"}
_Y = {"psnr": "psnr-y", "ssim": "ssim-y"}
_RGB_PER_CHANNEL = {"psnr": "psnr-rgb", "ssim": "ssim-rgb"}
_MIDDLE = Window(2, (1,))
_X2 = Window(2, (1,), repeat=True)
_X4 = Window(4, (1, 2, 3), repeat=True)


def _interpolation() -> list[Protocol]:
    def one(name: str, title: str, window: Window, **more: Any) -> Protocol:
        settings: dict[str, Any] = {"data_set": name, "metrics": _RGB, "window": window, **more}
        return Protocol(name, title, "interpolation", **settings)

    ie = {"ie": "ie", "ie_abs": "ie-abs"}
    paper = "the paper gives the size alone; here the split val, resized bicubic with antialiasing"
    return [
        one("vimeo-triplet", "Vimeo-90K triplets", _MIDDLE, published=tables.VIMEO_TRIPLET),
        one(
            "vimeo-septuplet",
            "Vimeo-90K septuplets, im3 and im5 to im4",
            Window(2, (1,), first=2),
            published=tables.VIMEO_SEPTUPLET,
            note="most published methods see four frames, and sometimes six",
        ),
        one("ucf101", "UCF101", _MIDDLE, published=tables.UCF101),
        one(
            "middlebury",
            "Middlebury-Other",
            _MIDDLE,
            metrics=_RGB | ie,
            published=tables.MIDDLEBURY,
            note="papers print the mean absolute difference as IE (column IE abs); Middlebury's own IE is RMS",
        ),
        *(
            one(f"snu-film-{level}", f"SNU-FILM {level}", _MIDDLE, published=rows)
            for level, rows in tables.SNU_FILM.items()
        ),
        one(
            "x-test-4k",
            "X-TEST, 4096 x 2160, x8",
            Window(32, tuple(range(4, 32, 4))),
            data_set="x-test",
            published=tables.X_TEST_4K,
            note="quarters from the network, eighths as midpoints between these",
        ),
        one(
            "x-test-2k",
            "X-TEST, 2048 x 1080, x8",
            Window(32, tuple(range(4, 32, 4))),
            data_set="x-test",
            size=(1080, 2048),
            published=tables.X_TEST_2K,
            note="brought to 2K bicubic with antialiasing; quarters by the network, eighths as midpoints",
        ),
        one(
            "cityscapes",
            "Cityscapes 256 x 512, x4",
            _X4,
            size=(256, 512),
            published=tables.CITYSCAPES,
            note=paper,
        ),
        one(
            "mlb-youtube",
            "MLB-YouTube 360 x 720, x4",
            _X4,
            size=(360, 720),
            published=tables.MLB_YOUTUBE,
            note="size from the paper; clips of the subset testing, bicubic with antialiasing",
        ),
        one("gait", "CASIA gait, dataset A, x4", _X4, size=(240, 352), published=tables.GAIT),
        one("davis", "DAVIS 2017 480p, x2", _X2, note="every odd frame from its neighbors; no published rows"),
        one("folder-x2", "your clips, x2", _X2, data_set="folder"),
        one("folder-x4", "your clips, x4", _X4, data_set="folder"),
    ]


def _super_resolution() -> list[Protocol]:
    def one(name: str, title: str, data_set: str, degraded: str, metrics: dict[str, str], **more: Any) -> Protocol:
        return Protocol(name, title, "super-resolution", data_set, metrics, degradation=degraded, **more)

    center = {"scored": (3,)}
    return [
        one("vid4-bi-y", "Vid4 x4, BI, Y", "vid4", "bi", _Y, published=tables.VID4_BI_Y),
        one(
            "vid4-bd-y",
            "Vid4 x4, BD, Y",
            "vid4",
            "bd",
            _Y,
            published=tables.VID4_BD_Y,
            note="the published bicubic row's PSNR is met, its SSIM is not (0.543 here)",
        ),
        one("vid4-bi-rgb", "Vid4 x4, BI, RGB", "vid4", "bi", _RGB_PER_CHANNEL, published=tables.VID4_BI_RGB),
        one("vid4-bi-y-crop8", "Vid4 x4, BI, Y, cropped", "vid4", "bi", _Y, crop=8, published=tables.VID4_BI_Y_CROP8),
        one(
            "reds4-bi-rgb",
            "REDS4 x4, BI, RGB",
            "reds4",
            "bi",
            _RGB_PER_CHANNEL,
            published=tables.REDS4_BI_RGB,
        ),
        one("udm10-bd-y", "UDM10 x4, BD, Y", "udm10", "bd", _Y, published=tables.UDM10_BD_Y),
        one("udm10-bi-y", "UDM10 x4, BI, Y", "udm10", "bi", _Y),
        one("spmcs-bd-y", "SPMCS x4, BD, Y", "spmcs", "bd", _Y),
        one("spmcs-bi-y", "SPMCS x4, BI, Y", "spmcs", "bi", _Y),
        one("yuv25-bi-y", "25 YUV x4, BI, Y", "yuv25", "bi", _Y, published=tables.YUV25),
        one(
            "vimeo90k-t-bi-y",
            "Vimeo-90K-T x4, BI, Y, middle frame",
            "vimeo-septuplet",
            "bi",
            _Y,
            published=tables.VIMEO90K_T_BI_Y,
            **center,
        ),
        one(
            "vimeo90k-t-bd-y",
            "Vimeo-90K-T x4, BD, Y, middle frame",
            "vimeo-septuplet",
            "bd",
            _Y,
            published=tables.VIMEO90K_T_BD_Y,
            **center,
        ),
        one(
            "vimeo90k-t-bi-rgb",
            "Vimeo-90K-T x4, BI, RGB, middle frame",
            "vimeo-septuplet",
            "bi",
            _RGB,
            published=tables.VIMEO90K_T_BI_RGB,
            note="the LS3D paper's table 6; that its numbers are RGB follows from its bicubic row",
            **center,
        ),
        one("folder-bi-y", "your clips x4, BI, Y", "folder", "bi", _Y),
    ]


def _denoising() -> list[Protocol]:
    def one(name: str, title: str, data_set: str, degraded: str, metrics: dict[str, str], **more: Any) -> Protocol:
        return Protocol(name, title, "denoising", data_set, metrics, degradation=degraded, **more)

    unrounded = {"psnr": "psnr-rgb-float", "ssim": "ssim-3d-float"}
    protocols = []
    for sigma in (10, 20, 25, 30, 40, 50):
        noise = f"noise-{sigma}"
        rows = tables.SET8.get(sigma, ())
        more: dict[str, Any] = {"max_frames": 85, "note": "noise neither clipped nor rounded, output clamped"}
        title = f"Set8, sigma {sigma}"
        protocols.append(one(f"set8-{sigma}", title, "set8", noise, unrounded, published=rows, **more))
        rows = tables.DAVIS_TEST.get(sigma, ())
        title = f"DAVIS 2017 test-dev, sigma {sigma}"
        protocols.append(one(f"davis-test-{sigma}", title, "davis-test", noise, unrounded, published=rows, **more))
        title = f"your clips, sigma {sigma}"
        protocols.append(one(f"folder-{sigma}", title, "folder", noise, unrounded, note=more["note"]))
    for kind, degraded, rows in (
        ("15", "noise8-15", tables.VIMEO_NOISE_15),
        ("25", "noise8-25", tables.VIMEO_NOISE_25),
        ("mixed", "mixed", tables.VIMEO_MIXED),
    ):
        title = f"Vimeo-90K denoising, {'mixed noise' if kind == 'mixed' else f'sigma {kind}'}, middle frame"
        protocols.append(
            one(f"vimeo-noise-{kind}", title, "vimeo-septuplet", degraded, _RGB, scored=(3,), published=rows)
        )
    return protocols


#: Every protocol by name.
PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol for protocol in [*_interpolation(), *_super_resolution(), *_denoising()]
}


def get_protocol(name: str) -> Protocol:
    """Look a protocol up.

    Raises:
        InputError: there is none of this name.
    """
    if name not in PROTOCOLS:
        raise InputError(f"no protocol is called {name!r}; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
