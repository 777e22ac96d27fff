"""The documentation site: its hooks, its navigation, and the whole of it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from helpers.documents import ROOT
from helpers.scripts import load_script

needs_mkdocs = pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs --group docs")

PAGE = """# Title

Before.

## Install it

See [a page](docs/page.md#part), [here](#use-it) and [the code](src/a.py).

```sh
# Use it
```

### Details

More.

## Use it

After.
"""


@pytest.fixture
def hooks() -> ModuleType:
    pytest.importorskip("mkdocs")
    return load_script("site_hooks")


def test_every_page_is_in_the_navigation() -> None:
    """Without mkdocs, which compares both, too."""
    text = (ROOT / "mkdocs.yml").read_text()
    listed = re.findall(r"(?:: |- )([\w/-]+\.md)$", text, re.MULTILINE)
    pages = sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))
    assert sorted(listed) == pages


def test_nothing_is_loaded_from_other_servers() -> None:
    settings = yaml.load((ROOT / "mkdocs.yml").read_text(), yaml.BaseLoader)  # strings only
    assert settings["theme"]["font"] == "false"
    assert not [path for path in settings["extra_css"] if "://" in path]
    for page in (ROOT / "docs").rglob("*.md"):
        assert not re.search(r"!\[[^\]]*\]\(http|<(?:img|script|iframe|link)\b[^>]*http", page.read_text()), page


def test_a_section_ends_at_the_next_heading_as_high(hooks: ModuleType) -> None:
    found = hooks.section(PAGE, "install-it")
    assert found.startswith("See [a page]")
    assert found.endswith("### Details\n\nMore.")
    assert "# Use it\n```" in found
    assert hooks.section(PAGE, "use-it") == "After."
    assert hooks.section(PAGE, None).startswith("Before.")
    with pytest.raises(ValueError, match="no heading is #other"):
        hooks.section(PAGE, "other")


def test_links_move_with_their_text(hooks: ModuleType) -> None:
    moved = hooks.moved(hooks.section(PAGE, "install-it"), "README.md", "docs/tutorials/index.md")
    assert "[a page](../page.md#part)" in moved
    assert "[here](../../README.md#use-it)" in moved
    redirected = hooks.redirect(moved, "docs/tutorials/index.md", "https://example.org/ls3d")
    assert "[a page](../page.md#part)" in redirected
    assert "[here](../index.md#use-it)" in redirected
    assert "[the code](https://example.org/ls3d/blob/main/src/a.py)" in redirected


def test_the_reference_has_every_command_and_option(hooks: ModuleType) -> None:
    text = hooks.commands_of_the_program()
    for words in ("ls3d interpolate", "ls3d weights get", "ls3d doctor"):
        assert f"\n## {words}\n" in f"\n{text}"
    assert "| `--factor FACTOR` | How many times more frames" in text
    assert "```text\nls3d interpolate film.mkv smooth.mkv --factor 2.5\n" in text


@needs_mkdocs
@pytest.mark.slow
def test_the_site_is_built_without_warnings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    subprocess.run(command, cwd=ROOT, check=True)
    loads = (
        r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"?https?:|<link\b[^>]*rel=\"?(?:stylesheet|preconnect)[^>]*http"
    )
    for page in (tmp_path / "site").rglob("*.html"):
        assert not re.search(loads, page.read_text()), page
