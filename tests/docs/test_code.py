"""The code of the documents runs: Python of every page, commands of the README, the tutorials and the guides.

Commands run on small rendered clips that have the names of the page's files. A page that takes minutes is slow.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from helpers.documents import PAGES, ROOT, blocks, name_of, shell_lines
from helpers.labeled import write_gray_videos
from helpers.videos import Clip

from ls3d.cli.main import main
from ls3d.models import registry

#: Pages whose commands run.
RUN = [page for page in PAGES if re.match(r"README|docs/(tutorials|how-to)/", name_of(page))]

SLOW = {
    "docs/how-to/fine-tune.md",
    "docs/how-to/old-family-video.md",
    "docs/tutorials/enhance-your-videos.md",
    "docs/tutorials/recognize-your-actions.md",
}

#: What is not a command of ls3d, or starts several processes, and does not run here. ``.ci/run`` runs the README's.
OTHER_PROGRAMS = ("git clone ", "cd ls3d", "python3 -m venv ", "source ", "pip install ", ".venv/bin/", "torchrun ")

#: Commands that need a network connection, or weights that only a network connection brings. They are parsed.
PARSED_ONLY = {
    "ls3d weights get i3d_inception",
    "ls3d classify holiday.mp4",
    "ls3d train --data actions --model i3d_inception output=runs/actions",
    "ls3d train --data actions --model i3d_inception output=runs/fine_tuned",
}

CLIPS = (
    *("holiday.mp4", "night.mp4", "old.mp4", "film.mkv", "examples/crossing.mp4"),
    *("nights/a1.mp4", "nights/b1.mp4", "clips/a.mp4", "clips/b.mp4"),
)

#: Frames of the clips, 12 for other pages, and frames per second, 25 for other pages.
FRAMES = {"docs/how-to/old-family-video.md": 3, "docs/tutorials/enhance-your-videos.md": 4}
RATES = {"docs/how-to/slow-motion.md": 5}

#: Arguments that make a training short, by the words with which its command begins.
SHORTER = {
    "ls3d train --data actions": "accelerator=cpu data.frames=4 data.size=[16,16] optimization.steps=2 "
    "optimization.batch_size=2 model.arguments.width=4",
    "ls3d train recipes/vfi/bundled.yaml": "accelerator=cpu data.held_out=1 data.crop=32 data.candidates=1 "
    "data.rendered=0 optimization.steps=2 optimization.batch_size=1 optimization.warm_up=1 precision=32-true",
}


def parameters(pages: list[Path]) -> list[Any]:
    marks = [[pytest.mark.slow] if name_of(page) in SLOW else [] for page in pages]
    return [pytest.param(page, id=name_of(page), marks=mark) for page, mark in zip(pages, marks, strict=True)]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python_of_the_documents_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks of a page, one after the other: later ones use names of earlier ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_builders", dict(registry._builders))
    monkeypatch.setattr(registry, "_infos", dict(registry._infos))
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for number, block in enumerate(blocks(page, "python"), 1):
        exec(compile(block, f"{name_of(page)}, block {number}", "exec"), module.__dict__)


def write_files(page: str, folder: Path) -> None:
    """Write everything that the commands of a page read."""
    for name in CLIPS:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        Clip(FRAMES.get(page, 12), (48, 64), rate=Fraction(RATES.get(page, 25))).write(path)
    for group in ("train", "test"):
        write_gray_videos(folder / "actions" / group, groups=False)
    shutil.copytree(ROOT / "recipes", folder / "recipes")


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command as the program does; its status must be 0."""
    more = [options for start, options in SHORTER.items() if command.startswith(start)]
    monkeypatch.setattr(sys, "argv", shlex.split(" ".join([command, *more])))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setenv("LS3D_KEEP_MEMORY", "0")
    status = 0
    try:
        main()
    except SystemExit as stop:
        status = int(stop.code or 0)
    assert status == 0, command


@pytest.mark.parametrize("page", parameters([page for page in RUN if shell_lines(page)]))
def test_commands_of_the_documents_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(name_of(page), tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for line in shell_lines(page):
        command = line.removeprefix(".venv/bin/")
        if not command.startswith("ls3d "):
            assert line.startswith(OTHER_PROGRAMS), line
        elif command not in PARSED_ONLY:
            run(command, monkeypatch)


def test_lists_of_exceptions_are_short() -> None:
    """Every command that does not run, and every slow page, exists."""
    lines = {line for page in RUN for line in shell_lines(page)}
    assert lines >= PARSED_ONLY
    assert {name_of(page) for page in RUN} >= SLOW
