"""What stands for its body, written out: ``repeat``, ``for`` and ``if``. All end, since none runs beyond its limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import Diagnostic, Fix
from ..ir.fields import attr
from ..source import Frame, Span
from ..syntax import ast
from ..text import shorten, some
from .arguments import bind
from .findings import twice
from .values import UNKNOWN, Scope, Unknown, Value, attempt, describe, evaluate, truth
from .walk import LOST, MAX_LAYERS, Cursor, Env

if TYPE_CHECKING:
    from .expand import Expander


@dataclass(frozen=True)
class Repeat:
    """The argument of ``repeat``."""

    times: int = attr("int", "how often the body stands in the net", positional=True, min=0)


def expand_repeat(x: Expander, step: ast.Step, cursor: Cursor, env: Env) -> Cursor:
    if step.clauses or step.body is None:
        where = step.clauses[0].name_span if step.clauses else step.head
        hint = "write  repeat 3 { conv 64 3x3 -> relu }"
        return x.report(Diagnostic("structure", "`repeat` needs a number and { }", where, hint=hint), env)
    if (body := _body(x, step, step.body, env)) is None:
        return LOST
    bound = bind("repeat", Repeat, step.arguments, step.head, env.scope(cursor), x.reporter(env))
    if bound is None or not bound.known or env.dead:
        return x.look_at(body, env)
    times = bound.values["times"]
    if _too_often(x, times, bound.spans["times"], env):
        return LOST
    if times == 0:
        x.look_at(body, env)
    frames = (Frame("repeat", f"{i + 1} of {times}", step.head) for i in range(times))
    return _rounds(x, body, cursor, env, (({}, frame) for frame in frames))


def expand_for(x: Expander, step: ast.Step, cursor: Cursor, env: Env) -> Cursor:
    assert step.body is not None  # by the grammar
    body = _body(x, step, step.body, env)
    rounds = _items(x, step, env.scope(cursor), env)
    if not _refuse_targets(x, step, env):
        rounds = None
    if body is None:
        return LOST
    if not rounds or env.dead:
        x.look_at(body, env.round(dict.fromkeys((target.name for target in step.targets), UNKNOWN)))
        return LOST if rounds is None or env.dead else cursor
    frames = (Frame("for", _said(values), step.head) for values in rounds)
    return _rounds(x, body, cursor, env, zip(rounds, frames, strict=True))


def expand_if(x: Expander, step: ast.Step, cursor: Cursor, env: Env) -> Cursor:
    assert step.body is not None  # by the grammar
    end = next((i for i, clause in enumerate(step.clauses) if clause.name == "else"), len(step.clauses))
    for clause in step.clauses[end + 1 :]:
        message, label = "`else` is the last branch of an `if`", "nothing can come to this one"
        x.report(Diagnostic("structure", message, clause.name_span, label), env)
    branches: list[tuple[ast.Expr | None, ast.Body | ast.Table]] = [(step.arguments[0].value, step.body)]
    branches += [(clause.condition, clause.body) for clause in step.clauses]
    taken, lost, here = None, False, env
    for condition, written in branches:
        body = _body(x, step, written, env)
        holds: bool | Unknown = True
        if condition is not None:
            x.spend(condition.span, env)
            holds = attempt(truth, condition, here.scope(cursor), x.reporter(here))
        if body is not None and holds is True and not here.dead:
            taken, here = body, env.branch_not_taken()
        elif body is not None:
            x.look_at(body, env)
        if body is None or (isinstance(holds, Unknown) and not here.dead):
            lost, here = True, env.branch_not_taken()
    if lost or env.dead:
        return LOST
    return cursor if taken is None else x.statements(taken.statements, cursor, env.inner())


def _body(x: Expander, step: ast.Step, body: ast.Body | ast.Table, env: Env) -> ast.Body | None:
    """Return a body that holds statements, or None after reporting that there are none."""
    if isinstance(body, ast.Body) and body.statements:
        return body
    message = (
        "there is nothing to repeat" if step.name == "repeat" else f"there is nothing in the braces of `{step.name}`"
    )
    if isinstance(body, ast.Table):
        message = f"`{step.name}` takes statements, and rows belong to concat, add or multiply"
    x.report(Diagnostic("structure", message, body.brace), env)
    return None


def _rounds(
    x: Expander, body: ast.Body, cursor: Cursor, env: Env, rounds: Iterable[tuple[Mapping[str, Value], Frame]]
) -> Cursor:
    """Walk a body once for each round, given what its names stand for and the frame that errors show."""
    for values, frame in rounds:
        x.steps += 1
        errors = x.errors
        cursor = x.statements(body.statements, cursor, env.round(values, frame))
        if x.errors > errors:
            return LOST  # the next round would only say it again
    return cursor


def _too_often(x: Expander, times: int, written: Span, env: Env) -> bool:
    if times > MAX_LAYERS:
        message = f"a net has at most {MAX_LAYERS:,} layers, and this repeats {times:,} times"
        x.report(Diagnostic("too-many-layers", message, written, hint="repeat less often"), env)
    return times > MAX_LAYERS


# ---- the head of a `for` --------------------------------------------------------------------------
def _refuse_targets(x: Expander, step: ast.Step, env: Env) -> bool:
    """Report the names of a loop that stand for something already; return whether there were none."""
    seen: dict[str, Span] = {}
    for target in step.targets:
        name, hint = target.name, "choose another name"
        if name in seen:
            x.report(twice(f"the name `{name}` is given twice", target.span, seen[name], hint=hint), env)
        elif name in env.variables or name in env.labels:
            what = "a parameter" if name in env.variables else "a label"
            message = f"`{name}` is already the name of {what}"
            x.report(Diagnostic("duplicate", message, target.span, hint=hint), env)
        else:
            seen[name] = target.span
    return len(seen) == len(step.targets)


def _items(x: Expander, step: ast.Step, scope: Scope, env: Env) -> list[dict[str, Value]] | None:
    """Return what the names stand for in each round, or None where it cannot be said."""
    over, names = step.arguments[0].value, [target.name for target in step.targets]
    if isinstance(over, ast.Call) and over.function == "range":
        x.report(_python_range(over), env)
        return None
    items = attempt(evaluate, over, scope, x.reporter(env))
    if isinstance(items, Unknown):
        return None
    if isinstance(items, float) and items.is_integer():
        items = int(items)
    if isinstance(items, int) and len(names) == 1 and items < 0:
        message, label = "a loop runs 0 times or more", f"expected at least 0, found {items}"
        x.report(Diagnostic("range", message, over.span, label), env)
        return None
    if not isinstance(items, tuple) and not (isinstance(items, int) and len(names) == 1):
        wanted = "a whole number or a list" if len(names) == 1 else "a list of tuples"
        hint = f"write  for {', '.join(names)} in [{_example(len(names))}]"
        label = f"expected {wanted}, found {describe(items)}"
        x.report(Diagnostic("type", "a loop runs over a number or a list", over.span, label, hint=hint), env)
        return None
    if _too_often(x, items if isinstance(items, int) else len(items), over.span, env):
        return None
    if len(names) == 1:
        return [{names[0]: item} for item in (range(items) if isinstance(items, int) else items)]
    return _rows(x, over, names, items, env) if isinstance(items, tuple) else None


def _rows(
    x: Expander, over: ast.Expr, names: list[str], items: tuple[Value, ...], env: Env
) -> list[dict[str, Value]] | None:
    """Return the rows of a table by name, or None after reporting a row of another length."""
    spans = [item.span for item in over.items] if isinstance(over, ast.ListOf) else [over.span] * len(items)
    rows = []
    for item, span in zip(items, spans, strict=True):
        values = item if isinstance(item, tuple) else (item,)
        if len(values) != len(names):
            message = f"the loop has {len(names)} names, and this row has {some(len(values), 'value')}"
            label, hint = f"expected {', '.join(names)}", f"write rows such as {_example(len(names))}"
            x.report(Diagnostic("type", message, span, label, hint=hint), env)
            return None
        rows.append(dict(zip(names, values, strict=True)))
    return rows


def _python_range(over: ast.Call) -> Diagnostic:
    """Return the diagnostic for ``for i in range(n)``."""
    fix = Fix(over.span, over.arguments[0].span.text, sure=True) if len(over.arguments) == 1 else None
    hint = (
        f"write  {fix.replacement}" if fix is not None else "write how many there are, and add where they begin inside"
    )
    label = "`for i in 3` runs with 0, 1 and 2"
    return Diagnostic("structure", "a loop counts without range( )", over.span, label, hint=hint, fix=fix)


def _example(n: int) -> str:
    return "16, 32" if n == 1 else "(" + ", ".join(map(str, range(1, n + 1))) + ")"


def _said(values: Mapping[str, Value]) -> str:
    """Return the values of a round as errors show them: ``t=6 c=24``."""
    return shorten(" ".join(f"{name}={_short(value)}" for name, value in values.items()), 60)


def _short(value: Value) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_short, value[:8]))})"
    return describe(value).rpartition("the word ")[2].rpartition("the size ")[2].strip("`")
