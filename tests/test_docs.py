"""The documents are true to the code: their Python runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import typer

from ls3d.cli.main import app
from ls3d.evaluation import PROTOCOLS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(page.read_text()) if name == language]


def commands() -> list[tuple[str, str]]:
    """Every ``ls3d ...`` command of the documents, without its comment."""
    found = []
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in re.split(r"\n|&&", block):
                words = line.partition("#")[0].strip().removeprefix(".venv/bin/")
                if words.startswith("ls3d "):
                    found.append((page.name, words))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_of_the_documents_runs(page: Path) -> None:
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), {})


@pytest.mark.parametrize(("page", "command"), commands())
def test_commands_of_the_documents_parse(page: str, command: str) -> None:
    """Click reads the words as it would for a user, and stops before the command runs."""
    name, *arguments = shlex.split(command)[1:]
    group = typer.main.get_command(app)
    if name.startswith("-"):
        return
    subcommand = group.commands[name]  # type: ignore[attr-defined]
    subcommand.make_context(name, arguments, resilient_parsing=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_the_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


#: Rows of the README's tables of quality, and the folder and file name in ``benchmarks/results`` of their scores.
QUALITY = {
    "UCF101, all 379 triplets": ("interpolation", "ucf101"),
    "UCF101, 24 of them": ("interpolation", "ucf101_24"),
    "Middlebury-other, all 12 scenes": ("interpolation", "middlebury"),
    "Middlebury-other, 3 real scenes": ("interpolation", "middlebury_3"),
    "DAVIS, the 30 triplets of AdaCoF": ("interpolation", "davis"),
    "Vid4, all 171 frames": ("super-resolution", "vid4"),
    "Vid4, the first 7 frames of calendar and walk": ("super-resolution", "vid4_2"),
    "Set8's four GoPro clips, 157 frames": ("denoising", "set8_gopro"),
    "Set8, the first 3 frames of motorbike": ("denoising", "set8_gopro_3"),
}


def quality_rows() -> dict[str, dict[str, str]]:
    """The README's tables of quality: figures by row and column. A column is a model, or "published"."""
    found = {}
    columns: list[str] = []
    for line in (ROOT / "README.md").read_text().splitlines():
        title, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if "PSNR" in title:
            columns = [cell.split()[0].strip("`") for cell in cells]
        elif line.startswith("| "):
            found[title] = dict(zip(columns, cells, strict=True))
    return found


def test_every_row_of_the_quality_tables_is_known() -> None:
    assert set(quality_rows()) == set(QUALITY)


@pytest.mark.parametrize("title", QUALITY)
def test_quality_tables_agree_with_the_results(title: str) -> None:
    """Every figure is the mean in its JSON file."""
    folder, stem = QUALITY[title]
    for model, figure in quality_rows()[title].items():
        if figure and model != "published":
            path = ROOT / "benchmarks" / "results" / folder / f"{model}_{stem}.json"
            assert figure == f"{json.loads(path.read_text())['mean']['psnr']:.2f}"


def test_published_figures_are_of_the_same_protocol() -> None:
    quoted = {title: row["published"] for title, row in quality_rows().items() if row["published"]}
    assert set(quoted) == {"UCF101, all 379 triplets", "Vid4, all 171 frames"}
    for title, name in (("UCF101, all 379 triplets", "ucf101"), ("Vid4, all 171 frames", "vid4-bi-y")):
        published = {row.method: row.scores["psnr"] for row in PROTOCOLS[name].published}
        for quote in quoted[title].split(", "):
            method, figure = quote.split()
            assert published[method] == float(figure)


REPRODUCED = sorted((ROOT / "benchmarks" / "results" / "reproduce").glob("*.json"))


@pytest.mark.parametrize("path", REPRODUCED, ids=lambda path: path.stem)
def test_reproduced_tables_are_what_was_measured(path: Path) -> None:
    """``docs/reproduction.md`` has every row of every file, under the heading of its table and test."""
    result = json.loads(path.read_text())
    sections = (ROOT / "docs" / "reproduction.md").read_text().split("\n## ")
    number = path.stem.removeprefix("table")
    for row in result["rows"]:
        (section,) = (
            text
            for text in sections
            if text.startswith(f"Table {number}:")
            and (len(result["weightless"]) == 1 or text.splitlines()[0].endswith(row["column"]))
        )
        weightless = result["weightless"][row["column"]]
        assert f"| {weightless['model']} | | {weightless['psnr']:.2f} |" in section
        ours = f"{row['mean']['psnr']:.2f} ± {row['spread']['psnr']:.2f}"
        assert f"| {row['method']} | {row['published']['psnr']:.2f} | {ours} |" in section
