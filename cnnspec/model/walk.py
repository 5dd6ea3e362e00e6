"""What the walk through a net carries along: where a flow stands, what surrounds it, what has been placed."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..errors import Diagnostic, Fix
from ..ir.fields import Shape
from ..ir.graph import Op
from ..source import Frame, Span, Trail
from ..syntax import ast
from .names import NameScope
from .values import Scope, Value

MAX_LAYERS = 20_000
MAX_STEPS = 100_000  # statements walked through, layers or not
CHARACTERS_PER_STEP = 40  # a longer statement counts as several, since arithmetic takes time
MAX_DEPTH = 80  # bodies within bodies, blocks unrolled
MAX_ERRORS = 200  # counted each time they are met; beyond it nobody reads on


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

    def finding(
        self,
        code: str,
        message: str,
        label: str,
        hint: str,
        *,
        span: Span | None = None,
        fix: Fix | None = None,
        severity: str = "error",
    ) -> Diagnostic:
        """Return a diagnostic at this layer, reached by its way."""
        return Diagnostic(
            code, message, span or self.step.head, label, trail=self.trail, hint=hint, fix=fix, severity=severity
        )


@dataclass(frozen=True)
class Missed:
    """A step at or behind a mistake, of which no layer was made.

    Attributes
    ----------
    number : what its name is asked for by, below those of layers.
    behind : how many layers stand before it.
    shape : of its output; None where it is not known.
    """

    number: int
    behind: int
    span: Span
    trail: Trail
    shape: Shape | None


@dataclass(frozen=True)
class Label:
    """What ``from`` reads under a name, and where the name was given."""

    cursor: Cursor
    span: Span


Variables = ChainMap[str, Value]  # of the innermost loop first, of the block, of the file
Labels = ChainMap[str, Label]  # of one body first, then those of the bodies around it


@dataclass(frozen=True)
class Env:
    """What surrounds a statement: variables, labels, what entered the block, and the way here."""

    variables: Variables
    labels: Labels
    entering: Shape | None
    names: NameScope
    trail: Trail = ()
    calls: tuple[str, ...] = ()
    dead: bool = False  # in a branch that is not taken

    def scope(self, cursor: Cursor) -> Scope:
        return Scope(self.variables, self.labels, self.entering, cursor.shape, dead=self.dead)

    def inner(self) -> Env:
        """The same surroundings with a fresh level of labels."""
        return replace(self, labels=self.labels.new_child())

    def round(self, values: Mapping[str, Value], *frame: Frame) -> Env:
        """The surroundings of one round of a loop."""
        variables = self.variables.new_child(dict(values)) if values else self.variables
        return replace(self.inner(), variables=variables, trail=(*self.trail, *frame))

    def branch_not_taken(self) -> Env:
        """The surroundings of statements that are no part of the net, of which only the names are judged."""
        return replace(self.inner(), names=NameScope(), entering=None, dead=True)
