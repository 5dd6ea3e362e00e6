"""Verified shape comments: what a flow makes, written beside it, and whether that is still so.

A comment ``#: 10x10x16 | 2,416 params | sees 14x14`` at the end of a line speaks of the flow that ends there: the shape
behind it, the parameters of all its layers, and what one of its outputs sees of the input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from ..errors import Diagnostic, Fix
from ..ir.fields import Shape, dims
from ..source import Source, Span, Trail
from ..syntax import ast
from ..syntax.comments import Comment, comments_of
from ..syntax.shape_comment import MARK, facts_of
from ..text import count
from .model import Model
from .summary import Row, Summary

OWN = f"words of your own begin with # alone; cnnspec fmt --shapes writes {MARK}"


Facts = dict[str, list[str]]  # of a flow, by kind: what is true of it, two texts where it is not the same everywhere


def shape_comments(spec: ast.Spec, summary: Summary, model: Model) -> dict[int, str]:
    """Return the shape comments of flows, by the offset at which a flow ends.

    A flow in a block or a repeat stands for several places: it has the facts that are the same in all of them, and no
    comment where the shape is not. Layers without parameters say nothing of them.
    """
    found = {}
    for end, facts in _facts(spec, summary, model).items():
        known = [texts[0] for texts in facts.values() if len(texts) == 1 and texts[0] != "0 params"]
        if len(facts["shape"]) == 1:
            found[end] = _written(known)
    return found


def misplaced(source: Source) -> Iterator[Diagnostic]:
    """Yield what is wrong with shape comments by themselves: of no known form, and in lines of their own."""
    for comment, span in _comments(source):
        if facts_of(comment.text) is None:
            form = "10x10x16 | 2,416 params | sees 14x14, or one or two of these"
            yield Diagnostic("shape-comment", "this is no shape comment", span, f"expected  {MARK} {form}", hint=OWN)
        elif comment.alone:
            yield _without_layer(span)


def stale(spec: ast.Spec, summary: Summary, model: Model) -> Iterator[Diagnostic]:
    """Yield the shape comments that are not true of the net, each with the edit that renews it."""
    known = _facts(spec, summary, model)
    ends = {spec.source.locate(end)[0]: end for end in sorted(known)}  # the last flow that ends in a line
    for comment, span in _comments(spec.source):
        said = facts_of(comment.text)
        if said is None or comment.alone:
            continue
        end = ends.get(span.line)
        if end is None or spec.source.text[end : comment.start].strip():
            yield _without_layer(span)
            continue
        facts = known[end]
        unlike = [kind for kind in said[0] if len(facts[kind]) > 1]
        if unlike:
            label = "; ".join(" and ".join(facts[kind]) for kind in unlike)
            message = "this line stands for several places, in which that is not the same"
            hint = "delete it here: cnnspec summary shows each place"
            yield Diagnostic("shape-comment", message, span, label, hint=hint)
            continue
        wrong = [f"{facts[kind][0]}, not {text}" for kind, text in said[0].items() if text != facts[kind][0]]
        if wrong:
            renewed = _written(facts[kind][0] for kind in said[0])
            fix = Fix(span, renewed, sure=True)
            message, label = "the shape comment is stale", "; ".join(wrong)
            yield Diagnostic("shape-comment", message, span, label, hint=f"write  {renewed}", fix=fix)


def _without_layer(span: Span) -> Diagnostic:
    message = "a shape comment stands at the end of a flow, and none ends here"
    return Diagnostic("shape-comment", message, span, hint=OWN)


def _written(texts: Iterable[str]) -> str:
    return f"{MARK} {' | '.join(texts)}"


def _comments(source: Source) -> Iterator[tuple[Comment, Span]]:
    """Yield the shape comments, each with the place of its facts."""
    for comment in comments_of(source):
        if comment.text.startswith(MARK):
            facts = MARK + comment.text.removeprefix(MARK).partition("#")[0].rstrip()
            yield comment, Span(source, comment.start, comment.start + len(facts))


# ---- the facts of a net -------------------------------------------------------------------------
Place = tuple[int, ...]  # the way to it: each call of a block and each round has a frame of its own


def _facts(spec: ast.Spec, summary: Summary, model: Model) -> dict[int, Facts]:
    """Return the facts of each flow that places layers, by its end."""
    flows: dict[int, tuple[ast.Flow, ...]] = {}
    for statement in spec.statements:
        _find(statement, (), flows)
    params: dict[tuple[int, Place], int] = {}
    last: dict[tuple[int, Place], Row] = {}
    for layer, row in zip(model.layers, summary.rows, strict=True):
        for flow, place in _flows_of(layer.trail, layer.span, spec.source, flows):
            key = (flow.span.end, place)
            params[key] = params.get(key, 0) + row.params
            last[key] = row
    found: dict[int, Facts] = {}
    for (end, place), row in last.items():
        facts = found.setdefault(end, {"shape": [], "params": [], "sees": []})
        n = params[end, place]
        texts = dims(row.out_shape), f"{count(n)} param{'' if n == 1 else 's'}", _seen(row, summary.input_shape)
        for known, text in zip(facts.values(), texts, strict=True):
            if text not in known and len(known) < 2:
                known.append(text)
    return found


def _find(node: Any, around: tuple[ast.Flow, ...], flows: dict[int, tuple[ast.Flow, ...]]) -> None:
    """Note for each step in a node, by its start, the flows it stands in; outermost first."""
    if isinstance(node, ast.Flow):
        around = (*around, node)
    elif isinstance(node, ast.Step):
        flows[node.span.start] = around
        parts: Sequence[object] = (node.body, *node.clauses)
        for part in parts:
            _find(part, around, flows)
        return
    if isinstance(node, tuple):
        for part in node:
            _find(part, around, flows)
    elif isinstance(node, ast.Node):
        for f in fields(node):
            _find(getattr(node, f.name), around, flows)


def _flows_of(
    trail: Trail, span: Span, source: Source, flows: Mapping[int, tuple[ast.Flow, ...]]
) -> Iterator[tuple[ast.Flow, Place]]:
    """Yield the flows in which a layer stands, by its text or by that of a block or repeat on the way to it."""
    way: list[int] = []
    seen: set[int] = set()
    for part, frame in [*((frame.span, id(frame)) for frame in trail), (span, 0)]:
        if part.source is source:
            for flow in flows.get(part.start, ()):
                if flow.span.end not in seen:
                    seen.add(flow.span.end)
                    yield flow, tuple(way)
        way.append(frame)


def _seen(row: Row, picture: Shape) -> str:
    """Return what one output of a layer sees, as the summary says it."""
    sees = row.receptive_field
    return "sees " + ("all" if all(seen >= whole for seen, whole in zip(sees, picture, strict=False)) else dims(sees))
