"""Documents agree with the code: their commands parse, their links and paths exist.

Tables are compared with their sources: the layers with pyproject.toml, scores with benchmarks/results.
"""

from __future__ import annotations

import json
import re
import shlex
import statistics
import tomllib
from pathlib import Path

import pytest
import typer
from helpers.documents import PAGES, ROOT, name_of, shell_lines
from helpers.scripts import load_script
from typer.core import TyperGroup

from ls3d._version import __version__
from ls3d.cli.enhance import shown_options
from ls3d.cli.main import app
from ls3d.enhance.presets import PRESETS
from ls3d.evaluation import PROTOCOLS
from ls3d.models import bundled_weights, read_metadata

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = PYPROJECT["tool"]["importlinter"]["contracts"]

each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def commands() -> list[tuple[str, str]]:
    """Page and command for every command of ls3d in the pages."""
    found = []
    for page in PAGES:
        for line in shell_lines(page):
            words = re.sub(r"^(\.venv/bin/|torchrun .* -m (?=ls3d ))", "", line)
            if words.startswith("ls3d "):
                found.append((name_of(page), words))
    return found


@pytest.mark.parametrize(("page", "command"), commands())
def test_commands_of_the_documents_parse(page: str, command: str) -> None:
    """Click parses the words as it would for a user, and stops before the command runs."""
    name, *arguments = shlex.split(command)[1:]
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    if not name.startswith("-"):
        group.commands[name].make_context(name, arguments, resilient_parsing=False)


def test_release_notes_and_citation_are_of_this_version() -> None:
    assert re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0] == __version__
    assert re.findall(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text(), re.MULTILINE) == [__version__]


def test_make_targets_of_the_documents_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for words in re.findall(r"(?:`|^)make ([\w ]+)", page.read_text(), re.MULTILINE):
            assert set(words.split()) <= targets, f"{page.name}: make {words}"


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_of_the_documents_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)", page.read_text()):
        target, _, anchor = link.partition("#")
        if not target.startswith("http"):
            file = page.parent / target if target else page
            assert file.exists(), link
            assert not anchor or anchor in anchors(file), link


@each_page
def test_paths_in_the_documents_exist(page: Path) -> None:
    """Every `path/like/this`, from the root, ``src``, ``src/ls3d`` or ``tests``; ``runs`` is where trainings write."""
    for path in re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", page.read_text()):
        if not path.startswith("runs/"):
            assert any((ROOT / base / path).exists() for base in ("", "src", "src/ls3d", "tests")), path


def documented_layers() -> list[tuple[int, set[str]]]:
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    return [(int(number), set(re.findall(r"`(\w+)`", packages))) for number, packages in rows]


def test_documented_layers_are_those_of_the_contract() -> None:
    """Packages in parentheses are optional: the contract reserves their layer before they exist."""
    (contract,) = (contract for contract in CONTRACTS if contract["type"] == "layers")
    layers = []
    for line in contract["layers"]:
        names = {name.strip(" ()") for name in re.split(r"[|:]", line)}
        present = {name for name in names if list((ROOT / "src" / "ls3d").glob(f"{name}*"))}
        if present:
            layers.append(present)
    assert documented_layers() == list(zip(range(len(layers) - 1, -1, -1), layers, strict=True))


def test_documented_homes_are_those_of_the_contracts() -> None:
    """The table of third-party packages has every protected package and every module that may import it."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    _, _, section = page.partition("### Third-party packages")
    for contract in CONTRACTS:
        if contract["type"] == "protected":
            (row,) = (line for line in section.splitlines() if line.startswith("|") and names_all(line, contract))
            assert set(re.findall(r"`([\w.]+)`", row)) == set(contract["allowed_importers"])


def names_all(row: str, contract: dict[str, list[str]]) -> bool:
    titles = {"av": "pyav", "yaml": "pyyaml", "PIL": "pillow"}
    return all(titles.get(name, name) in row.lower().split("|")[1] for name in contract["protected_modules"])


def test_notice_names_the_clips_behind_the_weights() -> None:
    clips = {line.strip() for line in (ROOT / "NOTICE").read_text().splitlines() if ".mp4: " in line}
    for path in bundled_weights().values():
        assert set(read_metadata(path)["training_data"]) == clips


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
            _, score = load_script("measured_scores").read_report(path)
            assert figure == f"{score.psnr:.2f}"


def test_published_figures_are_of_the_same_protocol() -> None:
    quoted = {title: row["published"] for title, row in quality_rows().items() if row["published"]}
    assert set(quoted) == {"UCF101, all 379 triplets", "Vid4, all 171 frames"}
    for title, name in (("UCF101, all 379 triplets", "ucf101"), ("Vid4, all 171 frames", "vid4-bi-y")):
        published = {row.method: row.scores["psnr"] for row in PROTOCOLS[name].published}
        for quote in quoted[title].split(", "):
            method, figure = quote.split()
            assert published[method] == float(figure)


@pytest.mark.parametrize(
    ("title", "stem"),
    [
        ("UCF101, 24 triplets", "ucf101_24"),
        ("Middlebury-other, 3 real scenes", "middlebury_3"),
        ("DAVIS, the 30 triplets of AdaCoF", "davis"),
    ],
)
def test_documented_sharpness_is_what_was_measured(title: str, stem: str) -> None:
    """``docs/interpolation.md`` has the means of each file in the order of its columns."""
    result = json.loads((ROOT / "benchmarks" / "results" / "sharpness" / f"{stem}.json").read_text())
    _, _, section = (ROOT / "docs" / "interpolation.md").read_text().partition("\n## Sharpness\n")
    columns = ["blend", "minterpolate", "bilateral", "vfi"]
    cells = [f"{result['models'][model]['mean']:.3f}" for model in columns]
    assert f"| | {' | '.join(f'`{model}`' for model in columns)} |" in section
    assert f"| {title} | {' | '.join(cells)} |" in section


def test_benchmarks_of_motion_without_a_kernel_are_shown(tmp_path: Path) -> None:
    row = {"size": "360p", "kernel": None, "plain_torch": 12.0, "model": 3.0}
    (tmp_path / "machine.json").write_text(json.dumps({"rows": [row]}))
    section = load_script("plot", "benchmarks").motion_section([tmp_path / "machine.json"])
    assert "| machine | 360p |  | 12.0 | 3.00 |" in section


REPRODUCED = sorted((ROOT / "benchmarks" / "results" / "reproduce").glob("table*.json"))


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


def test_the_experiment_with_rendered_motion_is_what_was_measured() -> None:
    """``docs/reproduction.md`` has a line for every row of the experiment."""
    result = json.loads((ROOT / "benchmarks" / "results" / "reproduce" / "rendered_motion.json").read_text())
    page = (ROOT / "docs" / "reproduction.md").read_text()
    distances = re.findall(r"(\d+) px", next(line for line in page.splitlines() if line.startswith("| row | 0 px")))
    for row in {training["row"] for training in result["trainings"]}:
        scores = [training["psnr"] for training in result["trainings"] if training["row"] == row]
        assert len(scores) == 5
        columns = [[score[distance] for score in scores] for distance in distances]
        cells = [f"{statistics.fmean(column):.2f} ± {statistics.stdev(column):.2f}" for column in columns]
        assert f"| {row} | {' | '.join(cells)} |" in page


def test_scores_of_the_order_of_steps_are_those_of_the_result() -> None:
    mean = json.loads((ROOT / "benchmarks" / "results" / "steps" / "order.json").read_text())["mean"]
    page = (ROOT / "docs" / "enhancement.md").read_text()
    rows = re.findall(r"^\| (?:kept|new) frames, .* \| ([\d.]+) \| ([\d.]+) \|$", page, re.MULTILINE)
    names = [f"kept frames, denoised {when}" for when in ("before", "after")]
    names += [f"new frames, enlarged {when}" for when in ("before", "after")]
    assert [figure for row in rows for figure in row] == [f"{mean[name]:.2f}" for name in names]


@pytest.mark.parametrize("stem", ["spread", "trained_alike"])
def test_documented_spread_of_samples_is_what_was_measured(stem: str) -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "sampling" / f"{stem}.json").read_text())
    page = (ROOT / "docs" / "sampling.md").read_text()
    for name, measured in result["networks"].items():
        spreads = [measured["median_spread"][distance] for distance in ("0", "2", "6", "16")]
        figures = [measured["spearman"], *spreads, abs(measured["share_of_motion_followed"])]
        assert f"| `{name}` | {' | '.join(f'{figure:.2f}' for figure in figures)} |" in page


@pytest.mark.parametrize("preset", PRESETS)
def test_documented_presets_are_their_options(preset: str) -> None:
    row = f"| `{preset}` | `{shown_options(PRESETS[preset])}` |"
    assert row in (ROOT / "docs" / "enhancement.md").read_text()
