"""The table in the terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console

from ls3d.data import get_data_set
from ls3d.evaluation import ClipScore, EvaluationReport, evaluate, get_protocol
from ls3d.evaluation.table import format_score, heading, ranked_rows, remarks, show
from ls3d.metrics import METRICS


def text_of(report: EvaluationReport) -> str:
    file = io.StringIO()
    show(report, Console(file=file, width=160))
    return file.getvalue()


def test_terminal_has_every_clip_every_published_row_and_the_measured_row_in_order(triplets: Path) -> None:
    report = evaluate("blend", "ucf101", triplets)
    text = text_of(report)
    for row in get_protocol("ucf101").published:
        assert f"{row.scores['psnr']:.2f}" in text
    lines = [line for line in text.splitlines() if re.search(r"measured|SepConv|TOFlow", line)]
    # The mean of 20 log10(255 / n) is 39.8 dB here: better than every published row.
    assert "measured" in lines[-1]
    assert f"{report.mean['psnr']:.2f}" in lines[-1]
    assert f"{report.mean['ssim']:.4f}" in lines[-1]
    assert "Not the complete set" in text


def test_rows_are_ranked_by_the_first_column_that_papers_print() -> None:
    protocol = get_protocol("middlebury")
    scores = dict.fromkeys(protocol.metrics, 0.0) | {"psnr": 20.0, "ie_abs": 2.0}
    report = EvaluationReport(protocol, "mine", {}, {"a": ClipScore(scores, 1, 1)})
    methods = [row.method for row in ranked_rows(report)]
    assert methods[0] == "CAIN"  # 2.28, the largest error
    place = methods.index("mine (measured)")
    assert methods[place - 1 : place + 2] == ["ABME", "mine (measured)", "RIFE"]  # 2.01, 2.00, 1.96


def test_scores_have_as_many_digits_as_papers_print() -> None:
    assert format_score(METRICS["psnr-rgb"], 33.128) == "33.13"
    assert format_score(METRICS["ssim-3d"], 0.97) == "0.9700"
    assert format_score(METRICS["ie"], 2.284) == "2.28"
    assert format_score(METRICS["psnr-rgb"], float("inf")) == "inf"
    assert format_score(METRICS["psnr-rgb"], None) == ""
    assert heading("psnr_float") == "PSNR float"


def test_a_complete_set_has_no_remark_on_missing_clips() -> None:
    protocol = get_protocol("davis-triplets")
    score = ClipScore(dict.fromkeys(protocol.metrics, 1.0), 1, 1)
    whole = EvaluationReport(protocol, "mine", {}, {str(n): score for n in range(30)})
    assert whole.complete
    assert not any("Not the complete set" in line for line in remarks(whole))
    assert get_data_set("davis-triplets").clips == 30
