"""The walk from statements to layers: flows followed, branches joined, shapes inferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from ..errors import Diagnostic, Fix, ShapeRuleError
from ..ir.fields import Shape, dims
from ..ir.filters import Filter
from ..ir.graph import Op
from ..ops import LAYERS
from ..source import Span
from ..syntax import ast
from ..syntax.words import CLAUSES, STRUCTURE, TOP_WORDS
from .arguments import Bound, bind
from .belongs import SECTION_OF, Statements, belongs
from .branches import row_notes
from .elsewhere import is_certain, is_global_maxpool, is_no_layer_of_ours, key_elsewhere, layer_elsewhere
from .findings import Report, guessed, twice
from .forms import signature, written
from .guess import meant
from .structure import EXPANSIONS, REWRITTEN, expand_block
from .values import Value
from .walk import (
    CHARACTERS_PER_STEP,
    LOST,
    MAX_DEPTH,
    MAX_ERRORS,
    MAX_LAYERS,
    MAX_STEPS,
    Cursor,
    Env,
    Label,
    Missed,
    Placed,
    TooMuch,
)


@dataclass
class Expander:
    """Places the layers of a net one by one; every error goes to ``tell`` and the walk goes on."""

    tell: Report
    blocks: Mapping[str, ast.Block]
    defaults: Mapping[tuple[str, str], Bound]  # by the file and the layer
    globals: dict[str, Value]
    recursive: frozenset[str]
    input_shape: Shape | None
    said: Statements
    placed: list[Placed] = field(default_factory=list)
    latest: dict[str, ast.Step] = field(default_factory=dict)  # the last step of each layer's name
    called: set[str] = field(default_factory=set)
    looked_at: set[int] = field(default_factory=set)  # ids of bodies that were walked for their names alone
    missed: list[Missed] = field(default_factory=list)
    assumed: set[int] = field(default_factory=set)  # layers whose shapes rest on one behind a mistake
    steps: int = 0
    depth: int = 0
    errors: int = 0

    def report(self, diagnostic: Diagnostic, env: Env) -> Cursor:
        """Report a finding with the way it was reached; what follows an error is not judged by shape."""
        self.tell(replace(diagnostic, trail=env.trail))
        if diagnostic.severity == "error":
            self.errors += 1
            if self.errors > MAX_ERRORS:
                raise TooMuch
        return LOST

    def reporter(self, env: Env) -> Report:
        """Return a callback that reports from these surroundings."""
        return partial(self.report, env=env)

    # ---- statements and flows -------------------------------------------------------------------
    def statements(self, statements: Sequence[ast.Statement], cursor: Cursor, env: Env) -> Cursor:
        self.depth += 1
        if self.depth > MAX_DEPTH and statements:
            what = f"bodies within bodies, blocks unrolled, are more than {MAX_DEPTH} deep"
            self.report(Diagnostic("nesting", what, statements[0].span, hint="build the net from fewer levels"), env)
            raise TooMuch
        for statement in statements:
            if isinstance(statement, ast.Flow):
                cursor = self.flow(statement, cursor, env)
            elif isinstance(statement, ast.Broken):
                cursor = LOST
                self.errors += 1  # the parser has told it
                self.miss(next(iter(statement.span.text.split()), "?")[:20], _whole_line(statement.span), None, env)
            else:
                message = f"`{statement.span.text.split()[0]}` cannot stand inside braces"
                label, hint = "it belongs to the file as a whole", "move it out of the braces"
                self.report(Diagnostic("structure", message, statement.span, label, hint=hint), env)
        self.depth -= 1
        return cursor

    def flow(self, flow: ast.Flow, cursor: Cursor, env: Env) -> Cursor:
        made = [step for step in flow.steps if step.name != "from"]
        alone = len(made) == 1 and made[0].name not in REWRITTEN  # then the label is the name of that one
        inside = env
        if flow.label:
            self._refuse_label(flow, env)
            if not alone or made[0].name == "residual":
                inside = replace(env, names=env.names.add_scope(flow.label))
        for step in flow.steps:
            cursor = self.step(step, cursor, inside, flow.label if alone else "")
        if flow.label and flow.label_span is not None:
            env.labels[flow.label] = Label(cursor, flow.label_span)
        return cursor

    def _refuse_label(self, flow: ast.Flow, env: Env) -> None:
        assert flow.label_span is not None
        first = env.labels.maps[0].get(flow.label)
        if first is not None:
            message = f"the label `{flow.label}` is given twice"
            self.report(twice(message, flow.label_span, first.span, hint="choose another label"), env)
        elif flow.label in env.variables:
            what = "filter" if isinstance(env.variables[flow.label], Filter) else "parameter"
            message = f"`{flow.label}` is already the name of a {what}"
            self.report(Diagnostic("duplicate", message, flow.label_span, hint="choose another label"), env)

    def step(self, step: ast.Step, cursor: Cursor, env: Env, label: str = "") -> Cursor:
        self.spend(step.head, env)
        known = len(self.missed)
        end = self._step(step, cursor, env, label)
        if end.index == LOST.index and (step.name in LAYERS or len(self.missed) == known or end.shape is not None):
            self.miss(label or step.name, step.head, end.shape, env)
        return end

    def _step(self, step: ast.Step, cursor: Cursor, env: Env, label: str) -> Cursor:
        if step.name in EXPANSIONS:
            return EXPANSIONS[step.name](self, step, cursor, env)
        if step.name in LAYERS:
            return self._layer(step, cursor, env, label)
        if step.name in self.blocks:
            return expand_block(self, step, cursor, env, label)
        return self.report(self._unknown_layer(step, cursor.shape), env)

    def _unknown_layer(self, step: ast.Step, shape: Shape | None) -> Diagnostic:
        name, span, message = step.name, step.name_span, f"unknown layer `{step.name}`"
        if name in SECTION_OF:
            section = SECTION_OF[name]
            hint = f"write it inside  {section} {{ ... }}"
            return Diagnostic("structure", f"`{name}` belongs in the {section} section", span, hint=hint)
        if name in CLAUSES:
            label, hint = (
                "expected right after the } of residual, on the same line",
                "write  residual { ... } project { ... }",
            )
            return Diagnostic("structure", f"`{name}` belongs to a residual", span, label, hint=hint)
        key = self._lost_key(step)
        if key is not None:
            return key
        place = belongs(name, " ".join(step.head.text[len(name) :].split()), self.said)
        if place is not None:
            return Diagnostic("unknown-layer", message, span, place.about, hint=place.hint())
        if is_global_maxpool(name):
            label = "maxpool has a size; that of its input makes it global"
            whole = f"maxpool {shape[0]}x{shape[1]}" if shape is not None and len(shape) == 3 else ""
            hint = f"write  {whole or 'maxpool HxW  with height and width of its input'}"
            fix = Fix(step.head, whole, sure=not step.arguments) if whole else None
            return Diagnostic("unknown-layer", message, span, label, hint=hint, fix=fix)
        label = "no layer and no block of this file has this name"
        if is_no_layer_of_ours(name):
            label, fix = "this version has no such layer", None
        elif (ours := layer_elsewhere(name)) is not None:
            fix = Fix(span, ours, sure=is_certain(name))
        else:
            fix = meant(name, [*LAYERS, *self.blocks, *STRUCTURE, *TOP_WORDS], span)
        return guessed("unknown-layer", message, span, label, fix, "run  cnnspec layers  to see all layers")

    def _lost_key(self, step: ast.Step) -> Diagnostic | None:
        """Return the diagnostic for a key on a line of its own: ``stride 2`` below ``conv 16 3x3``."""
        word = step.name if any(step.name in _keys(cls) for cls in LAYERS.values()) else key_elsewhere(step.name)
        owners = [name for name, cls in LAYERS.items() if word in _keys(cls)]
        if word is None or not owners or len(step.arguments) != 1:
            return None
        written = f"{word}={step.arguments[0].span.text}"
        near = [self.latest[name] for name in owners if name in self.latest]
        last = max(near, key=lambda layer: layer.span.start, default=None)
        fix, hint = None, f"write  {written}  on the line of its layer"
        if last is not None and last.span.source == step.span.source and last.body is None:
            hint = f"write  {' '.join(last.head.text.split())} {written}"
            between = step.span.source.text[last.head.end : step.span.start]
            if last.head.end <= step.span.start and between.strip() in ("", "->"):
                fix = Fix(Span(step.span.source, last.head.end, step.head.end), f" {written}", sure=True)
        message, label = f"`{step.name}` is no layer", f"a key of {', '.join(owners)}"
        return Diagnostic("unknown-layer", message, step.head, label, hint=hint, fix=fix)

    def look_at(self, body: ast.Body | ast.Table, env: Env) -> Cursor:
        """Walk statements that are no part of the net, so that their names are judged too; once is enough."""
        if isinstance(body, ast.Body) and id(body) not in self.looked_at:
            self.looked_at.add(id(body))
            self.statements(body.statements, LOST, env.branch_not_taken())
        return LOST

    def miss(self, name: str, span: Span, shape: Shape | None, env: Env) -> None:
        """Keep a step that made no layer, for the table of a spec with mistakes."""
        if not env.dead:
            number = -3 - len(self.missed)
            env.names.add_layer(name, number)
            self.missed.append(Missed(number, len(self.placed), span, env.trail, shape))

    def behind(self, op: Op, inputs: Sequence[Shape | None]) -> Cursor:
        """Return where a flow stands behind a mistake: a sum has the shape of any branch, dense that of its units."""
        shape = next((shape for shape in inputs if shape is not None), None) if op.name == "add" else None
        with suppress(ShapeRuleError, ValueError, IndexError):
            if shape is None and op.infer((1,)) == op.infer((2,)):
                shape = op.infer((1,))
        return Cursor(LOST.index, shape) if self.errors else LOST

    def is_assumed(self, *cursors: Cursor) -> bool:
        """Whether shapes rest on what stands behind a mistake; they are shown, but no reason for further findings."""
        return any(c.index == LOST.index or c.index in self.assumed for c in cursors)

    def spend(self, span: Span, env: Env) -> None:
        """Count a step; one with much to work out counts as several."""
        self.steps += 1 + (span.end - span.start) // CHARACTERS_PER_STEP
        if self.steps > MAX_STEPS:
            self.too_much(span, env, f"the net is unrolled into more than {MAX_STEPS:,} steps")

    def too_much(self, span: Span, env: Env, message: str) -> None:
        label, hint = "the limit is passed here", "repeat less often"
        self.report(Diagnostic("too-many-layers", message, span, label, hint=hint), env)
        raise TooMuch

    # ---- layers ---------------------------------------------------------------------------------
    def _layer(self, step: ast.Step, cursor: Cursor, env: Env, label: str) -> Cursor:
        cls = LAYERS[step.name]
        self.latest[step.name] = step
        if cls.arity != 1:
            inputs = self._rows(step, cursor, env)
        else:
            inputs = [cursor]
            self.refuse_bodies(step, env)
        said = self.defaults.get((step.span.source.name, step.name))
        defaults = said.values if said is not None else {}
        bound = bind(
            step.name, cls, step.arguments, step.head, env.scope(cursor), self.reporter(env), optional=defaults
        )
        if bound is None or inputs is None or not bound.known:
            return LOST
        op = cls.written({**defaults, **bound.values})
        if any(c.shape is None for c in inputs):
            return self.behind(op, [c.shape for c in inputs])
        return self.place(op, step, inputs, env, label, bound.spans)

    def place(
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
            if not self.is_assumed(*inputs):
                self.report(self._shape_error(error, op, step, shapes, spans), env)
            return self.behind(op, [None] * len(inputs))
        index = len(self.placed)
        if index >= MAX_LAYERS:
            self.too_much(step.head, env, f"the net has more than {MAX_LAYERS:,} layers")
        placed = Placed(op, tuple(c.index for c in inputs), shapes, out, step, env.trail, label, spans)
        self.placed.append(placed)
        if self.is_assumed(*inputs):
            self.assumed.add(index)
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
            fix = Fix(start, "flatten -> ", sure=op.name == "dense")
        notes = error.notes
        if isinstance(step.body, ast.Table) and len(step.body.rows) == len(shapes):
            notes = (*notes, *row_notes(step.body, shapes))
        hint = error.hint
        h, w, c = self.input_shape if self.input_shape is not None and len(self.input_shape) == 3 else (0, 0, 0)
        if h in (1, 3) and w == c > 4:  # written channels first, as other libraries do
            notes = (*notes, f"the input is {h} high, {w} wide and {c} deep: channels come last")
            hint = f"was  input {w}x{c}x{h}  meant?"
        return Diagnostic(error.code, error.message, span, label, notes=notes, hint=hint, fix=fix)

    def refuse_bodies(self, step: ast.Step, env: Env) -> None:
        if step.body is not None:
            cls, message = LAYERS.get(step.name), f"{step.name} takes no {{ }}"
            hint = f"the form is  {signature(step.name, cls)}" if cls is not None else "delete the braces"
            self.report(Diagnostic("structure", message, step.body.brace, hint=hint), env)
        elif step.clauses:
            clause = step.clauses[0]
            self.report(Diagnostic("structure", f"`{clause.name}` does not belong here", clause.name_span), env)

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


def _whole_line(span: Span) -> Span:
    """Return a span up to the end of its line, where the parser lost its way."""
    end = span.source.text.find("\n", span.end)
    return Span(span.source, span.start, end if end >= 0 else len(span.source.text))


def _keys(cls: type) -> list[str]:
    return [a.key for a in written(cls).values() if not a.positional]


def _flat(shape: Shape) -> Shape:
    return (shape[0] * shape[1] * shape[2],)


def _fits(op: Op, shape: Shape) -> bool:
    try:
        op.infer(shape)
    except (ShapeRuleError, ValueError, IndexError):
        return False
    return True
