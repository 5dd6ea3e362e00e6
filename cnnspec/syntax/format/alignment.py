"""Which neighbours are set below each other: labels, the words of sections, arguments of like calls, arrows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

from .. import ast
from .expressions import one_of_several
from .page import PLAIN, WIDTH, Alignment, Page

LONGEST = 20  # characters of a label or a word that its neighbours are set by
_BLANK = re.compile(r"\n[ \t\r]*\n")

T = TypeVar("T")


def alignments(page: Page, nodes: Sequence[ast.Statement], words: bool) -> list[Alignment]:
    """Return the alignment of each statement; ``words`` asks for one of first words, as in sections.

    A blank line between two statements ends what is set below each other.
    """
    found: list[Alignment] = []
    for run in _runs(page, nodes):
        aligned = [PLAIN] * len(run)
        _labels(run, aligned)
        if words:
            _words(run, aligned)
        else:
            _columns(page, run, aligned)
        _arrows(page, run, aligned)
        found += aligned
    return found


def _runs(page: Page, nodes: Sequence[ast.Statement]) -> Iterator[list[ast.Statement]]:
    run: list[ast.Statement] = []
    for node in nodes:
        if run and _BLANK.search(page.source.text, run[-1].span.end, node.span.start):
            yield run
            run = []
        run.append(node)
    if run:
        yield run


def _labels(run: Sequence[ast.Statement], aligned: list[Alignment]) -> None:
    """Labels are as wide as the longest; a flow that its author set in below one hangs there."""
    labels = [node.label for node in run if isinstance(node, ast.Flow) and node.label]
    width = max((len(label) + 2 for label in labels if len(label) <= LONGEST), default=0)
    above, hang = 0, 0  # the column of the label above in the source, and how wide it is here
    for i, node in enumerate(run):
        if not isinstance(node, ast.Flow):
            hang = 0
        elif node.label:
            above, hang = node.span.column, max(width, len(node.label) + 2)
            aligned[i] = aligned[i]._replace(label=hang)
        elif hang and node.span.column > above:
            aligned[i] = aligned[i]._replace(hang=hang)
        else:
            hang = 0


def _words(run: Sequence[ast.Statement], aligned: list[Alignment]) -> None:
    names = [node.steps[0].name if isinstance(node, ast.Flow) and not node.label else "" for node in run]
    width = max(len(name) for name in names if len(name) <= LONGEST)
    for i, name in enumerate(names):
        if name:
            aligned[i] = aligned[i]._replace(word=width)


def _columns(page: Page, run: Sequence[ast.Statement], aligned: list[Alignment]) -> None:
    """Calls of one name with several bare arguments, one below the other, are a table."""
    for rows in _neighbours(run, _call):
        texts = [[page.strip_of(partial(_put, argument)) or "" for argument in _bare(run[i])] for i in rows]
        widths = tuple(max(map(len, column)) for column in zip(*texts, strict=True))[:-1]
        for i in rows:
            aligned[i] = aligned[i]._replace(columns=widths)


def _put(argument: ast.Argument, strip: Page) -> None:
    one_of_several(strip, argument)


def _arrows(page: Page, run: Sequence[ast.Statement], aligned: list[Alignment]) -> None:
    """Labelled flows of the same steps, one below the other, have their arrows below each other."""
    for rows in _neighbours(run, _chain):
        texts = [[page.strip(step) for step in run[i].steps] for i in rows]  # type: ignore[union-attr]
        if any(text is None for row in texts for text in row):
            continue
        lengths = [[len(text or "") for text in row] for row in texts]
        widths = tuple(max(column) + (min(column) != max(column)) for column in zip(*lengths, strict=True))
        if sum(widths) + 4 * len(widths) + LONGEST <= WIDTH:
            for i in rows:
                aligned[i] = aligned[i]._replace(steps=widths)


def _neighbours(run: Sequence[ast.Statement], kind: Callable[[ast.Statement], Any]) -> Iterator[list[int]]:
    """Yield the places of statements of one kind that follow each other, two or more; None is no kind."""
    for key, group in groupby(range(len(run)), lambda i: kind(run[i])):
        rows = list(group)
        if key is not None and len(rows) > 1:
            yield rows


def _call(node: ast.Statement) -> tuple[str, int] | None:
    if not isinstance(node, ast.Flow) or node.label or len(node.steps) > 1 or node.steps[0].body is not None:
        return None
    bare = len(_bare(node))
    return (node.steps[0].name, bare) if bare > 1 else None


def _bare(node: ast.Statement) -> list[ast.Argument]:
    """Return the bare arguments with which a call begins."""
    assert isinstance(node, ast.Flow)
    arguments = node.steps[0].arguments
    keyed = next((i for i, argument in enumerate(arguments) if argument.key), len(arguments))
    return list(arguments[:keyed])


def _chain(node: ast.Statement) -> tuple[str, ...] | None:
    if not isinstance(node, ast.Flow) or not node.label or len(node.steps) == 1:
        return None
    return tuple(step.name for step in node.steps)
