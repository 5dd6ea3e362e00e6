"""A picture as a Mermaid flowchart, which GitHub and GitLab draw in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..ir.fields import dims
from .dot import rows_of, title_of
from .palette import LIGHT
from .picture import Frame, Picture


def to_mermaid(picture: Picture) -> str:
    """Return the picture as the text of a Mermaid flowchart."""
    return "\n".join(_lines(picture)) + "\n"


def _lines(picture: Picture) -> Iterator[str]:
    yield "---"
    yield f"title: {_quoted(picture.title)}"
    yield "---"
    yield "flowchart TB"
    yield f"  accTitle: {_plain(picture.title)}"
    yield f"  accDescr: {_plain(picture.about)}"
    yield from _parts(picture, picture.root, "  ")
    for source, target in picture.edges:
        yield f"  b{source} -->|{_quoted(dims(picture.boxes[source].shape))}| b{target}"
    used = {box.rows[0].family for box in picture.boxes}
    for family, fill in LIGHT.fills.items():
        if family in used:
            yield f"  classDef {family} fill:{fill},stroke:{LIGHT.line},color:{LIGHT.ink},text-align:left"


def _parts(picture: Picture, frame: Frame, indent: str) -> Iterator[str]:
    for part in frame.parts:
        if isinstance(part, int):
            box = picture.boxes[part]
            yield f"{indent}b{part}[{_quoted(*rows_of(box))}]:::{box.rows[0].family}"
        else:
            yield f"{indent}subgraph f{part.first}_{part.stop} [{_quoted(title_of(part))}]"
            yield from _parts(picture, part, indent + "  ")
            yield f"{indent}end"


def _quoted(*lines: str) -> str:
    """Return lines as one text in quotes; signs that Mermaid or HTML would read are written by their number."""
    return '"' + "<br/>".join(re.sub(r'["#<>&`\\]', lambda m: f"#{ord(m[0])};", line) for line in lines) + '"'


def _plain(text: str) -> str:
    return re.sub(r"[{}#;]", " ", text)
