"""Hooks of the documentation site (``mkdocs.yml``).

* A line ``[include](FILE#HEADING)`` becomes the section of that heading, or the whole file without its title. A file
  that is not Markdown becomes a block of code. On GitHub the line is a link.
* Links to files outside of ``docs/`` lead to the page that includes them, or to the repository.
* Blocks of code in lists are indented by four spaces, as Python-Markdown needs them; GitHub needs three.
* The index of the search is written as a script, too, which a page that is read from the disk can load.
* ``<!-- commands -->`` becomes the reference of the command line, from its parsers.
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from typer.core import TyperGroup

ROOT = Path(__file__).parents[1]

#: Files of the repository that are pages of the site.
PAGES = {
    "CHANGELOG.md": "docs/release-notes.md",
    "CONTRIBUTING.md": "docs/contributing.md",
    "README.md": "docs/index.md",
    "SECURITY.md": "docs/security.md",
}

COMMANDS = "<!-- commands -->"
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]*)(#[^)\s]*)?(?=\))")
INCLUDE = re.compile(r"^\[include\]\((?P<file>[^)#]+)(?:#(?P<anchor>[^)]+))?\)$", re.MULTILINE)
FENCED = re.compile(r"^( *```.*?^ *```)", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Include sections of other files, and redirect links that leave ``docs/``."""
    path = f"docs/{page.file.src_uri}"
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, commands_of_the_program())
    markdown = redirect(include(markdown, path), path, str(config.repo_url))
    return FENCED.sub(lambda block: in_list(block[0]), markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Write the index of the search as a script."""
    index = Path(config.site_dir, "search", "search_index.json")
    index.with_suffix(".js").write_text(f"var __index = {index.read_text(encoding='utf-8')}", encoding="utf-8")


def in_list(block: str) -> str:
    """A block of code that is indented by three spaces, indented by four."""
    return re.sub(r"^(?= *\S)", " ", block, flags=re.MULTILINE) if block.startswith("   `") else block


def include(markdown: str, path: str) -> str:
    """Replace the lines ``[include](FILE#HEADING)`` of a page by what they name.

    Args:
        markdown: the page.
        path: of the page, from the root of the repository.
    """

    def included(match: re.Match[str]) -> str:
        source = posixpath.normpath(posixpath.join(posixpath.dirname(path), match["file"]))
        text = (ROOT / source).read_text(encoding="utf-8")
        if not source.endswith(".md"):
            return f"```{posixpath.splitext(source)[1][1:]}\n{text}```"
        return moved(section(text, match["anchor"]), source, path)

    return INCLUDE.sub(included, markdown)


def section(markdown: str, anchor: str | None) -> str:
    """The text below a heading up to the next one that is as high; without an anchor, all but the title.

    Raises:
        ValueError: there is no such heading.
    """
    if anchor is None:
        return re.sub(r"\A# .*\n", "", markdown).strip()
    found: list[str] = []
    level = 0
    for part in FENCED.split(markdown):
        is_code = part.lstrip().startswith("```")
        lines = [part] if is_code else re.split(r"^(?=#+ )", part, flags=re.MULTILINE)
        for text in lines:
            heading = re.match(r"(#+) (.*)\n?", text)
            if heading and level and len(heading[1]) <= level:
                return "".join(found).strip()
            if heading and not level and slug(heading[2]) == anchor:
                level = len(heading[1])
                text = text[heading.end() :]
            if level:
                found.append(text)
    if not level:
        raise ValueError(f"no heading is #{anchor}")
    return "".join(found).strip()


def slug(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links_replaced(markdown: str, replace: Any) -> str:
    """``replace(target, anchor)`` for each relative link outside of code blocks."""
    parts = FENCED.split(markdown)
    replaced = [
        part if part.lstrip().startswith("```") else LINK.sub(lambda match: replace(match[1], match[2] or ""), part)
        for part in parts
    ]
    return "".join(replaced)


def moved(markdown: str, source: str, target: str) -> str:
    """The text of one file with the links that it needs in another one."""

    def replace(link: str, anchor: str) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link)) if link else source
        return posixpath.relpath(path, posixpath.dirname(target)) + anchor

    return links_replaced(markdown, replace)


def redirect(markdown: str, path: str, repository: str) -> str:
    """A page whose links to files outside of ``docs/`` lead to the pages of these files, or to the repository."""
    folder = posixpath.dirname(path)

    def replace(link: str, anchor: str) -> str:
        file = posixpath.normpath(posixpath.join(folder, link))
        if not link or file.startswith("docs/"):
            return link + anchor
        if file in PAGES:
            return posixpath.relpath(PAGES[file], folder) + anchor
        kind = "tree" if (ROOT / file).is_dir() else "blob"
        return f"{repository}/{kind}/main/{file}{anchor}"

    return links_replaced(markdown, replace)


def commands_of_the_program() -> str:
    """All commands with their arguments and options, in Markdown."""
    from ls3d.cli.main import app

    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    lines = []
    for words, command in commands(group, ["ls3d"]):
        context = command.make_context(words[-1], [], resilient_parsing=True)
        usage = " ".join([*words, *command.collect_usage_pieces(context)])
        lines += [f"## {' '.join(words)}", "", "```text", usage, "```", "", *description(command.help or ""), ""]
        lines += parameter_table(command, context)
    return "\n".join(lines)


def commands(group: TyperGroup, words: list[str]) -> Iterator[tuple[list[str], Any]]:
    """The words and the parser of each command, those of groups included."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, [*words, name])
        else:
            yield [*words, name], command


def description(text: str) -> list[str]:
    """The help text of a command, and its examples as a block of code."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text.strip())]
    examples = [words.removeprefix("Example: ") for words in paragraphs if words.startswith("Example: ")]
    lines = [line for words in paragraphs if not words.startswith("Example: ") for line in (escaped(words), "")]
    return [*lines, "```text", *examples, "```", ""] if examples else lines


def parameter_table(command: Any, context: Any) -> list[str]:
    """A row for each argument and option."""
    rows = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        record = parameter.get_help_record(context)
        if record is not None:
            names, text = record
            rows.append(f"| `{names.strip()}` | {escaped(text)} |".replace("\n", " "))
    return ["| argument or option | meaning |", "|---|---|", *rows, ""] if rows else []


def escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([|*_\[\]])", r"\\\1", html.escape(text, quote=False))
