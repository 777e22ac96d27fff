"""Published and independently computed scores on real footage, where the environment says it lies.

``LS3D_DATA`` is a folder with ``vid4``, ``ucf101`` and ``middlebury`` as ``ls3d evaluate --list`` describes
them. The numbers are of the complete sets: Vid4's bicubic row is every table's, the others are plain
averages computed apart.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ls3d.evaluation import evaluate

ROOT = Path(os.environ.get("LS3D_DATA", ""))


def folder(name: str) -> Path:
    if not os.environ.get("LS3D_DATA") or not (ROOT / name).is_dir():
        pytest.skip(f"LS3D_DATA has no folder {name}")
    return ROOT / name


@pytest.mark.slow
def test_bicubic_on_vid4_is_the_published_row() -> None:
    report = evaluate("bicubic", "vid4-bi-y", folder("vid4"))
    assert report.complete
    assert report.mean["psnr"] == pytest.approx(23.78, abs=0.006)
    assert report.mean["ssim"] == pytest.approx(0.6347, abs=0.0001)


@pytest.mark.slow
def test_bicubic_on_blurred_vid4_is_the_published_row() -> None:
    report = evaluate("bicubic", "vid4-bd-y", folder("vid4"))
    assert report.mean["psnr"] == pytest.approx(21.80, abs=0.01)


@pytest.mark.slow
def test_averages_of_two_frames() -> None:
    report = evaluate("blend", "middlebury", folder("middlebury"))
    assert report.complete
    assert report.mean["psnr"] == pytest.approx(28.01, abs=0.005)


@pytest.mark.slow
def test_averages_of_all_ucf101_triplets() -> None:
    report = evaluate("blend", "ucf101", folder("ucf101"))
    assert report.complete
    assert report.mean["psnr_float"] == pytest.approx(33.17, abs=0.005)
    assert report.mean["psnr"] == pytest.approx(33.13, abs=0.005)
