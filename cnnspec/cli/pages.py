"""The pages of the manual as the terminal shows them: docs/*.md, cut into sections, their Markdown made plain.

A checkout has them in its folder docs, a wheel inside the package; either way it is the same text.
"""

from __future__ import annotations

import functools
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..places import carried

NAMES = ("language", "data", "training", "cli", "python", "errors", "lint", "first-start")


@dataclass(frozen=True)
class Section:
    """A heading of a page and the text below it; that before the first ``##`` stands under the page's title."""

    page: str
    title: str
    text: str


def pages_folder() -> Path:
    """Return the folder of the pages: inside the package (as the wheel has it), else beside it (in a checkout)."""
    return carried("manual", "docs")


@functools.cache
def sections() -> tuple[Section, ...]:
    """Return the sections of all pages; of a page that is not there none."""
    found = []
    for page in NAMES:
        try:
            text = (pages_folder() / f"{page}.md").read_text(encoding="utf-8")
        except OSError:
            continue
        for part in _parts(text):
            heading, _, body = part.partition("\n")
            if heading:
                found.append(Section(page, heading.lstrip("# ").replace("`", ""), body.strip("\n")))
    return tuple(found)


def _parts(text: str) -> Iterator[str]:
    """Yield a page in parts that begin with a heading; a comment in a block of code is none."""
    held = ""
    for part in re.split(r"^(?=#{1,2} )", text, flags=re.MULTILINE):
        held += part
        if held.count("```") % 2 == 0:
            yield held
            held = ""


def plain(markdown: str, width: int) -> str:
    """Return Markdown as text of a width: paragraphs and lists wrapped, code indented, tables in columns."""
    blocks = []
    for part in re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL):
        if part.startswith("```"):
            code = part.split("\n")[1:-1]
            blocks.append("\n".join(f"    {line}".rstrip() for line in code))
            continue
        blocks += ["\n".join(_block(block, width)) for block in re.split(r"\n\s*\n", part.strip()) if block.strip()]
    return "\n\n".join(blocks)


def _block(block: str, width: int) -> Iterator[str]:
    """Yield the lines of a heading, a table, a list or a paragraph."""
    block = re.sub(r"!\[([^]]*)\]\([^)]*\)", r"(picture: \1)", block)
    block = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", block)  # links
    lines = block.split("\n")
    if lines[0].startswith("#"):
        title = lines[0].lstrip("# ")
        yield from (title, "-" * len(title))
        lines = lines[1:]
    if lines and lines[0].startswith("|"):
        yield from _table(lines, width)
        return
    for item in re.split(r"\n(?=- )", "\n".join(lines)):
        hang = "  " if item.startswith("- ") else ""
        yield from textwrap.wrap(" ".join(item.split()), width, subsequent_indent=hang, break_on_hyphens=False)


def _table(lines: list[str], width: int) -> Iterator[str]:
    rows = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    rows = [row for row in rows if not all(set(cell) <= set("-: ") for cell in row) or not "".join(row).strip()]
    *widths, _ = (max(len(row[i]) for row in rows) for i in range(len(rows[0])))
    widths = [min(w, width // 3) for w in widths]
    for row in rows:
        room = max(20, width - sum(widths) - 2 * len(widths) - 2)
        columns = [textwrap.wrap(cell, w) or [""] for cell, w in zip(row, [*widths, room], strict=True)]
        for i in range(max(map(len, columns))):
            cells = [column[i] if i < len(column) else "" for column in columns]
            yield ("  " + "  ".join(c.ljust(w) for c, w in zip(cells, [*widths, 0], strict=True))).rstrip()
