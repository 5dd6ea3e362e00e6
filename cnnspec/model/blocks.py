"""Blocks as a whole: none calls itself, and none goes unread because nobody calls it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..errors import Diagnostic
from ..source import Span
from ..syntax import ast
from .expand import Expander
from .findings import Report
from .names import NameScope
from .structure import call_block
from .values import UNKNOWN
from .walk import LOST, Env, Labels, Variables


def find_recursion(blocks: Mapping[str, ast.Block], report: Report) -> frozenset[str]:
    """Report each cycle of blocks once, and return the blocks on or before a cycle."""
    calls = {name: list(_calls(block.body, blocks)) for name, block in blocks.items()}
    reported: set[frozenset[str]] = set()
    bad: set[str] = set()
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        for callee, span in calls[name]:
            if callee in path:
                cycle = (*path[path.index(callee) :], callee)
                bad.update(path)
                if frozenset(cycle) not in reported:
                    reported.add(frozenset(cycle))
                    report(_recursion(cycle, span, blocks))
            elif callee in done:
                if callee in bad:
                    bad.update(path)
            else:
                visit(callee, (*path, callee))
        done.add(name)

    for name in blocks:
        if name not in done and len(blocks) < 500:
            visit(name, (name,))
    return frozenset(bad)


def _recursion(cycle: tuple[str, ...], span: Span, blocks: Mapping[str, ast.Block]) -> Diagnostic:
    what = f"the block `{cycle[0]}` calls itself"
    if len(cycle) > 2:
        what += f" through {', '.join(f'`{c}`' for c in cycle[1:-1])}"
    return Diagnostic(
        "recursion",
        what,
        span,
        " -> ".join(cycle),
        related=((blocks[cycle[0]].name_span, "begins here"),),
        hint="a block may call only others; use  repeat N { ... }  to write layers many times",
    )


def _calls(body: ast.Body | ast.Table, blocks: Mapping[str, ast.Block]) -> Iterator[tuple[str, Span]]:
    """Yield the blocks that a body calls, with the place of each call."""
    groups = [body.statements] if isinstance(body, ast.Body) else [row.statements for row in body.rows]
    for statements in groups:
        for statement in statements:
            for step in statement.steps if isinstance(statement, ast.Flow) else ():
                if step.name in blocks:
                    yield step.name, step.head
                if step.body is not None:
                    yield from _calls(step.body, blocks)
                for clause in step.clauses:
                    yield from _calls(clause.body, blocks)


def walk_uncalled(expander: Expander) -> None:
    """Walk the blocks that nobody calls, so that their words are judged too; shapes stay unknown."""
    for block in expander.blocks.values():
        if block.name in expander.called or block.name in expander.recursive:
            continue
        env = Env(Variables(expander.globals), Labels(), None, NameScope())
        unknown = {p.name: UNKNOWN for p in block.parameters}
        call_block(expander, block, unknown, LOST, env, None)
