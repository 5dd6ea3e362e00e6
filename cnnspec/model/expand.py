"""The walk from statements to layers: blocks and repeats unrolled, branches joined, shapes inferred."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import Diagnostic, Fix, ShapeRuleError, did_you_mean
from ..ops import LAYERS
from ..ops.base import Op, Shape, attr, attrs_of, dims
from ..source import Frame, Span, Trail
from ..syntax import ast
from .arguments import Bound, bind, convert, signature
from .branches import residual_mismatch, row_notes
from .names import NameScope
from .values import UNKNOWN, Fault, LabelValue, NotKnown, Scope, Value, describe, evaluate

MAX_LAYERS = 20_000
MAX_STEPS = 200_000  # statements walked through, layers or not
MAX_DEPTH = 60  # blocks within blocks

TOP_WORDS = ("input", "classes", "defaults", "param", "block", "expect", "data", "train", "cnnspec")
STRUCTURE = ("residual", "repeat", "from")
SECTION_OF = {
    **dict.fromkeys(("source", "split", "normalize"), "data"),
    **dict.fromkeys(("loss", "optimizer", "schedule", "epochs", "batch", "seed", "keep", "stop"), "train"),
}


class TooMuch(Exception):
    """The net grew beyond its limit; the diagnostic has been reported."""


@dataclass(frozen=True)
class Residual:
    """The keys of ``residual``."""

    skip: str = attr(
        "word", "always, or if_same: only where shapes match", default="always", choices=("always", "if_same")
    )


@dataclass(frozen=True)
class Repeat:
    """The argument of ``repeat``."""

    times: int = attr("int", "how often the body stands in the net", positional=True, min=0)


@dataclass(frozen=True)
class Cursor:
    """Where a flow stands: the layer that was last placed (-1 is the input) and its shape, None if unknown."""

    index: int
    shape: Shape | None


LOST = Cursor(-2, None)  # after a layer that could not be placed


@dataclass(frozen=True)
class Placed:
    """A layer in the net, its name still to come."""

    op: Op
    inputs: tuple[int, ...]
    in_shapes: tuple[Shape, ...]
    out_shape: Shape
    step: ast.Step
    trail: Trail
    label: str
    spans: Mapping[str, Span]


@dataclass(frozen=True)
class Labels:
    """The labels of one body, and those of the bodies around it."""

    own: dict[str, tuple[Cursor, Span]] = field(default_factory=dict)
    outer: Labels | None = None

    def visible(self) -> dict[str, Cursor]:
        around = self.outer.visible() if self.outer else {}
        return {**around, **{name: cursor for name, (cursor, _) in self.own.items()}}


@dataclass(frozen=True)
class Env:
    """What surrounds a statement: variables, labels, what entered the block, and the way here."""

    variables: Mapping[str, Value]
    labels: Labels
    entering: Shape | None
    names: NameScope
    trail: Trail = ()
    calls: tuple[str, ...] = ()

    def scope(self, cursor: Cursor) -> Scope:
        return Scope(self.variables, self.labels.visible(), self.entering, cursor.shape)

    def inner(self) -> Env:
        """The same surroundings with a fresh level of labels."""
        return replace(self, labels=Labels(outer=self.labels))


class Expander:
    """Places the layers of a net one by one; every error goes to ``report`` and the walk goes on."""

    def __init__(
        self,
        report: Callable[[Diagnostic], None],
        blocks: Mapping[str, ast.Block],
        defaults: Mapping[str, Bound],
        variables: Mapping[str, Value],
        recursive: frozenset[str],
    ) -> None:
        self._report, self.blocks, self.defaults = report, blocks, defaults
        self.globals, self.recursive = variables, recursive
        self.placed: list[Placed] = []
        self.steps = 0
        self.lost = False  # whether anything could not be placed
        self.called: set[str] = set()

    def report(self, diagnostic: Diagnostic, env: Env) -> Cursor:
        """Report an error with the way it was reached; what follows it is not judged by shape."""
        self.lost = True
        self._report(replace(diagnostic, trail=env.trail))
        return LOST

    # ---- statements and flows -------------------------------------------------------------------
    def statements(self, statements: Sequence[ast.Statement], cursor: Cursor, env: Env) -> Cursor:
        for statement in statements:
            if isinstance(statement, ast.Flow):
                cursor = self.flow(statement, cursor, env)
            elif isinstance(statement, ast.Broken):
                self.lost = True
                cursor = LOST
            else:
                word = statement.span.text.split()[0]
                self.report(
                    Diagnostic(
                        "structure",
                        f"`{word}` cannot stand inside braces",
                        statement.span,
                        "it belongs to the file as a whole",
                        hint="move it out of the braces",
                    ),
                    env,
                )
        return cursor

    def flow(self, flow: ast.Flow, cursor: Cursor, env: Env) -> Cursor:
        alone = len(flow.steps) == 1
        inside = env
        if flow.label:
            self._refuse_label(flow, env)
            if not alone or flow.steps[0].name in STRUCTURE:
                inside = replace(env, names=env.names.add_scope(flow.label))
        for step in flow.steps:
            cursor = self.step(step, cursor, inside, flow.label if alone else "")
        if flow.label and flow.label_span is not None:
            env.labels.own[flow.label] = (cursor, flow.label_span)
        return cursor

    def _refuse_label(self, flow: ast.Flow, env: Env) -> None:
        assert flow.label_span is not None
        first = env.labels.own.get(flow.label)
        if first is not None:
            self.report(
                Diagnostic(
                    "duplicate",
                    f"the label `{flow.label}` is given twice",
                    flow.label_span,
                    "given again here",
                    related=((first[1], "first given here"),),
                    hint="choose another label",
                ),
                env,
            )
        elif flow.label in env.variables:
            self.report(
                Diagnostic(
                    "duplicate",
                    f"`{flow.label}` is already the name of a parameter",
                    flow.label_span,
                    hint="choose another label",
                ),
                env,
            )

    def step(self, step: ast.Step, cursor: Cursor, env: Env, label: str = "") -> Cursor:
        self.steps += 1
        if self.steps > MAX_STEPS:
            self._too_much(step, env, f"the net is unrolled into more than {MAX_STEPS:,} steps")
        if step.name == "from":
            return self._from(step, env)
        if step.name == "repeat":
            return self._repeat(step, cursor, env)
        if step.name == "residual":
            return self._residual(step, cursor, env, label)
        if step.name in LAYERS:
            return self._layer(step, cursor, env, label)
        if step.name in self.blocks:
            return self._block(step, cursor, env, label)
        return self.report(self._unknown_layer(step), env)

    def _unknown_layer(self, step: ast.Step) -> Diagnostic:
        known = [*LAYERS, *self.blocks, *STRUCTURE]
        hint, fix, label = "", None, "no layer and no block of this file has this name"
        if step.name in SECTION_OF:
            section = SECTION_OF[step.name]
            hint = f"write it inside  {section} {{ ... }}"
            return Diagnostic(
                "structure", f"`{step.name}` belongs in the {section} section", step.name_span, hint=hint
            )
        if step.name == "project":
            return Diagnostic(
                "structure",
                "`project` belongs to a residual",
                step.name_span,
                "expected right after the } of residual, on the same line",
                hint="write  residual { ... } project { ... }",
            )
        near = did_you_mean(step.name, [*known, *TOP_WORDS])
        if near:
            hint, fix = f"did you mean `{near}`?", Fix(step.name_span, near)
        else:
            hint = "run  cnnspec layers  to see all layers"
        return Diagnostic("unknown-layer", f"unknown layer `{step.name}`", step.name_span, label, hint=hint, fix=fix)

    def _too_much(self, step: ast.Step, env: Env, message: str) -> None:
        self.report(
            Diagnostic("too-many-layers", message, step.head, "the limit is passed here", hint="repeat less often"), env
        )
        raise TooMuch

    # ---- layers ---------------------------------------------------------------------------------
    def _layer(self, step: ast.Step, cursor: Cursor, env: Env, label: str) -> Cursor:
        cls = LAYERS[step.name]
        if cls.arity != 1:
            inputs = self._rows(step, cursor, env)
        else:
            inputs = [cursor]
            self._refuse_bodies(step, env)
        bound = bind(
            step.name,
            attrs_of(cls),
            step.arguments,
            step.head,
            env.scope(cursor),
            lambda d: void(self.report(d, env)),
            partial=step.name in self.defaults,
        )
        if bound is None or inputs is None:
            self.lost = True
            return LOST
        values = {**self.defaults[step.name].values, **bound.values} if step.name in self.defaults else bound.values
        if not bound.known or any(c.shape is None for c in inputs):
            self.lost = True
            return LOST
        try:
            op = cls(**values)
        except TypeError:  # a required field is in neither defaults nor arguments: let bind say which
            bind(step.name, attrs_of(cls), step.arguments, step.head, env.scope(cursor), lambda d: void(self.report(d, env)))
            return LOST
        return self._place(op, step, inputs, env, label, bound.spans)

    def _place(
        self,
        op: Op,
        step: ast.Step,
        inputs: Sequence[Cursor],
        env: Env,
        label: str,
        spans: Mapping[str, Span],
    ) -> Cursor:
        shapes = tuple(c.shape for c in inputs if c.shape is not None)
        try:
            out = op.infer(*shapes)
            op.params(*shapes)
        except ShapeRuleError as error:
            return self.report(self._shape_error(error, op, step, shapes, spans), env)
        index = len(self.placed)
        if index >= MAX_LAYERS:
            self._too_much(step, env, f"the net has more than {MAX_LAYERS:,} layers")
        placed = Placed(
            op, tuple(c.index for c in inputs), shapes, out, step, env.trail, label if label else "", spans
        )
        self.placed.append(placed)
        env.names.add_layer(label or op.name, index)
        return Cursor(index, out)

    def _shape_error(
        self,
        error: ShapeRuleError,
        op: Op,
        step: ast.Step,
        shapes: tuple[Shape, ...],
        spans: Mapping[str, Span],
    ) -> Diagnostic:
        span = spans.get(error.field, step.head)
        label = f"its input is {dims(shapes[0])}" if len(shapes) == 1 else ""
        fix = None
        if len(shapes) == 1 and len(shapes[0]) == 3 and _fits(op, _flat(shapes[0])):
            start = Span(span.source, step.name_span.start, step.name_span.start)
            fix = Fix(start, "flatten -> ")
        notes = error.notes
        if isinstance(step.body, ast.Table) and len(step.body.rows) == len(shapes):
            notes = (*notes, *row_notes(step.body, shapes))
        return Diagnostic("shape", error.message, span, label, notes=notes, hint=error.hint, fix=fix)

    def _refuse_bodies(self, step: ast.Step, env: Env) -> None:
        if step.body is not None:
            self.report(
                Diagnostic(
                    "structure",
                    f"{step.name} takes no {{ }}",
                    step.body.brace,
                    hint=f"the form is  {signature(step.name, attrs_of(LAYERS[step.name]))}"
                    if step.name in LAYERS
                    else "delete the braces",
                ),
                env,
            )
        elif step.clauses:
            self.report(
                Diagnostic("structure", f"`{step.clauses[0].name}` does not belong here", step.clauses[0].name_span), env
            )

    def _rows(self, step: ast.Step, cursor: Cursor, env: Env) -> list[Cursor] | None:
        """Return where each branch of a merge ends, or None if there are no proper rows."""
        form = f"write  {step.name} {{ | identity | conv 8 3x3 -> relu }}"
        if step.clauses:
            clause = step.clauses[0]
            self.report(Diagnostic("structure", f"{step.name} has no `{clause.name}`", clause.name_span), env)
        if not isinstance(step.body, ast.Table):
            where = step.head if step.body is None else step.body.brace
            message = f"{step.name} joins rows, each starting with |"
            self.report(Diagnostic("structure", message, where, "expected { | ... | ... }", hint=form), env)
            return None
        if len(step.body.rows) < 2:
            message = f"{step.name} joins two rows or more, but has one"
            self.report(Diagnostic("structure", message, step.body.rows[0].span, hint=form), env)
            return None
        ends = []
        for row in step.body.rows:
            if not row.statements:
                hint = "write  identity  for a branch that changes nothing"
                ends.append(self.report(Diagnostic("structure", "this row is empty", row.span, hint=hint), env))
                continue
            ends.append(self.statements(row.statements, cursor, env.inner()))
        return ends

    # ---- structure ------------------------------------------------------------------------------
    def _from(self, step: ast.Step, env: Env) -> Cursor:
        self._refuse_bodies(step, env)
        visible = env.labels.visible()
        if len(step.arguments) != 1 or step.arguments[0].key or not isinstance(step.arguments[0].value, ast.Name):
            message = "`from` reads one label"
            found = "nothing" if not step.arguments else f"`{step.arguments[-1].span.text[:40]}`"
            label = f"expected the name of a label, found {found}"
            return self.report(Diagnostic("missing-argument", message, step.head, label, hint="write  from enc1"), env)
        argument = step.arguments[0]
        assert isinstance(argument.value, ast.Name)
        name = argument.value.name
        value = env.variables.get(name)
        if isinstance(value, LabelValue):
            target: Cursor = value.target
            return target
        if name in visible:
            return visible[name]
        if name == "input" and not env.calls:
            return Cursor(-1, env.entering)
        if value is UNKNOWN:
            self.lost = True
            return LOST
        if value is not None:
            message = f"`{name}` is {describe(value)}, not a label"
            return self.report(Diagnostic("type", message, argument.span, "expected a label"), env)
        return self.report(self._unknown_label(name, argument.span, visible, env), env)

    def _unknown_label(self, name: str, span: Span, visible: Mapping[str, Cursor], env: Env) -> Diagnostic:
        near = did_you_mean(name, [*visible, "input"])
        hint = f"did you mean `{near}`?" if near else f"labels above this line: {', '.join(visible) or 'none'}"
        if env.calls and not near:
            hint = f"a block sees its own labels only; hand it over as an argument:  block {env.calls[-1]}({name})"
        return Diagnostic(
            "unknown-label",
            f"unknown label `{name}`",
            span,
            "no label of this name stands above this line",
            hint=hint,
            fix=Fix(span, near) if near else None,
        )

    def _repeat(self, step: ast.Step, cursor: Cursor, env: Env) -> Cursor:
        if not isinstance(step.body, ast.Body) or step.clauses:
            where = step.clauses[0].name_span if step.clauses else step.head
            hint = "write  repeat 3 { conv 64 3x3 -> relu }"
            return self.report(Diagnostic("structure", "`repeat` needs a number and { }", where, hint=hint), env)
        if not step.body.statements:
            return self.report(Diagnostic("structure", "there is nothing to repeat", step.body.brace), env)
        bound = bind(
            "repeat", attrs_of(Repeat), step.arguments, step.head, env.scope(cursor), lambda d: void(self.report(d, env))
        )
        if bound is None or not bound.known:
            self.lost = True
            self.statements(step.body.statements, LOST, env.inner())
            return LOST
        times = bound.values["times"]
        if times > MAX_LAYERS:
            self._too_much(step, env, f"a net has at most {MAX_LAYERS:,} layers, and this repeats {times:,} times")
        for i in range(times):
            frame = Frame("repeat", f"{i + 1} of {times}", step.head)
            self.steps += 1
            cursor = self.statements(step.body.statements, cursor, replace(env.inner(), trail=(*env.trail, frame)))
        return cursor

    def _residual(self, step: ast.Step, cursor: Cursor, env: Env, label: str) -> Cursor:
        bound = bind(
            "residual", attrs_of(Residual), step.arguments, step.head, env.scope(cursor), lambda d: void(self.report(d, env))
        )
        project = next((c for c in step.clauses if c.name == "project"), None)
        for clause in step.clauses:
            if clause is not project:
                near = did_you_mean(clause.name, ["project"])
                message = f"residual has no `{clause.name}`" if clause.name != "project" else "a second `project`"
                fix = Fix(clause.name_span, near) if near and project is None else None
                hint = f"did you mean `{near}`?" if fix else "residual knows one clause: project { ... }"
                self.report(Diagnostic("structure", message, clause.name_span, hint=hint, fix=fix), env)
        if not isinstance(step.body, ast.Body) or not step.body.statements:
            hint = "write  residual { conv 64 3x3 -> bn }"
            return self.report(Diagnostic("structure", "`residual` needs a body in { }", step.head, hint=hint), env)
        if project is not None and not isinstance(project.body, ast.Body):
            return self.report(Diagnostic("structure", "`project` has no rows", project.name_span), env)
        skip = bound.values.get("skip", "always") if bound else "always"
        if project is not None and skip == "if_same":
            message = "`skip=if_same` and `project` contradict each other"
            hint = "keep project to adapt the shortcut, or skip=if_same to leave it out where shapes differ"
            self.report(Diagnostic("structure", message, project.name_span, hint=hint), env)
        first = len(self.placed)
        end = self.statements(step.body.statements, cursor, env.inner())
        if project is not None and (end.shape is None or cursor.shape is None):
            self.statements(project.body.statements, LOST, env.inner())  # type: ignore[union-attr]
        if end.shape is None or cursor.shape is None or bound is None:
            self.lost = True
            return LOST
        shortcut = cursor
        if end.shape != cursor.shape:
            if skip == "if_same":
                return end
            if project is not None and isinstance(project.body, ast.Body):
                names = env.names.add_scope("project")
                shortcut = self.statements(project.body.statements, cursor, replace(env.inner(), names=names))
        if shortcut.shape is None:
            return LOST
        if shortcut.shape != end.shape:
            return self.report(
                residual_mismatch(step, project, cursor.shape, end.shape, shortcut.shape, self.placed[first:]), env
            )
        return self._place(LAYERS["add"](), step, [end, shortcut], env, label, {})

    # ---- blocks ---------------------------------------------------------------------------------
    def _block(self, step: ast.Step, cursor: Cursor, env: Env, label: str) -> Cursor:
        block = self.blocks[step.name]
        self.called.add(block.name)
        self._refuse_bodies(step, env)
        if block.name in self.recursive:
            self.lost = True
            return LOST
        if len(env.calls) >= MAX_DEPTH:
            self._too_much(step, env, f"blocks call blocks more than {MAX_DEPTH} deep")
        variables = self._call_arguments(block, step, cursor, env)
        if variables is None:
            return LOST
        return self.call(block, variables, cursor, env, step, label)

    def call(
        self,
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
            {**self.globals, **variables},
            Labels(),
            cursor.shape,
            env.names.add_scope(label or block.name),
            trail,
            (*env.calls, block.name),
        )
        if isinstance(block.body, ast.Table):
            message = f"block {block.name} holds rows, but rows belong to concat, add or multiply"
            hint = "write  { concat { | ... | ... } }"
            return self.report(Diagnostic("structure", message, block.body.brace, hint=hint), inside)
        return self.statements(block.body.statements, cursor, inside)

    def _call_arguments(
        self, block: ast.Block, step: ast.Step, cursor: Cursor, env: Env
    ) -> dict[str, Value] | None:
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
                message = f"{block.name} takes {n or 'no'} argument{'s' if n != 1 else ''}; `{argument.span.text[:40]}` is one too many"
                problem = Diagnostic("surplus-argument", message, argument.span, hint=f"the form is  {form}")
            elif name not in parameters:
                near = did_you_mean(name, parameters)
                span = argument.key_span or argument.span
                hint = f"did you mean `{near}`?" if near else f"the form is  {form}"
                fix = Fix(span, near) if near else None
                label = f"parameters of {block.name}: {', '.join(parameters) or 'none'}"
                problem = Diagnostic("unknown-key", f"{block.name} has no `{name}`", span, label, hint=hint, fix=fix)
            elif name in given:
                problem = Diagnostic("duplicate", f"{block.name} gets `{name}` twice", argument.span, "given again here")
            if problem is not None:
                self.report(problem, env)
                good = False
                continue
            try:
                given[name] = evaluate(argument.value, scope)
            except Fault as fault:
                self.report(fault.diagnostic, env)
                good = False
            except NotKnown:
                given[name] = UNKNOWN
        missing = [p.name for p in block.parameters if p.default is None and p.name not in given]
        if missing and good:
            message = f"{block.name} needs {' and '.join(f'`{m}`' for m in missing)}"
            self.report(Diagnostic("missing-argument", message, step.head, hint=f"the form is  {form}"), env)
        if missing or not good:
            return None
        return self.with_defaults(block, given, env)

    def with_defaults(self, block: ast.Block, given: dict[str, Value], env: Env) -> dict[str, Value]:
        """Add the defaults of parameters that a call leaves out; one may use the parameters before it."""
        for p in block.parameters:
            if p.name not in given and p.default is not None:
                try:
                    given[p.name] = evaluate(p.default, Scope({**self.globals, **given}, in_net=False))
                except Fault as fault:
                    self.report(fault.diagnostic, env)
                    given[p.name] = UNKNOWN
                except NotKnown:
                    given[p.name] = UNKNOWN
        return given


def void(_: Any) -> None:
    """Take a value and return nothing, for callbacks that must not return one."""


def block_form(block: ast.Block) -> str:
    """Return how a block is called: ``basic C [stride=1]``."""
    parts = [p.name.upper() if p.default is None else f"[{p.name}={p.default.span.text}]" for p in block.parameters]
    return " ".join([block.name, *parts])


def _flat(shape: Shape) -> Shape:
    return (shape[0] * shape[1] * shape[2],)


def _fits(op: Op, shape: Shape) -> bool:
    try:
        op.infer(shape)
    except (ShapeRuleError, ValueError, IndexError):
        return False
    return True


__all__ = ["Cursor", "Env", "Expander", "Labels", "Placed", "Repeat", "Residual", "TooMuch", "convert"]
