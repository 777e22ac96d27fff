"""The documents are true to the code: their Python runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import typer

from ls3d.cli.main import app

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


def test_quality_table_is_what_was_measured() -> None:
    """Every figure of the README's table is the mean in its JSON file."""
    results = ROOT / "benchmarks" / "results" / "interpolation"
    rows = {
        "UCF101, all 379 triplets": "ucf101",
        "UCF101, 24 of them": "ucf101_24",
        "Middlebury-other, all 12 scenes": "middlebury",
        "Middlebury-other, 3 real scenes": "middlebury_3",
    }
    text = (ROOT / "README.md").read_text()
    for title, stem in rows.items():
        (figures,) = re.findall(rf"^\| {title} \|(.*)\|$", text, re.MULTILINE)
        for model, figure in zip(("blend", "minterpolate", "vfi"), figures.split("|"), strict=True):
            if figure.strip():
                measured = json.loads((results / f"{model}_{stem}.json").read_text())["mean"]["psnr"]
                assert figure.strip() == f"{measured:.2f}"
