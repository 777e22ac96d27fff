"""Published and independently computed scores on the complete data sets, if they are available.

The environment variable ``LS3D_DATA`` is a folder with ``vid4``, ``ucf101``, ``middlebury`` and ``davis-triplets``,
each in the layout of its official archive. Vid4's bicubic row is in every table; the scores of the average of two
frames were computed independently.
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
def test_blending_on_middlebury() -> None:
    report = evaluate("blend", "middlebury", folder("middlebury"))
    assert report.complete
    assert report.mean["psnr"] == pytest.approx(28.01, abs=0.005)


@pytest.mark.slow
def test_blending_on_ucf101() -> None:
    report = evaluate("blend", "ucf101", folder("ucf101"))
    assert report.complete
    assert report.mean["psnr_float"] == pytest.approx(33.17, abs=0.005)
    assert report.mean["psnr"] == pytest.approx(33.13, abs=0.005)


@pytest.mark.slow
def test_blending_on_the_davis_triplets() -> None:
    report = evaluate("blend", "davis-triplets", folder("davis-triplets"))
    assert report.complete
    assert report.mean["psnr"] == pytest.approx(21.91, abs=0.005)
