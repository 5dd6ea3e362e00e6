"""A picture in the language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator

from ..ir.fields import dims
from .layout import frame_note
from .palette import LIGHT
from .picture import Box, Frame, Picture, params_of


def to_dot(picture: Picture) -> str:
    """Return the picture as the text of a DOT file."""
    return "\n".join(_lines(picture)) + "\n"


def _lines(picture: Picture) -> Iterator[str]:
    yield "digraph net {"
    yield f"  label={_quoted(picture.title)}; labelloc=t; rankdir=TB"
    yield f"  bgcolor={_quoted(LIGHT.ground)}"
    yield '  node [shape=box, style=filled, fontname="monospace", fontsize=10, margin="0.1,0.05"]'
    yield '  edge [fontname="monospace", fontsize=9]'
    yield from _parts(picture, picture.root, "  ")
    for source, target in picture.edges:
        yield f"  b{source} -> b{target} [label={_quoted(dims(picture.boxes[source].shape))}]"
    yield "}"


def _parts(picture: Picture, frame: Frame, indent: str) -> Iterator[str]:
    for part in frame.parts:
        if isinstance(part, int):
            box = picture.boxes[part]
            fill = LIGHT.fills[box.rows[0].family]
            yield f"{indent}b{part} [label={_quoted(*rows_of(box))}, fillcolor={_quoted(fill)}]"
        else:
            yield f"{indent}subgraph cluster_{part.first}_{part.stop} {{"
            yield f"{indent}  label={_quoted(title_of(part))}; style=rounded"
            yield from _parts(picture, part, indent + "  ")
            yield f"{indent}}}"


def rows_of(box: Box) -> list[str]:
    """Return the rows of a box as lines of text, parameters behind the layer."""
    return [f"{row.text}  {params_of(row)}".rstrip() for row in box.rows]


def title_of(frame: Frame) -> str:
    """Return the title of a frame, with its parameters."""
    return f"{frame.title}  {frame_note(frame)}".rstrip()


def _quoted(*lines: str) -> str:
    return '"' + "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'
