"""What the walk through a net carries along: where a flow stands, what surrounds it, what has been placed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..ops.base import Op, Shape
from ..source import Span, Trail
from ..syntax import ast
from .names import NameScope
from .values import Scope, Value

MAX_LAYERS = 20_000
MAX_STEPS = 200_000  # statements walked through, layers or not
MAX_DEPTH = 80  # bodies within bodies, blocks unrolled


class TooMuch(Exception):
    """The net grew beyond its limit; the diagnostic has been reported."""


@dataclass(frozen=True)
class Cursor:
    """Where a flow stands: the layer placed last (-1 is the input) and its shape, None if unknown."""

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
