"""The abstract syntax tree: what was written, each node with its span. Nothing is judged here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from ..source import Source, Span


@dataclass(frozen=True)
class Node:
    """Base of all nodes: ``span`` is the text the node was read from."""

    span: Span


# ---- expressions --------------------------------------------------------------------------------
@dataclass(frozen=True)
class Number(Node):
    """``64``, ``0.1``, ``5e-4``, ``1.82G`` or ``10%``; whole numbers are ints."""

    value: int | float


@dataclass(frozen=True)
class Size(Node):
    """``3x3`` or ``28x28x1``."""

    dims: tuple[int, ...]


@dataclass(frozen=True)
class Text(Node):
    """``"data/flowers"``, without its quotes."""

    value: str


@dataclass(frozen=True)
class Name(Node):
    """A variable, a label or a plain word such as ``same``; which one is for the checker to say."""

    name: str


@dataclass(frozen=True)
class Arithmetic(Node):
    """A chain of one precedence, read from the left: ``first``, then operators and operands."""

    first: Expr
    rest: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True)
class Negative(Node):
    operand: Expr


@dataclass(frozen=True)
class Group(Node):
    """An expression in parentheses."""

    inner: Expr


@dataclass(frozen=True)
class Call(Node):
    """``round8(32*width)``."""

    function: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True)
class ListOf(Node):
    """``[0.49, 0.48, 0.45]``."""

    items: tuple[Expr, ...]


Expr = Union[Number, Size, Text, Name, Arithmetic, Negative, Group, Call, ListOf]


# ---- statements ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class Argument(Node):
    """``64`` or ``stride=2``; ``key`` is empty for a bare argument."""

    key: str
    value: Expr
    key_span: Span | None = None


@dataclass(frozen=True)
class Body(Node):
    """Statements between braces; ``brace`` is the opening one."""

    statements: tuple[Statement, ...]
    brace: Span


@dataclass(frozen=True)
class Row(Node):
    """The statements after one bar; ``span`` starts at the bar."""

    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Table(Node):
    """Rows between braces."""

    rows: tuple[Row, ...]
    brace: Span


@dataclass(frozen=True)
class Clause(Node):
    """A second body after the first: ``project { ... }``."""

    name: str
    name_span: Span
    body: Body | Table


@dataclass(frozen=True)
class Step(Node):
    """``conv 64 3x3 stride=2``, ``residual { ... } project { ... }``, ``repeat 3 { ... }``, ``from enc1``."""

    name: str
    name_span: Span
    arguments: tuple[Argument, ...]
    body: Body | Table | None = None
    clauses: tuple[Clause, ...] = ()

    @property
    def head(self) -> Span:
        """The span without bodies: name and arguments."""
        return self.name_span.to(self.arguments[-1].span) if self.arguments else self.name_span


@dataclass(frozen=True)
class Flow(Node):
    """Steps chained by ``->``, named by a label or not (``label`` is then empty)."""

    label: str
    label_span: Span | None
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Declaration(Node):
    """``cnnspec 1``, ``input 28x28x1``, ``classes 10`` or ``defaults conv bias=no``."""

    word: str
    word_span: Span
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class ParamStatement(Node):
    """``param width = 1.0``."""

    name: str
    name_span: Span
    value: Expr


@dataclass(frozen=True)
class Setting(Node):
    """``width = 0.5``, as ``--set`` says it."""

    name: str
    name_span: Span
    value: Expr


@dataclass(frozen=True)
class Parameter(Node):
    """One parameter of a block; ``default`` is None where a call must give it."""

    name: str
    default: Expr | None


@dataclass(frozen=True)
class Block(Node):
    """``block basic(c, stride=1) { ... }``."""

    name: str
    name_span: Span
    parameters: tuple[Parameter, ...]
    body: Body | Table


@dataclass(frozen=True)
class ExpectStatement(Node):
    """``expect macs <= 1.82G``."""

    metric: str
    metric_span: Span
    relation: str
    value: Expr


@dataclass(frozen=True)
class Section(Node):
    """``data { ... }`` or ``train { ... }``."""

    word: str
    word_span: Span
    body: Body | Table


@dataclass(frozen=True)
class Broken(Node):
    """Stands where a statement could not be read; the parser has told why."""


Statement = Union[Flow, Declaration, ParamStatement, Setting, Block, ExpectStatement, Section, Broken]


@dataclass(frozen=True)
class Spec:
    """A whole file."""

    source: Source
    statements: tuple[Statement, ...]
