"""What an expression of a spec stands for, and how it is worked out."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, Union

from ..errors import Diagnostic, Fix, did_you_mean
from ..ir.fields import Shape, dims
from ..ir.filters import Filter
from ..source import Span
from ..syntax import ast
from ..text import some
from .filter_library import FILTERS, built_in, counts
from .findings import Report, guessed
from .guess import meant

LARGEST = 10**18  # beyond it no size, count or cost of a net is meant


@dataclass(frozen=True)
class Word:
    """A name that stands for itself, such as ``same`` or ``val.accuracy``."""

    name: str


@dataclass(frozen=True)
class Dims:
    """A size such as 3x3."""

    dims: tuple[int, ...]


@dataclass(frozen=True)
class LabelValue:
    """A label handed to a block, so that ``from`` can read it there."""

    name: str
    target: Any


@dataclass(frozen=True)
class Unknown:
    """A value that an error elsewhere keeps us from knowing; whatever depends on it is not judged."""


T = TypeVar("T")
Value = Union[int, float, str, Word, Dims, LabelValue, Filter, Unknown, tuple]  # noqa: UP007
UNKNOWN = Unknown()
YES, NO = Word("yes"), Word("no")


class Fault(Exception):
    """An expression or argument is wrong; holds the diagnostic."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


def _fault(code: str, message: str, span: Span, label: str = "", hint: str = "") -> Fault:
    return Fault(Diagnostic(code, message, span, label, hint=hint))


class NotKnown(Exception):
    """The value depends on something that an earlier error left unknown."""


@dataclass(frozen=True)
class Scope:
    """What names mean at one place: variables, labels, and the shapes behind ``in`` and ``here``."""

    variables: Mapping[str, Value] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    entering: Shape | None = None  # of the block (in.c); None where unknown
    here: Shape | None = None  # of this very step (here.c)
    in_net: bool = True  # false in sections and declarations, where nothing enters
    dead: bool = False  # in a branch that is not taken: names must be known, their values are not


def attempt(read: Callable[[ast.Expr, Scope], T], expr: ast.Expr, scope: Scope, report: Report) -> T | Unknown:
    """Return the value that ``read`` finds for an expression; UNKNOWN, a fault reported, where it has none."""
    try:
        return read(expr, scope)
    except Fault as fault:
        report(fault.diagnostic)
    except NotKnown:
        pass
    return UNKNOWN


def describe(value: Value) -> str:
    """Return a value as messages name it."""
    if isinstance(value, Word):
        return f"the word `{value.name}`"
    if isinstance(value, Dims):
        return f"the size {dims(value.dims)}"
    if isinstance(value, Filter):
        return f"the filter `{value}`"
    if isinstance(value, LabelValue):
        return f"the label `{value.name}`"
    if isinstance(value, str):
        return f'the text "{value[:40]}"'
    if isinstance(value, tuple):
        return "a list"
    return f"{value:.12g}" if isinstance(value, float) else f"{value}"


def evaluate(expr: ast.Expr, scope: Scope) -> Value:
    """Return the value of an expression.

    Raises
    ------
    Fault
        If it has none: unknown names in arithmetic, division by zero, numbers beyond all use.
    NotKnown
        If it depends on what an earlier error left unknown.
    """
    if isinstance(expr, ast.Number):
        return expr.value
    if isinstance(expr, ast.Size):
        return Dims(expr.dims)
    if isinstance(expr, ast.Text):
        return expr.value
    if isinstance(expr, ast.Name):
        return _name(expr, scope)
    if isinstance(expr, ast.Group):
        return evaluate(expr.inner, scope)
    if isinstance(expr, (ast.ListOf, ast.TupleOf)):
        return tuple(evaluate(item, scope) for item in expr.items)
    if isinstance(expr, ast.Negative):
        return _bounded(-number(expr.operand, scope), expr.span)
    if isinstance(expr, ast.Call):
        return _call(expr, scope)
    if isinstance(expr, ast.Arithmetic):
        return _arithmetic(expr, scope)
    return YES if truth(expr, scope) else NO


def number(expr: ast.Expr, scope: Scope) -> int | float:
    """Return the value of an expression that must be a number."""
    value = evaluate(expr, scope)
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, Word):
        raise Fault(unknown_name(value.name, expr.span, scope))
    raise _fault("type", "arithmetic needs numbers", expr.span, f"expected a number, found {describe(value)}")


def unknown_name(name: str, span: Span, scope: Scope) -> Diagnostic:
    """Return the diagnostic for a name that stands for no number here."""
    variables = [v for v, value in scope.variables.items() if not isinstance(value, Unknown)]
    known = [*variables, *(("in.c", "in.h", "in.w", "here.c", "here.h", "here.w") if scope.in_net else ())]
    fix = meant(name, [*known, "classes"], span)
    if span.text in scope.variables and span.text != name:  # the word came through the parameter of a block
        label = f"`{span.text}` is given the word `{name}`"
        near = did_you_mean(name, [k for k in known if k != span.text])
        hint = f"did you mean `{near}`?" if near else f"give {span.text} a number where the block is called"
        return Diagnostic("unknown-name", f"unknown name `{name}`", span, label, hint=hint)
    hint = f"known here: {', '.join(known[:20])}" if known else f"give it a value at the top:  param {name} = 1"
    label = "no parameter of this name is known here"
    return guessed("unknown-name", f"unknown name `{name}`", span, label, fix, hint)


def _name(expr: ast.Name, scope: Scope) -> Value:
    name = expr.name
    if name in scope.variables:
        value = scope.variables[name]
        if isinstance(value, Unknown) or scope.dead:
            raise NotKnown
        return value
    head, _, axis = name.partition(".")
    if head in ("in", "here") and axis:
        return _dimension(expr, head, axis, scope)
    if name in scope.labels:
        return LabelValue(name, scope.labels[name].cursor)
    if name == "classes":
        label = "neither a data source with known classes nor a `classes` line says it"
        hint = "add a line such as  classes 10  or  data { source digits }"
        raise _fault("classes", "the number of classes is not known", expr.span, label, hint)
    return Word(name)


def _dimension(expr: ast.Name, head: str, axis: str, scope: Scope) -> int:
    if axis not in ("h", "w", "c"):
        near = {"channels": "c", "height": "h", "width": "w", "x": "w", "y": "h"}.get(axis, "c")
        label, hint = f"`{head}` has .h, .w and .c", f"did you mean `{head}.{near}`?"
        raise _fault("unknown-name", f"unknown name `{expr.name}`", expr.span, label, hint)
    if not scope.in_net:
        label = "only layers have something that enters"
        raise _fault("unknown-name", f"`{expr.name}` means nothing here", expr.span, label)
    shape = scope.entering if head == "in" else scope.here
    if shape is None:
        raise NotKnown
    if len(shape) == 1 and axis != "c":
        message = f"`{expr.name}`: a flat vector of {shape[0]} has no height or width"
        raise _fault("shape", message, expr.span, hint=f"use {head}.c for its length")
    return shape["hwc".index(axis)] if len(shape) == 3 else shape[0]


# ---- conditions ---------------------------------------------------------------------------------
def truth(expr: ast.Expr, scope: Scope) -> bool:
    """Return whether a condition holds; ``and`` and ``or`` work out no more than they need. Raises as evaluate does."""
    if isinstance(expr, ast.Not):
        return not truth(expr.operand, scope)
    if isinstance(expr, ast.Comparison):
        return _compare(expr, scope)
    if isinstance(expr, ast.Logic):
        return _logic(expr, scope)
    value = evaluate(expr, scope)
    if value in (YES, NO):
        return value == YES
    if isinstance(value, Word):
        ours = {"true": "yes", "false": "no"}.get(value.name.lower())
        if ours is None or expr.span.text != value.name:
            raise Fault(unknown_name(value.name, expr.span, scope))
        fix = Fix(expr.span, ours, sure=True)
        raise Fault(Diagnostic("type", "a condition is yes or no", expr.span, hint=f"write  {ours}", fix=fix))
    hint = f"compare it, as in  {expr.span.text} > 0" if isinstance(value, (int, float)) else ""
    raise _fault("type", "a condition is yes or no", expr.span, f"expected a comparison, found {describe(value)}", hint)


def _logic(expr: ast.Logic, scope: Scope) -> bool:
    decisive, settled, known = expr.word == "or", False, True
    for operand in expr.operands:
        try:
            if truth(operand, scope) == decisive:
                settled, scope = True, replace(scope, dead=True)
        except NotKnown:
            known = known and settled
    if not settled and not known:
        raise NotKnown
    return settled == decisive


def _compare(expr: ast.Comparison, scope: Scope) -> bool:
    values: list[Value] = []
    for side in (expr.left, expr.right):
        try:
            values.append(evaluate(side, scope))
        except NotKnown:
            values.append(UNKNOWN)
    left, right = values
    _refuse_unknown_words(expr, left, right, scope)
    if UNKNOWN in values:
        raise NotKnown
    numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
    if expr.relation in ("==", "!="):
        if numbers or (type(left) is type(right) and isinstance(left, (Dims, Word, str))):
            return (left == right) == (expr.relation == "==")
        size, length = (left, right) if isinstance(left, Dims) else (right, left)
        if isinstance(size, Dims) and isinstance(length, (int, float)):  # 3 is short for 3x3
            return (set(size.dims) == {length}) == (expr.relation == "==")
        label = f"{describe(left)} and {describe(right)}"
        raise _fault("type", "two things of different kinds cannot be compared", expr.span, label)
    if not numbers:
        label = f"{describe(left)} and {describe(right)}"
        hint = "compare sizes and words by == and !=; a size has no order"
        raise _fault("type", f"`{expr.relation}` compares numbers", expr.span, label, hint)
    return bool(_RELATIONS[expr.relation](left, right))


def _refuse_unknown_words(expr: ast.Comparison, left: Value, right: Value, scope: Scope) -> None:
    """Refuse ``strid == 2`` and ``mode == fast`` where nothing has the name: a word is compared to what may differ."""
    for side, value, other in ((expr.left, left, right), (expr.right, right, left)):
        alone = isinstance(other, (int, float, Dims)) or (side is expr.left and _is_itself(expr.right, right))
        if isinstance(value, Word) and _is_itself(side, value) and value not in (YES, NO) and alone:
            raise Fault(unknown_name(value.name, side.span, scope))


def _is_itself(expr: ast.Expr, value: Value) -> bool:
    return isinstance(expr, ast.Name) and isinstance(value, Word) and expr.name == value.name


_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


# ---- arithmetic ---------------------------------------------------------------------------------


def _arithmetic(expr: ast.Arithmetic, scope: Scope) -> int | float:
    try:
        result = number(expr.first, scope)
    except Fault as fault:
        if expr.rest[0][0] == "//":  # elsewhere a comment begins so
            raise Fault(replace(fault.diagnostic, hint=fault.diagnostic.hint or "a comment begins with #")) from None
        raise
    for sign, operand in expr.rest:
        right = number(operand, scope)
        if sign in ("/", "//") and right == 0:
            span, label = expr.first.span.to(operand.span), f"{operand.span.text} is 0"
            raise _fault("arithmetic", "division by zero", span, label)
        result = _OPERATORS[sign](result, right)
        if not abs(result) <= LARGEST:  # also catches nan
            raise _too_large(expr.first.span.to(operand.span))
    return result


def _divide(a: float, b: float) -> int | float:
    quotient = a / b
    return int(quotient) if isinstance(a, int) and isinstance(b, int) and a % b == 0 else quotient


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "//": operator.floordiv,
}


def _bounded(value: int | float, span: Span) -> int | float:
    if not abs(value) <= LARGEST:
        raise _too_large(span)
    return value


def _too_large(span: Span) -> Fault:
    return _fault("arithmetic", "the number is beyond all that a net could use", span, f"more than {LARGEST:.0e}")


def round8(value: float) -> int:
    """Round to a multiple of 8, at least 8 and never below 90 % of the value (Sandler et al. 2018)."""
    rounded = max(8, math.floor(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


# name -> (function, fewest arguments, most arguments)
FUNCTIONS: dict[str, tuple[Callable[..., int | float], int, int]] = {
    "round8": (round8, 1, 1),
    "round": (lambda x: math.floor(x + 0.5), 1, 1),
    "floor": (math.floor, 1, 1),
    "ceil": (math.ceil, 1, 1),
    "min": (lambda *numbers: min(numbers), 1, 99),  # Python's own takes one number for a list
    "max": (lambda *numbers: max(numbers), 1, 99),
}


def _call(expr: ast.Call, scope: Scope) -> int | float | Filter:
    if expr.function in FILTERS:
        return _built_in(expr, scope)
    if expr.function not in FUNCTIONS:
        near = did_you_mean(expr.function, FUNCTIONS)
        label, hint = f"known functions: {', '.join(FUNCTIONS)}", f"did you mean `{near}`?" if near else ""
        raise _fault("unknown-name", f"unknown function `{expr.function}`", expr.span, label, hint)
    function, fewest, most = FUNCTIONS[expr.function]
    if not fewest <= len(expr.arguments) <= most:
        wanted = "one number" if most == 1 else "one number or more"
        raise _fault("type", f"{expr.function} takes {wanted}, but gets {len(expr.arguments)}", expr.span)
    return _bounded(function(*(number(a, scope) for a in expr.arguments)), expr.span)


def _built_in(expr: ast.Call, scope: Scope) -> Filter:
    """Return a filter of the library that is called with its numbers: ``gabor(45, 4)``."""
    word, (fewest, most) = expr.function, counts(expr.function)
    if not fewest <= len(expr.arguments) <= most:
        wanted = some(most, "number") if fewest == most else f"{fewest} to {most} numbers"
        message = f"{word} takes {wanted if most else 'no numbers'}, but gets {len(expr.arguments)}"
        hint = f"see  cnnspec layers {word}" if most else f"write  {word}"
        raise _fault("type", message, expr.span, hint=hint)
    numbers = [number(a, scope) for a in expr.arguments]
    try:
        return built_in(word, *numbers)
    except ValueError as error:
        raise _fault("range", f"{word}: {error}", expr.span) from None
