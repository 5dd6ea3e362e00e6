"""Text to syntax tree: guards first, then Lark, then plain nodes with spans."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from ..errors import Diagnostic
from ..source import Source, Span
from . import ast
from .grammar import build_parser
from .guards import refuse_what_is_no_spec
from .recovery import Recovery
from .words import RESERVED

MAX_DIGITS = 40
MAX_NAME = 100  # characters of a label, a block or a parameter: they stand in tables and weight files

STEPS = ("step", "loop", "choice")  # rules of the grammar that make one

_MULTIPLIERS = {"k": 10**3, "M": 10**6, "G": 10**9}


def parse(source: Source) -> tuple[ast.Spec, list[Diagnostic]]:
    """Return the syntax tree of a spec, and what is wrong with its syntax.

    Where a statement cannot be read, a :class:`ast.Broken` stands in its place, so that the rest of the file
    can still be judged.

    Raises
    ------
    SpecError
        If the text cannot be looked at at all: too large, NUL bytes, absurdly deep nesting.
    """
    refuse_what_is_no_spec(source)
    recovery = Recovery(source)
    parser = build_parser()
    try:
        tree: Any = parser.parse(source.text, on_error=recovery)
    except UnexpectedInput:
        tree = Tree("spec", [])
    builder = _Builder(source)
    spec = builder.spec(tree)
    found = [*recovery.diagnostics, *builder.diagnostics]
    is_python = source.text.lstrip().startswith(("import ", "from "))  # of which a line may be a layer and its argument
    if (found or is_python) and (told := _pasted(source)) is not None:
        return ast.Spec(source, (ast.Broken(told.span),)), [told]
    return spec, sorted(found, key=lambda d: d.span.start)


def _pasted(source: Source) -> Diagnostic | None:
    from .pasted import explain_pasted  # rarely needed

    return explain_pasted(source)


class _Builder:
    """Turns Lark's tree into our nodes; the methods are named after the rules of the grammar."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []

    def span(self, start: Token | ast.Node, end: Token | ast.Node | None = None) -> Span:
        """Return the place of a token or node, or that from the start of one to the end of another."""
        if end is not None:
            return self.span(start).to(self.span(end))
        return Span(self.source, start.start_pos or 0, start.end_pos or 0) if isinstance(start, Token) else start.span

    # ---- statements -----------------------------------------------------------------------------
    def spec(self, tree: Tree) -> ast.Spec:
        return ast.Spec(self.source, self.statements(tree.children))

    def statements(self, children: list[Any]) -> tuple[ast.Statement, ...]:
        found: list[ast.Statement] = []
        for child in children:
            if isinstance(child, Tree):
                known = len(self.diagnostics)
                read = getattr(self, child.data)(child.children)
                statements = read if child.data == "opening" else [read]
                if len(self.diagnostics) > known and child.data in ("flow", "opening"):
                    statements = [ast.Broken(s.span) if isinstance(s, ast.Flow) else s for s in statements]
                found += statements
        return tuple(found)

    def opening(self, children: list[Any]) -> list[ast.Statement]:
        """An input and, where arrows follow, the flow that starts there."""
        steps = self.steps(children)
        said = [c for c in children if not (isinstance(c, Tree) and c.data in STEPS)]
        declaration = self.declaration([c for c in said if not isinstance(c, Token) or c.type != "ARROW"])
        if not steps:
            return [declaration]
        return [declaration, ast.Flow(self.span(steps[0], steps[-1]), "", None, steps)]

    def broken(self, children: list[Any]) -> ast.Broken:
        return ast.Broken(self.span(children[0], children[-1]))

    def declaration(self, children: list[Any]) -> ast.Declaration:
        word, *rest = children
        arguments = self.arguments(rest)
        end = arguments[-1] if arguments else word
        return ast.Declaration(self.span(word, end), str(word), self.span(word), arguments)

    def param(self, children: list[Any]) -> ast.ParamStatement:
        word, name, _, value = children
        expr = self.expr(value)
        self.refuse_reserved(name, "a parameter")
        return ast.ParamStatement(self.span(word, expr), str(name), self.span(name), expr)

    def setting(self, children: list[Any]) -> ast.Setting:
        name, _, value = children
        expr = self.expr(value)
        return ast.Setting(self.span(name, expr), str(name), self.span(name), expr)

    def block(self, children: list[Any]) -> ast.Block:
        word, name, parameters, body_tree = children
        self.refuse_reserved(name, "a block")
        given = self.parameters(parameters.children) if parameters is not None else ()
        body = self.body_of(body_tree)
        return ast.Block(self.span(word, body), str(name), self.span(name), given, body)

    def parameters(self, children: list[Any]) -> tuple[ast.Parameter, ...]:
        return tuple(self.parameter(child.children) for child in children if isinstance(child, Tree))

    def parameter(self, children: list[Any]) -> ast.Parameter:
        name, _, value = children
        self.refuse_reserved(name, "a parameter")
        default = self.expr(value) if value is not None else None
        return ast.Parameter(self.span(name, default or name), str(name), default)

    def filter(self, children: list[Any]) -> ast.FilterStatement:
        word, name, opening, *inner, closing = children
        self.refuse_reserved(name, "a filter")
        trees = [child for child in inner if isinstance(child, Tree)]
        barred = any(tree.data == "plane" for tree in trees)
        if barred:
            planes = tuple(self.plane(tree.children) for tree in trees)
        else:
            rows = tuple(self.numbers(tree.children) for tree in trees)
            planes = (ast.FilterPlane(self.span(rows[0], rows[-1]), rows),) if rows else ()
        span = self.span(word, closing)
        return ast.FilterStatement(span, str(name), self.span(name), planes, barred, self.span(opening))

    def plane(self, children: list[Any]) -> ast.FilterPlane:
        bar, *rest = children
        rows = tuple(self.numbers(child.children) for child in rest if isinstance(child, Tree))
        return ast.FilterPlane(self.span(bar, rows[-1] if rows else bar), rows)

    def numbers(self, children: list[Any]) -> ast.FilterRow:
        numbers = tuple(self.cell(child.children) for child in children)
        return ast.FilterRow(self.span(numbers[0], numbers[-1]), numbers)

    def cell(self, children: list[Any]) -> ast.Expr:
        minus, first, divide, second = children
        value: ast.Expr = self.number([first])
        if second is not None:
            divisor = self.number([second])
            value = ast.Arithmetic(self.span(value, divisor), value, ((str(divide), divisor),))
        return value if minus is None else ast.Negative(self.span(minus, value), value)

    def expect(self, children: list[Any]) -> ast.ExpectStatement:
        word, metric, relation, value = children
        expr = self.expr(value)
        return ast.ExpectStatement(self.span(word, expr), str(metric), self.span(metric), str(relation), expr)

    def use(self, children: list[Any]) -> ast.Use:
        word, path = children
        text = self.text([path])
        return ast.Use(self.span(word, text), text)

    def section(self, children: list[Any]) -> ast.Section:
        word, body_tree = children
        body = self.body_of(body_tree)
        return ast.Section(self.span(word, body), str(word), self.span(word), body)

    def flow(self, children: list[Any]) -> ast.Flow:
        label_tree, *rest = children
        label, label_span = "", None
        steps = self.steps(rest)
        start: Any = steps[0]
        if label_tree is not None:
            name: Any = label_tree.children[0]
            start = name
            label, label_span = str(name), self.span(name)
            self.refuse_reserved(name, "a label")
        return ast.Flow(self.span(start, steps[-1]), label, label_span, steps)

    def steps(self, children: list[Any]) -> tuple[ast.Step, ...]:
        trees = (child for child in children if isinstance(child, Tree) and child.data in STEPS)
        return tuple(getattr(self, tree.data)(tree.children) for tree in trees)

    def step(self, children: list[Any]) -> ast.Step:
        name, *rest = children
        trees = [child for child in rest if isinstance(child, Tree)]
        arguments = self.arguments([t for t in trees if t.data not in ("body", "table", "clause")])
        bodies = [self.body_of(t) for t in trees if t.data in ("body", "table")]
        clauses = tuple(self.clause(t.children) for t in trees if t.data == "clause")
        end: Any = next((x for x in (clauses[-1:], bodies, arguments[-1:]) if x), (name,))[-1]
        return ast.Step(
            self.span(name, end),
            str(name),
            self.span(name),
            arguments,
            bodies[0] if bodies else None,
            clauses,
        )

    def clause(self, children: list[Any]) -> ast.Clause:
        name, body_tree = children
        body = self.body_of(body_tree)
        return ast.Clause(self.span(name, body), str(name), self.span(name), body)

    def loop(self, children: list[Any]) -> ast.Step:
        word, *names, _, over_tree, body_tree = children
        targets = [name for name in names if name.type == "NAME"]
        for name in targets:
            self.refuse_reserved(name, "a value of a loop")
        over, body = self.bare(over_tree), self.body_of(body_tree)
        return ast.Step(
            self.span(word, body), "for", self.span(word), (over,), body, targets=tuple(map(self.name_of, targets))
        )

    def choice(self, children: list[Any]) -> ast.Step:
        word, condition_tree, body_tree, *others = children
        condition, body = self.bare(condition_tree), self.body_of(body_tree)
        clauses = tuple(self.otherwise(tree.children) for tree in others)
        end = clauses[-1] if clauses else body
        return ast.Step(self.span(word, end), "if", self.span(word), (condition,), body, clauses)

    def otherwise(self, children: list[Any]) -> ast.Clause:
        word, second, condition_tree, body_tree = children
        body = self.body_of(body_tree)
        if second is None:
            return ast.Clause(self.span(word, body), "else", self.span(word), body)
        condition = self.expr(condition_tree)
        return ast.Clause(self.span(word, body), "else if", self.span(word, second), body, condition)

    def body_of(self, tree: Tree) -> ast.Body | ast.Table:
        children: list[Any] = tree.children
        opening, *inner, closing = children
        span = self.span(opening, closing)
        if tree.data == "body":
            return ast.Body(span, self.statements(inner), self.span(opening))
        rows = tuple(self.row(child.children) for child in inner if isinstance(child, Tree))
        return ast.Table(span, rows, self.span(opening))

    def row(self, children: list[Any]) -> ast.Row:
        bar, *rest = children
        statements = self.statements(rest)
        return ast.Row(self.span(bar, statements[-1] if statements else bar), statements)

    # ---- arguments and expressions ---------------------------------------------------------------
    def arguments(self, children: list[Any]) -> tuple[ast.Argument, ...]:
        return tuple(self.argument(child) for child in children if child is not None)

    def argument(self, tree: Tree) -> ast.Argument:
        if tree.data == "keyed":
            key, _, value = tree.children
            assert isinstance(key, Token)
            expr = self.expr(value)
            return ast.Argument(self.span(key, expr), str(key), expr, self.span(key))
        return self.bare(tree.children[0])

    def bare(self, tree: Any) -> ast.Argument:
        expr = self.expr(tree)
        return ast.Argument(expr.span, "", expr)

    def expr(self, tree: Any) -> ast.Expr:
        result: ast.Expr = getattr(self, tree.data)(tree.children)
        return result

    def number(self, children: list[Any]) -> ast.Number:
        token = children[0]
        return ast.Number(self.span(token), self._number(token))

    def _number(self, token: Token) -> int | float:
        if len(token) > MAX_DIGITS:
            return self._not_a_number(token, f"the number has {len(token):,} digits; {MAX_DIGITS} are enough")
        digits, last = (token[:-1], token[-1]) if token[-1] in "kMG%" else (str(token), "")
        exact = Decimal(digits)
        if exact.adjusted() > MAX_DIGITS or exact.adjusted() < -400:
            return self._not_a_number(token, f"`{token}` is beyond all that a net could use")
        if last == "%":
            return float(exact / 100)
        exact *= _MULTIPLIERS.get(last, 1)
        whole = exact == exact.to_integral_value() and not (last == "" and re.search(r"[.eE]", digits))
        return int(exact) if whole else float(exact)

    def _not_a_number(self, token: Token, message: str) -> int:
        self.diagnostics.append(Diagnostic("arithmetic", message, self.span(token)))
        return 1

    def size(self, children: list[Any]) -> ast.Size:
        token = children[0]
        if len(token) > MAX_DIGITS:
            self._not_a_number(token, f"the size has {len(token):,} characters; {MAX_DIGITS} are enough")
            return ast.Size(self.span(token), (1, 1))
        return ast.Size(self.span(token), tuple(int(d) for d in token.split("x")))

    def text(self, children: list[Any]) -> ast.Text:
        return ast.Text(self.span(children[0]), children[0][1:-1])

    def name(self, children: list[Any]) -> ast.Name:
        return self.name_of(children[0])

    def name_of(self, token: Token) -> ast.Name:
        return ast.Name(self.span(token), str(token))

    def arithmetic(self, children: list[Any]) -> ast.Arithmetic:
        first = self.expr(children[0])
        rest: list[tuple[str, ast.Expr]] = []
        end = first
        for operator, tree in zip(children[1::2], children[2::2], strict=True):
            operand = self.expr(tree)
            if operator == "-":
                self.refuse_leading_minus(end, operator, operand)
            rest.append((str(operator), operand))
            end = operand
        return ast.Arithmetic(self.span(first, end), first, tuple(rest))

    def refuse_leading_minus(self, left: ast.Expr, minus: Token, right: ast.Expr) -> None:
        """`conv 8 -1` would quietly mean `conv 7`; whoever writes it means something else."""
        start, end = minus.start_pos or 0, minus.end_pos or 0
        if left.span.end < start and end == right.span.start:
            a, b = left.span.text, right.span.text
            message, label = "is this a subtraction or a negative number?", "a space before the minus and none after it"
            hint = f"write {a} - {b} to subtract, (-{b}) for a second value"
            self.diagnostics.append(Diagnostic("syntax", message, self.span(minus, right), label, hint=hint))

    def negative(self, children: list[Any]) -> ast.Negative:
        operand = self.expr(children[1])
        return ast.Negative(self.span(children[0], operand), operand)

    def group(self, children: list[Any]) -> ast.Group:
        return ast.Group(self.span(children[0], children[2]), self.expr(children[1]))

    def call(self, children: list[Any]) -> ast.Call:
        return ast.Call(self.span(children[0], children[-1]), str(children[0]), self.items(children))

    def list_of(self, children: list[Any]) -> ast.ListOf:
        return ast.ListOf(self.span(children[0], children[-1]), self.items(children))

    def tuple_of(self, children: list[Any]) -> ast.TupleOf:
        return ast.TupleOf(self.span(children[0], children[-1]), self.items(children))

    def items(self, children: list[Any]) -> tuple[ast.Expr, ...]:
        return tuple(self.expr(child) for child in children if isinstance(child, Tree))

    def relation(self, children: list[Any]) -> ast.Comparison:
        left, relation, right = children
        first, last = self.expr(left), self.expr(right)
        return ast.Comparison(self.span(first, last), first, str(relation), last)

    def logic(self, children: list[Any]) -> ast.Logic:
        operands = self.items(children)
        return ast.Logic(self.span(operands[0], operands[-1]), str(children[1]), operands)

    def not_(self, children: list[Any]) -> ast.Not:
        operand = self.expr(children[1])
        return ast.Not(self.span(children[0], operand), operand)

    # ---- names ----------------------------------------------------------------------------------
    def refuse_reserved(self, name: Token, what: str) -> None:
        if len(name) > MAX_NAME:
            message = f"the name has {len(name):,} characters; {MAX_NAME} are enough"
            self.diagnostics.append(Diagnostic("syntax", message, self.span(name), hint=f"shorten it to {name[:20]}"))
        if name in RESERVED or "." in name:
            why, better = (
                ("is a reserved word", f"{name}_") if name in RESERVED else ("has a dot", name.replace(".", "_"))
            )
            message, hint = f"`{name}` {why} and cannot name {what}", f"choose another name, such as {better}"
            self.diagnostics.append(Diagnostic("reserved", message, self.span(name), hint=hint))
