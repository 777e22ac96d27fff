"""The page is complete HTML with the right pictures."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from ls3d.data.clips import Pixels
from ls3d.evaluation import evaluate
from ls3d.evaluation.fidelity.pictures import error_colors, worst_detail


class PageParser(HTMLParser):
    """Collects the images, the open tags, and tags that refer to other files."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.open: list[str] = []
        self.external: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "img":
            self.pictures.append(attributes["src"] or "")
            assert attributes.get("alt")
        if tag in {"link", "iframe"} or ("src" in attributes and not (attributes["src"] or "").startswith("data:")):
            self.external.append(tag)
        if tag not in {"img", "meta", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def decoded(source: str) -> Pixels:
    data = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
    with av.open(io.BytesIO(data), "r") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24").astype(np.uint8)


@pytest.mark.parametrize(
    ("model", "protocol", "data", "clips"),
    [("blend", "ucf101", "triplets", 5), ("bicubic", "vid4-bi-y", "sequences", 2)],
)
def test_page_is_complete_and_refers_to_no_other_file(
    model: str, protocol: str, data: str, clips: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(data)
    report = evaluate(model, protocol, folder, html_path=tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    parser = PageParser()
    parser.feed(text)
    assert parser.open == []
    assert parser.external == []
    assert "http" not in text
    assert len(parser.pictures) == 4 * clips  # truth, output, error, given
    assert len({decoded(source).shape for source in parser.pictures}) == 1
    assert f"{report.mean['psnr']:.2f}" in text


def test_pictures_show_truth_output_and_error(triplets: Path, tmp_path: Path) -> None:
    evaluate("blend", "ucf101", triplets, html_path=tmp_path / "r.html")
    parser = PageParser()
    parser.feed((tmp_path / "r.html").read_text())
    truth, output, error, given = (decoded(source).astype(int) for source in parser.pictures[:4])
    # The worst clip comes first: its true frame is 5 above the mean of the others, its first frame 4 below.
    assert (truth - output == 5).all()
    assert (output - given == 4).all()
    assert (error == error_colors(np.array(5.0))).all()


def test_clip_names_are_escaped(triplets: Path, tmp_path: Path) -> None:
    (triplets / "5").rename(triplets / "5<b>&")
    evaluate("blend", "ucf101", triplets, html_path=tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "5&lt;b&gt;&amp;" in text
    assert "5<b>" not in text


def test_error_colors_rise_from_black_to_white() -> None:
    levels = error_colors(np.linspace(0, 64, 7)).sum(axis=-1)
    assert levels[0] == 0
    assert levels[-1] == 3 * 255
    assert (np.diff(levels) > 0).all()
    assert error_colors(np.array([255.0])).tolist() == [[255, 255, 255]]


def test_the_detail_shows_the_largest_error() -> None:
    error = torch.zeros(600, 800)
    error[500:510, 700:710] = 100
    rows, columns = worst_detail(error)
    assert rows.start <= 500
    assert rows.stop >= 510
    assert columns.start <= 700
    assert columns.stop >= 710
    assert rows.stop <= 600
    assert columns.stop <= 800
