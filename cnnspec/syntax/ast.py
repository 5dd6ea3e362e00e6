"""The abstract syntax tree: what was written, each node with its span. Nothing is judged here.

The classes leave ``==`` and ``repr`` to their base, because generating both for each of them would cost every
command more time than parsing does.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Union

from ..source import Source, Span


@dataclass(frozen=True, eq=False, repr=False)
class Node:
    """Base of all nodes: ``span`` is the text the node was read from.

    Nodes are equal when they mean the same, wherever they stand; an expression in parentheses means the expression.
    """

    span: Span

    def __eq__(self, other: object) -> bool:
        one, two = _without_parentheses(self), _without_parentheses(other)
        return type(one) is type(two) and one._meaning() == two._meaning()

    def __hash__(self) -> int:
        return hash(_without_parentheses(self)._meaning())

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self._meaning())
        return f"{type(self).__name__}({said})"

    def _meaning(self) -> tuple[tuple[str, object], ...]:
        """Return the fields that are no places."""
        return tuple(
            (f.name, getattr(self, f.name)) for f in fields(self) if f.name != "brace" and "span" not in f.name
        )


# ---- expressions --------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False, repr=False)
class Number(Node):
    """``64``, ``0.1``, ``5e-4``, ``1.82G`` or ``10%``; whole numbers are ints."""

    value: int | float


@dataclass(frozen=True, eq=False, repr=False)
class Size(Node):
    """``3x3`` or ``28x28x1``."""

    dims: tuple[int, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Text(Node):
    """``"data/flowers"``, without its quotes."""

    value: str


@dataclass(frozen=True, eq=False, repr=False)
class Name(Node):
    """A variable, a label or a plain word such as ``same``; which one is for the checker to say."""

    name: str


@dataclass(frozen=True, eq=False, repr=False)
class Arithmetic(Node):
    """A chain of one precedence, read from the left: ``first``, then operators and operands."""

    first: Expr
    rest: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True, eq=False, repr=False)
class Negative(Node):
    """``-0.5``."""

    operand: Expr


@dataclass(frozen=True, eq=False, repr=False)
class Group(Node):
    """An expression in parentheses; a comparison inside makes it yes or no."""

    inner: Expr


@dataclass(frozen=True, eq=False, repr=False)
class Call(Node):
    """``round8(32*width)``."""

    function: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, eq=False, repr=False)
class ListOf(Node):
    """``[0.49, 0.48, 0.45]`` or ``[(1, 16), (6, 24)]``."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, eq=False, repr=False)
class TupleOf(Node):
    """``(1, 16, 1, 1)``, one item of a list."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Node):
    """``t > 1``; ``relation`` is one of ``== != < <= > >=``."""

    left: Expr
    relation: str
    right: Expr


@dataclass(frozen=True, eq=False, repr=False)
class Logic(Node):
    """Two operands or more, joined by ``word``: ``and`` or ``or``."""

    word: str
    operands: tuple[Expr, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Not(Node):
    """``not deep``."""

    operand: Expr


def _without_parentheses(node: Any) -> Any:
    while isinstance(node, Group):
        node = node.inner
    return node


Expr = Union[  # noqa: UP007
    Number, Size, Text, Name, Arithmetic, Negative, Group, Call, ListOf, TupleOf, Comparison, Logic, Not
]


# ---- statements ---------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False, repr=False)
class Argument(Node):
    """``64`` or ``stride=2``; ``key`` is empty for a bare argument."""

    key: str
    value: Expr
    key_span: Span | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Body(Node):
    """Statements between braces; ``brace`` is the opening one."""

    statements: tuple[Statement, ...]
    brace: Span


@dataclass(frozen=True, eq=False, repr=False)
class Row(Node):
    """The statements after one bar; ``span`` starts at the bar."""

    statements: tuple[Statement, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Table(Node):
    """Rows between braces."""

    rows: tuple[Row, ...]
    brace: Span


@dataclass(frozen=True, eq=False, repr=False)
class Clause(Node):
    """A further body after the first: ``project { ... }``, ``else if c > 8 { ... }``, ``else { ... }``.

    ``name`` is ``project``, ``else if`` or ``else``; ``condition`` is that of an ``else if``.
    """

    name: str
    name_span: Span
    body: Body | Table
    condition: Expr | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Step(Node):
    """``conv 64 3x3 stride=2``, ``residual { ... } project { ... }``, ``repeat 3 { ... }``, ``from enc1``.

    The steps ``for c, n in [...] { ... }`` and ``if c > 8 { ... } else { ... }`` have one argument, the list or the
    condition; ``targets`` are the names between ``for`` and ``in``.
    """

    name: str
    name_span: Span
    arguments: tuple[Argument, ...]
    body: Body | Table | None = None
    clauses: tuple[Clause, ...] = ()
    targets: tuple[Name, ...] = ()

    @property
    def head(self) -> Span:
        """The span without bodies: name and arguments."""
        return self.name_span.to(self.arguments[-1].span) if self.arguments else self.name_span


@dataclass(frozen=True, eq=False, repr=False)
class Flow(Node):
    """Steps chained by ``->``, named by a label or not (``label`` is then empty)."""

    label: str
    label_span: Span | None
    steps: tuple[Step, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Declaration(Node):
    """``cnnspec 1``, ``input 28x28x1``, ``classes 10`` or ``defaults conv bias=no``."""

    word: str
    word_span: Span
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, eq=False, repr=False)
class ParamStatement(Node):
    """``param width = 1.0``."""

    name: str
    name_span: Span
    value: Expr


@dataclass(frozen=True, eq=False, repr=False)
class Setting(Node):
    """``width = 0.5``, as ``--set`` says it."""

    name: str
    name_span: Span
    value: Expr


@dataclass(frozen=True, eq=False, repr=False)
class Parameter(Node):
    """One parameter of a block; ``default`` is None where a call must give it."""

    name: str
    default: Expr | None


@dataclass(frozen=True, eq=False, repr=False)
class Block(Node):
    """``block basic(c, stride=1) { ... }``."""

    name: str
    name_span: Span
    parameters: tuple[Parameter, ...]
    body: Body | Table


@dataclass(frozen=True, eq=False, repr=False)
class FilterRow(Node):
    """``1 0 -1``: each number is a Number, a quotient of two (an Arithmetic), or a Negative of either."""

    numbers: tuple[Expr, ...]


@dataclass(frozen=True, eq=False, repr=False)
class FilterPlane(Node):
    """The rows for one input channel; ``span`` starts at its bar, where it has one."""

    rows: tuple[FilterRow, ...]


@dataclass(frozen=True, eq=False, repr=False)
class FilterStatement(Node):
    """``filter vertical { ... }``. Without bars it has one plane, for every input channel (``barred`` is false)."""

    name: str
    name_span: Span
    planes: tuple[FilterPlane, ...]
    barred: bool
    brace: Span


@dataclass(frozen=True, eq=False, repr=False)
class ExpectStatement(Node):
    """``expect macs <= 1.82G``."""

    metric: str
    metric_span: Span
    relation: str
    value: Expr


@dataclass(frozen=True, eq=False, repr=False)
class Section(Node):
    """``data { ... }``, ``train { ... }`` or ``sweep { ... }``, by ``word``."""

    word: str
    word_span: Span
    body: Body | Table


@dataclass(frozen=True, eq=False, repr=False)
class Use(Node):
    """``use "blocks.cnn"``."""

    path: Text


@dataclass(frozen=True, eq=False, repr=False)
class Broken(Node):
    """Stands where a statement could not be read; the parser has told why."""


Statement = Union[  # noqa: UP007
    Flow, Declaration, ParamStatement, Setting, Block, FilterStatement, ExpectStatement, Section, Use, Broken
]


@dataclass(frozen=True)
class Spec:
    """A whole file; ``used`` are the files whose statements stand in it, by their path from its folder."""

    source: Source
    statements: tuple[Statement, ...]
    used: tuple[tuple[str, Source], ...] = ()
    whole: bool = True  # false where a used file could not be read: names are missing then
