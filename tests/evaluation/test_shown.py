"""What a reader sees: the terminal's table, the page, the command."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from ls3d.cli.main import app
from ls3d.evaluation import PROTOCOLS, evaluate
from ls3d.evaluation.page import _heat, _worst_place
from ls3d.evaluation.table import show


def text_of(report) -> str:
    console = Console(file=io.StringIO(), width=160)
    show(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_terminal_has_every_clip_every_published_row_and_ours_in_place(triplets: Path) -> None:
    report = evaluate("blend", "ucf101", triplets)
    text = text_of(report)
    for row in PROTOCOLS["ucf101"].published:
        assert f"{row.scores['psnr']:.2f}" in text
    lines = [line for line in text.splitlines() if re.search(r"measured|SepConv|TOFlow", line)]
    # 20 log10(255 / n) has a mean of 39.8 dB here: beyond every published row.
    assert "measured" in lines[-1]
    assert f"{report.mean['psnr']:.2f}" in lines[-1]
    assert f"{report.mean['ssim']:.4f}" in lines[-1]
    assert "Not the complete set" in text


class Reader(HTMLParser):
    """Collects pictures, texts, and tags that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        if tag == "img":
            self.pictures.append(facts["src"] or "")
            assert facts.get("alt")
        if tag in {"link", "iframe"} or ("src" in facts and not (facts["src"] or "").startswith("data:")):
            self.outside.append(tag)
        if tag not in {"img", "meta", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def decoded(source: str) -> np.ndarray:
    data = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
    with av.open(io.BytesIO(data)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


@pytest.mark.parametrize(
    ("model", "protocol", "data", "clips"),
    [("blend", "ucf101", "triplets", 5), ("bicubic", "vid4-bi-y", "sequences", 2)],
)
def test_page_is_whole_and_needs_nothing_else(
    model: str, protocol: str, data: str, clips: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(data)
    report = evaluate(model, protocol, folder, html_path=tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert reader.outside == []
    assert "http" not in text
    assert len(reader.pictures) == 4 * clips  # truth, output, error, given
    assert len({decoded(source).shape for source in reader.pictures}) == 1
    assert f"{report.mean['psnr']:.2f}" in text


def test_pictures_show_truth_output_and_error(triplets: Path, tmp_path: Path) -> None:
    evaluate("blend", "ucf101", triplets, html_path=tmp_path / "r.html")
    reader = Reader()
    reader.feed((tmp_path / "r.html").read_text())
    truth, output, error, given = (decoded(source).astype(int) for source in reader.pictures[:4])
    # The worst clip comes first: its truth is 5 off the mean of the frames, its first frame 4 below that.
    assert (truth - output == 5).all()
    assert (output - given == 4).all()
    assert (error == _heat(np.array(5.0))).all()


def test_names_are_escaped(triplets: Path, tmp_path: Path) -> None:
    (triplets / "5").rename(triplets / "5<b>&")
    evaluate("blend", "ucf101", triplets, html_path=tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "5&lt;b&gt;&amp;" in text
    assert "5<b>" not in text


def test_error_colors_rise_from_black_to_white() -> None:
    levels = _heat(np.linspace(0, 64, 7)).sum(axis=-1)
    assert levels[0] == 0
    assert levels[-1] == 3 * 255
    assert (np.diff(levels) > 0).all()
    assert _heat(np.array([255.0])).tolist() == [[255, 255, 255]]


def test_the_cut_out_lies_where_the_error_is() -> None:
    import torch

    error = torch.zeros(600, 800)
    error[500:510, 700:710] = 100
    rows, columns = _worst_place(error)
    assert rows.start <= 500
    assert rows.stop >= 510
    assert columns.start <= 700
    assert columns.stop >= 710
    assert rows.stop <= 600
    assert columns.stop <= 800


def test_command_prints_and_writes(triplets: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", "blend", "--protocol", "ucf101", "--data", str(triplets)]
    result = CliRunner().invoke(app, [*arguments, "--json", str(tmp_path / "r.json")])
    assert result.exit_code == 0, result.output
    assert "blend (measured)" in result.stdout
    assert (tmp_path / "r.json").is_file()


def test_command_lists_protocols() -> None:
    result = CliRunner().invoke(app, ["evaluate", "--list"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for name in PROTOCOLS:
        assert name in result.stdout


def test_command_says_what_is_missing() -> None:
    result = CliRunner().invoke(app, ["evaluate", "blend"])
    assert result.exit_code != 0
    assert "--protocol" in str(result.exception)
