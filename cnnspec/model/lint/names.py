"""Rules about what is written and not used: blocks, labels, names, branches."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

from ...errors import did_you_mean
from ...ops import LAYERS
from ...source import Span
from ...syntax import ast
from .off import offs_of
from .rule import RULES, Finding, Net, rule, walk

CHOOSES = ("repeat", "for", "if")
DEAD = {  # parts of a net that may come to nothing -> what is said then, and the mend
    "repeat": ("this is repeated 0 times", "delete it, or repeat it more often"),
    "for": ("this loop has no rounds", "delete it, or give its list an entry"),
    "if": ("this condition never holds", "delete the branch, or call the block with what it asks for"),
    "else": ("this branch is never taken", "delete it, or call the block with what it asks for"),
    "project": ("this shortcut is never used: the shapes never differ", "delete  project { ... }"),
}


def names_in(node: ast.Node) -> set[str]:
    """Return the names that a part of a spec reads."""
    return {n.name for n in walk(node) if isinstance(n, ast.Name)}


def blocks_of(net: Net) -> tuple[dict[str, ast.Block], set[str]]:
    """Return the blocks of a spec, and the names of those that the net reaches."""
    blocks = {s.name: s for s in net.spec.statements if isinstance(s, ast.Block)}
    waiting: list[ast.Node] = [s for s in net.spec.statements if isinstance(s, ast.Flow)]
    used: set[str] = set()
    while waiting:
        for node in walk(waiting.pop()):
            if isinstance(node, ast.Step) and node.name in blocks and node.name not in used:
                used.add(node.name)
                waiting.append(blocks[node.name].body)
    return blocks, used


@rule("unused-block")
def unused_block(net: Net) -> Iterator[Finding]:
    """A block that the net calls nowhere."""
    _, used = blocks_of(net)
    for block in net.own:
        if isinstance(block, ast.Block) and block.name not in used:
            message, label = f"the block `{block.name}` is not used", "the net calls it nowhere"
            yield Finding(block.name_span, message, label, f"call it  {block.name} ...  or delete it")


@rule("unused-name")
def unused_name(net: Net) -> Iterator[Finding]:
    """A `param`, a `filter` or a parameter of a block that nothing reads."""
    read = {n.name for n in net.nodes if isinstance(n, ast.Name)}
    for statement in net.own:
        if isinstance(statement, (ast.ParamStatement, ast.FilterStatement)) and statement.name not in read:
            word = "parameter" if isinstance(statement, ast.ParamStatement) else "filter"
            message = f"the {word} `{statement.name}` is not used"
            yield Finding(statement.name_span, message, "no line reads it", "use it, or delete this line")
        elif isinstance(statement, ast.Block):
            inside = names_in(statement.body).union(*(names_in(p.default) for p in statement.parameters if p.default))
            for p in statement.parameters:
                if p.name not in inside:
                    message = f"the parameter `{p.name}` of block {statement.name} is not used"
                    label = "calls that set it change nothing"
                    yield Finding(p.span, message, label, f"use {p.name} inside the braces, or delete it")


@rule("unused-label")
def unused_label(net: Net) -> Iterator[Finding]:
    """One label of a numbered row, such as enc2, that nothing reads while its neighbours are read."""
    read = {n.name for n in net.nodes if isinstance(n, ast.Name)}
    rows: dict[str, dict[int, ast.Flow]] = defaultdict(dict)
    for node in net.nodes:
        match = re.fullmatch(r"(.*?)_?(\d+)", node.label) if isinstance(node, ast.Flow) else None
        if match is not None and isinstance(node, ast.Flow) and len(match[2]) < 10:
            rows[match[1]][int(match[2])] = node
    for row in rows.values():
        neighbours = [flow.label for _, flow in sorted(row.items()) if flow.label in read]
        for number, flow in sorted(row.items()):
            if flow.label not in read and len(neighbours) > 1 and number < max(row):
                message = f"nothing reads `{flow.label}`, while {' and '.join(neighbours[:2])} are read"
                hint = f"read it  from {flow.label}  where its turn is, or give it another name"
                yield Finding(flow.label_span or flow.span, message, "a branch that was forgotten?", hint)


@rule("dead-branch")
def dead_branch(net: Net) -> Iterator[Finding]:
    """A branch that is written and never becomes part of the net."""
    made = [(layer.op.name, s) for layer in net.model.layers for s in (layer.span, *(f.span for f in layer.trail))]
    own = {(name, span.start) for name, span in made if span.source.name == net.source.name}
    alive, joins = sorted({start for _, start in own}), {start for name, start in own if name == "add"}
    switches = {s.name for s in net.spec.statements if isinstance(s, ast.ParamStatement)}
    blocks, used = blocks_of(net)

    def is_dead(part: ast.Node) -> bool:
        first = bisect_left(alive, part.span.start)
        empty = first == len(alive) or alive[first] >= part.span.end
        return empty and any(isinstance(n, ast.Step) and (n.name in LAYERS or n.name in blocks) for n in walk(part))

    found: list[tuple[Span, Finding]] = []
    for statement in net.own:
        if isinstance(statement, ast.Flow) or (isinstance(statement, ast.Block) and statement.name in used):
            for step in (n for n in walk(statement) if isinstance(n, ast.Step)):
                found += _dead_parts(step, is_dead, switches, joins)
    end = -1
    for span, finding in sorted(found, key=lambda one: one[0].start):
        if span.start >= end:  # the outermost says it for those inside
            end = span.end
            yield finding


def _dead_parts(
    step: ast.Step, is_dead: Callable[[ast.Node], bool], switches: AbstractSet[str], joins: AbstractSet[int]
) -> Iterator[tuple[Span, Finding]]:
    """Yield the parts of a step that never come to a layer; what a `param` of the file turns on or off is no such."""
    asked = [*step.arguments, *(clause.condition for clause in step.clauses if clause.condition is not None)]
    if step.name in CHOOSES and any(names_in(part) & switches for part in asked):
        return
    parts = [(step.name, step.head, step.body), *((c.name, c.name_span, c.body) for c in step.clauses)]
    for word, place, body in parts:
        if word in DEAD and isinstance(body, ast.Body) and is_dead(body):
            message, hint = DEAD[word]
            yield body.span, Finding(place, message, "no layer comes of it", hint)
    if step.name == "residual" and step.head.start not in joins and step.body is not None and not is_dead(step.body):
        message = "the skip of this residual never exists: shapes always differ"
        hint = "adapt the shortcut with  } project { ... }  or write the layers without residual"
        yield step.head, Finding(step.head, message, "", hint)


@rule("unknown-rule")
def unknown_rule(net: Net) -> Iterator[Finding]:
    """A comment that turns off a rule of a name that no rule has."""
    for off in offs_of(net.source):
        for name, span in off.names:
            if name not in RULES:
                near = did_you_mean(name, RULES)
                hint = f"did you mean `{near}`?" if near else "cnnspec lint --list  shows the rules"
                yield Finding(span, f"no rule is called `{name}`", "this turns nothing off", hint)
