"""What gives a net its structure: ``from``, ``repeat``, ``residual``, and the blocks an author wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import Diagnostic
from ..ir.fields import attr
from ..ops import LAYERS
from ..source import Frame, Span
from ..syntax import ast
from .arguments import bind
from .branches import residual_mismatch
from .findings import guessed, hint_of
from .guess import meant
from .rewriting import expand_for, expand_if, expand_repeat
from .values import UNKNOWN, Fault, LabelValue, NotKnown, Scope, Value, attempt, describe, evaluate
from .walk import LOST, Cursor, Env, Labels, Variables

if TYPE_CHECKING:
    from .expand import Expander


@dataclass(frozen=True)
class Residual:
    """The keys of ``residual``."""

    skip: str = attr(
        "word", "always, or if_same: only where shapes match", default="always", choices=("always", "if_same")
    )


def expand_from(x: Expander, step: ast.Step, _: Cursor, env: Env) -> Cursor:
    x.refuse_bodies(step, env)
    if len(step.arguments) != 1 or step.arguments[0].key or not isinstance(step.arguments[0].value, ast.Name):
        message = "`from` reads one label"
        found = "nothing" if not step.arguments else f"`{step.arguments[-1].span.text[:40]}`"
        label = f"expected the name of a label, found {found}"
        return x.report(Diagnostic("missing-argument", message, step.head, label, hint="write  from enc1"), env)
    argument = step.arguments[0]
    assert isinstance(argument.value, ast.Name)
    name = argument.value.name
    value = UNKNOWN if env.dead and name in env.variables else env.variables.get(name)
    if isinstance(value, LabelValue):
        target: Cursor = value.target
        return target
    if name in env.labels:
        return env.labels[name].cursor
    if name == "input" and not env.calls:
        return Cursor(-1, env.entering)
    if value is UNKNOWN:
        return LOST
    if value is not None:
        message = f"`{name}` is {describe(value)}, not a label"
        return x.report(Diagnostic("type", message, argument.span, "expected a label"), env)
    return x.report(_unknown_label(name, argument.span, env), env)


def _unknown_label(name: str, span: Span, env: Env) -> Diagnostic:
    fix = meant(name, [*env.labels] if env.calls else [*env.labels, "input"], span)
    known = ", ".join(list(env.labels)[:20]) or "none"
    hint = hint_of(fix, f"labels above this line: {known}")
    if env.calls and name == "input":
        hint = "a block has no input of its own: begin the row with  identity"
    elif env.calls and fix is None:
        hint = f"a block sees its own labels only; hand this one over:  block {env.calls[-1]}({name})"
    label = "no label of this name stands above this line"
    return Diagnostic("unknown-label", f"unknown label `{name}`", span, label, hint=hint, fix=fix)


def expand_residual(x: Expander, step: ast.Step, cursor: Cursor, env: Env) -> Cursor:
    bound = bind("residual", Residual, step.arguments, step.head, env.scope(cursor), x.reporter(env))
    project = next((c for c in step.clauses if c.name == "project"), None)
    for clause in step.clauses:
        if clause is not project:
            message = f"residual has no `{clause.name}`" if clause.name != "project" else "a second `project`"
            fix = meant(clause.name, ["project"], clause.name_span) if project is None else None
            known = "residual knows one clause: project { ... }"
            x.report(guessed("structure", message, clause.name_span, "", fix, known), env)
    if not isinstance(step.body, ast.Body) or not step.body.statements:
        hint = "write  residual { conv 64 3x3 -> bn }"
        return x.report(Diagnostic("structure", "`residual` needs a body in { }", step.head, hint=hint), env)
    if project is not None and not isinstance(project.body, ast.Body):
        return x.report(Diagnostic("structure", "`project` has no rows", project.name_span), env)
    skip = bound.values.get("skip", "always") if bound else "always"
    if project is not None and skip == "if_same":
        message = "`skip=if_same` and `project` contradict each other"
        hint = "keep project to adapt the shortcut, or skip=if_same to leave it out where shapes differ"
        x.report(Diagnostic("structure", message, project.name_span, hint=hint), env)
    first = len(x.placed)
    end = x.statements(step.body.statements, cursor, env.inner())
    if project is not None and (end.shape is None or cursor.shape is None):
        x.statements(project.body.statements, LOST, env.inner())  # type: ignore[union-attr]
    if end.shape is None or cursor.shape is None or bound is None:
        sure = bound is not None and project is None and skip == "always"
        return Cursor(LOST.index, cursor.shape) if sure and x.errors else LOST  # the body should end in this shape
    shortcut = cursor
    if end.shape != cursor.shape:
        if skip == "if_same":
            return end
        if project is not None and isinstance(project.body, ast.Body):
            names = env.names.add_scope("project")
            shortcut = x.statements(project.body.statements, cursor, replace(env.inner(), names=names))
    if shortcut.shape is None:
        return LOST
    if shortcut.shape != end.shape:
        if not x.is_assumed(end, shortcut):
            placed = x.placed[first:]
            x.report(residual_mismatch(step, project, cursor.shape, end.shape, shortcut.shape, placed), env)
        return LOST
    return x.place(LAYERS["add"](), step, [end, shortcut], env, "", {})


# by the words of structure; each returns where the flow stands afterwards
EXPANSIONS: dict[str, Callable[[Expander, ast.Step, Cursor, Env], Cursor]] = {
    "from": expand_from,
    "repeat": expand_repeat,
    "for": expand_for,
    "if": expand_if,
    "residual": expand_residual,
}
REWRITTEN = ("repeat", "for", "if")  # stand for their bodies, so that a label is no name of a layer


def expand_block(x: Expander, step: ast.Step, cursor: Cursor, env: Env, label: str) -> Cursor:
    block = x.blocks[step.name]
    x.called.add(block.name)
    x.refuse_bodies(step, env)
    if block.name in x.recursive:
        return LOST
    variables = _call_arguments(x, block, step, cursor, env)
    if variables is None:
        return LOST
    return call_block(x, block, variables, cursor, env, step, label)


def call_block(
    x: Expander,
    block: ast.Block,
    variables: Mapping[str, Value],
    cursor: Cursor,
    env: Env,
    step: ast.Step | None,
    label: str = "",
) -> Cursor:
    """Place the layers of a block, its parameters bound."""
    trail = env.trail
    if step is not None:
        trail = (*env.trail, Frame("block", block.name, step.head))
    inside = Env(
        Variables(dict(variables), x.globals),
        Labels(),
        cursor.shape,
        env.names.add_scope(label or block.name),
        trail,
        (*env.calls, block.name),
        env.dead,
    )
    if isinstance(block.body, ast.Table):
        message = f"block {block.name} holds rows, but rows belong to concat, add or multiply"
        hint = "write  { concat { | ... | ... } }"
        return x.report(Diagnostic("structure", message, block.body.brace, hint=hint), inside)
    if env.dead:
        return x.look_at(block.body, inside)
    return x.statements(block.body.statements, cursor, inside)


def _call_arguments(x: Expander, block: ast.Block, step: ast.Step, cursor: Cursor, env: Env) -> dict[str, Value] | None:
    """Return the block's parameters by name, or None after reporting what does not fit."""
    parameters = {p.name: p for p in block.parameters}
    given: dict[str, Value] = {}
    good = True
    scope = env.scope(cursor)
    form = block_form(block)
    for argument in step.arguments:
        name = argument.key or next((n for n in parameters if n not in given), "")
        problem = None
        if not name:
            n = len(parameters)
            takes = f"{block.name} takes {n or 'no'} argument{'s' if n != 1 else ''}"
            message = f"{takes}; `{argument.span.text[:40]}` is one too many"
            problem = Diagnostic("surplus-argument", message, argument.span, hint=f"the form is  {form}")
        elif name not in parameters:
            span = argument.key_span or argument.span
            fix = meant(name, parameters, span)
            label = f"parameters of {block.name}: {', '.join(parameters) or 'none'}"
            problem = guessed("unknown-key", f"{block.name} has no `{name}`", span, label, fix, f"the form is  {form}")
        elif name in given:
            problem = Diagnostic("duplicate", f"{block.name} gets `{name}` twice", argument.span, "given again here")
        if problem is not None:
            x.report(problem, env)
            good = False
            continue
        try:
            given[name] = evaluate(argument.value, scope)
        except Fault as fault:
            x.report(fault.diagnostic, env)
            good = False
        except NotKnown:
            given[name] = UNKNOWN
    missing = [p.name for p in block.parameters if p.default is None and p.name not in given]
    if missing and good:
        message = f"{block.name} needs {' and '.join(f'`{m}`' for m in missing)}"
        x.report(Diagnostic("missing-argument", message, step.head, hint=f"the form is  {form}"), env)
    if missing or not good:
        return None
    return _with_defaults(x, block, given, env)


def _with_defaults(x: Expander, block: ast.Block, given: dict[str, Value], env: Env) -> dict[str, Value]:
    """Add the defaults of parameters that a call leaves out; one may use the parameters before it."""
    for p in block.parameters:
        if p.name not in given and p.default is not None:
            x.spend(p.default.span, env)
            scope = Scope(Variables(given, x.globals), in_net=False, dead=env.dead)
            given[p.name] = attempt(evaluate, p.default, scope, x.reporter(env))
    return given


def block_form(block: ast.Block) -> str:
    """Return how a block is called: ``basic C [stride=1]``."""
    parts = [p.name.upper() if p.default is None else f"[{p.name}={p.default.span.text}]" for p in block.parameters]
    return " ".join([block.name, *parts])
