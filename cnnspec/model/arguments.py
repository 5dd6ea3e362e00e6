"""Arguments of layers and settings: matched to declared fields, typed, and every misfit told.

All that is known about a layer here is its declaration, :func:`cnnspec.ir.fields.attrs_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import Diagnostic, Fix
from ..ir.fields import REQUIRED, Attr, dims
from ..ir.filters import Filter
from ..source import Span
from ..syntax import ast
from ..text import plain
from .filter_library import FILTERS, built_in, counts
from .findings import Report, guessed, hint_of, twice
from .forms import written
from .guess import meant
from .misfits import (
    keys_without_equals,
    missing_argument,
    name_of,
    no_equals,
    number_of_filters,
    product_for_size,
    surplus_argument,
    swapped,
    unknown_key,
)
from .values import UNKNOWN, Dims, Fault, LabelValue, NotKnown, Scope, Value, Word, describe, evaluate, unknown_name

MOST_LEARNED = 1_000_000  # filters of a convolution
YES_NO = {"yes": True, "no": False}
NEARLY_YES_NO = {"true": "yes", "on": "yes", "false": "no", "off": "no", "none": "no"}


@dataclass
class Bound:
    """Typed values by field name, and the span each was written at."""

    values: dict[str, Any] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    known: bool = True  # false when a value depends on what an earlier error left unknown


def bind(
    name: str,
    cls: type,
    arguments: Sequence[ast.Argument],
    head: Span,
    scope: Scope,
    report: Report,
    *,
    optional: Container[str] = (),
) -> Bound | None:
    """Match arguments to the fields of a class and type them; report every misfit and return None if there was one.

    ``optional`` names fields that may be missing although they have no default, since ``defaults`` has them.
    """
    fields = written(cls)
    by_key = {a.key: f for f, a in fields.items()}
    waiting = [f for f, a in fields.items() if a.positional]
    bound, good = Bound(), True
    given: dict[str, ast.Argument] = {}
    pairs = keys_without_equals(arguments, fields, scope)
    told: set[int] = set()  # arguments that a report about another one has covered
    for argument in arguments:
        if id(argument) in told:
            continue
        target = by_key.get(argument.key) if argument.key else next((f for f in waiting if f not in given), None)
        misfit = None
        if id(argument) in pairs:
            told.add(id(pairs[id(argument)]))
            misfit = no_equals(name, argument, pairs[id(argument)])
        elif target is not None and fields[target].kind == "filters" and isinstance(argument.value, ast.Number):
            misfit = number_of_filters(name, argument)
        elif target is None and argument.key:
            misfit = unknown_key(name, cls, argument, by_key, arguments)
        elif target is None:
            told.update(id(a) for a in arguments if not a.key and id(a) not in pairs)
            misfit = surplus_argument(name, cls, argument, arguments)
        elif target in given:
            message = f"{name} gets `{fields[target].key}` twice"
            misfit = twice(message, argument.span, given[target].span, hint="delete one of the two")
        if misfit is not None:
            good = False
            report(misfit)
            continue
        assert target is not None  # an argument without one is a misfit
        given[target] = argument
        try:
            bound.values[target] = convert(name, fields[target], argument.value, scope)
            bound.spans[target] = argument.span
            product = product_for_size(name, fields[target], argument.value)
            if product is not None:
                report(product)
        except Fault as fault:
            changed_places = swapped(name, fields[target], argument, arguments)
            report(changed_places or fault.diagnostic)
            good = False
            if changed_places is not None:
                return None
        except NotKnown:
            bound.known = False
    said = {f: fields[g] for g in given for f in fields[g].says}
    for f, by in said.items():
        if f in given:
            report(_said_already(name, fields[f], by, given[f]))
            good = False
    for f, a in fields.items():
        if a.default is REQUIRED and f not in given and f not in optional and f not in said:
            if good:  # a misfit above explains a gap better than the gap itself
                report(missing_argument(name, cls, a, head))
            good = False
    return bound if good else None


def _said_already(name: str, a: Attr, by: Attr, argument: ast.Argument) -> Diagnostic:
    """Return the diagnostic for a field that follows from another one: ``conv 8 3x3 filters=[...]``."""
    message = f"{name_of(name, a)} follows from `{by.key}`"
    hint = f"delete it; a number among the {by.key} says how many are learned"
    return Diagnostic("surplus-argument", message, argument.span, "said already", hint=hint)


# ---- typing -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Given:
    """A value written for a field of a layer or setting, and what messages about it say."""

    name: str  # of the layer or setting
    attr: Attr
    expr: ast.Expr
    scope: Scope
    value: Value = UNKNOWN

    @property
    def about(self) -> str:
        return f"{self.attr.key}: {self.attr.doc}" if self.attr.doc else ""

    def fault(
        self, said: str, label: str = "", *, code: str = "type", hint: str | None = None, fix: Fix | None = None
    ) -> Fault:
        """Return the error that says something about the field; without a hint it tells what the field is."""
        message = f"{name_of(self.name, self.attr)} {said}"
        hint = self.about if hint is None else hint
        return Fault(Diagnostic(code, message, self.expr.span, label, hint=hint, fix=fix))

    def wrong_type(self, wanted: str, hint: str | None = None) -> Fault:
        if isinstance(self.value, Word) and self.attr.kind in ("int", "float", "size", "floats"):
            return Fault(unknown_name(self.value.name, self.expr.span, self.scope))
        return self.fault(f"must be {wanted}", f"expected {wanted}, found {describe(self.value)}", hint=hint)

    def unknown_value(self, found: str, words: Sequence[str]) -> Fault:
        fix = meant(found, [word for word in words if " " not in word], self.expr.span)
        if self.attr.kind == "padding" and found.lower() in ("valid", "zero", "no"):  # as other libraries say it
            fix = Fix(self.expr.span, "none", sure=True)
        hint, verbatim = hint_of(fix, self.about), self.expr.span.text == found
        said, label = f"cannot be `{found}`", f"expected {_one_of(words)}"
        return self.fault(said, label, code="unknown-value", hint=hint, fix=fix if verbatim else None)

    def unquoted(self, found: str) -> Fault:
        text = self.expr.span.text
        quoted = Fix(self.expr.span, f'"{text}"', sure=text[:1].isalpha() and '"' not in text and "\n" not in text)
        said, label = "is a text in double quotes", f"expected a text, found {found}"
        return self.fault(said, label, hint=f"write {quoted.replacement}", fix=quoted)


def convert(name: str, a: Attr, expr: ast.Expr, scope: Scope) -> Any:
    """Return the typed value of one argument.

    Raises
    ------
    Fault
        If the value is of the wrong type, out of range or no known word.
    NotKnown
        If it depends on what an earlier error left unknown.
    """
    if a.kind == "str" and isinstance(expr, ast.Arithmetic):
        raise _Given(name, a, expr, scope).unquoted("arithmetic")  # such as a path without its quotes
    value = evaluate(expr, scope)
    given = _Given(name, a, expr, scope, value)
    if isinstance(value, str) and a.kind in ("word", "bool", "padding", "window") and _is_word(value):
        bare = Fix(expr.span, value, sure=expr.span.text == f'"{value}"')
        raise given.fault("is a word, and words have no quotes", hint=f"write {value}", fix=bare)
    typed = _KINDS[a.kind](given)
    for part in typed if isinstance(typed, tuple) else (typed,):
        if isinstance(part, (int, float)) and not isinstance(part, bool):
            _check_range(given, part)
    return typed


def _is_word(text: str) -> bool:
    return text.replace(".", "_").isidentifier() and text.isascii()


def _check_range(given: _Given, value: int | float) -> None:
    a, text = given.attr, given.expr.span.text
    too_low = a.min is not None and value < a.min
    too_high = a.max is not None and value > a.max
    if not (too_low or too_high):
        return
    if a.min is not None and a.max is not None and not (too_low and a.max >= 1_000_000):
        wanted = f"between {plain(a.min)} and {plain(a.max)}"
    elif a.min is not None and too_low:
        wanted = f"at least {plain(a.min)}"
    else:
        wanted = f"at most {plain(a.max or 0)}"
    share = a.max is not None and a.max < 1 < value < 100 and text.isdigit()
    hint = f"{text} percent is written {text}%" if share else ""
    raise given.fault(f"must be {wanted}", f"expected {wanted}, found {plain(value)}", code="range", hint=hint)


def _one_of(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _int(given: _Given, wanted: str = "a whole number") -> int:
    value, text = given.value, given.expr.span.text
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, float):
        functions = f"floor({text.strip('()')}), ceil(...) or round8(...)"
        hint = f"round it: {functions}" if len(text) < 30 else "round it with floor, ceil or round8"
        raise given.wrong_type(wanted, hint)
    if not isinstance(value, int):
        raise given.wrong_type(wanted)
    return value


def _float(given: _Given) -> float:
    if not isinstance(given.value, (int, float)):
        raise given.wrong_type("a number")
    return float(given.value)


def _bool(given: _Given) -> bool:
    value = given.value
    word = value.name if isinstance(value, Word) else describe(value)
    if word in YES_NO:
        return YES_NO[word]
    near = NEARLY_YES_NO.get(word.lower(), {"1": "yes", "0": "no"}.get(word))
    label = f"expected yes or no, found {describe(value)}"
    raise given.fault(
        "is yes or no",
        label,
        code="unknown-value" if isinstance(value, Word) else "type",
        hint=f"did you mean `{near}`?" if near else None,
        fix=Fix(given.expr.span, near, sure=True) if near else None,
    )


def _word(given: _Given) -> str:
    choices, value = given.attr.choices, given.value
    if not isinstance(value, (Word, LabelValue)):
        raise given.wrong_type(_one_of(choices))
    if value.name not in choices:
        raise given.unknown_value(value.name, choices)
    return value.name


def _size(given: _Given) -> tuple[int, int]:
    value = given.value
    if isinstance(value, Dims):
        if len(value.dims) != 2:
            raise given.fault("is rows x columns", f"expected two numbers, found {describe(value)}")
        return value.dims[0], value.dims[1]
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, int) for v in value):
        size = Fix(given.expr.span, dims(value), sure=True)
        raise given.fault("is one word", "found a list", hint=f"write {size.replacement}", fix=size)
    side = _int(given, "a size such as 3x3 or 3")
    return side, side


def _window(given: _Given) -> tuple[int, int] | None:
    if not isinstance(given.value, Word):
        return _size(given)
    if given.value.name != "global":
        raise given.unknown_value(given.value.name, ("global", "a size such as 2 or 3x3"))
    return None


def _padding(given: _Given) -> tuple[int, int] | str:
    if not isinstance(given.value, Word):
        return _size(given)
    if given.value.name not in ("same", "none"):
        raise given.unknown_value(given.value.name, ("same", "none", "a size such as 1 or 1x2"))
    return "same" if given.value.name == "same" else (0, 0)


def _str(given: _Given) -> str:
    if not isinstance(given.value, str):
        raise given.unquoted(describe(given.value))
    return given.value


def _floats(given: _Given) -> tuple[float, ...]:
    value, expr = given.value, given.expr
    items = value if isinstance(value, tuple) else (value,)
    parts = expr.items if isinstance(expr, ast.ListOf) else (expr,) * len(items)
    if not items:
        raise given.fault("is empty", "expected one number or more", hint="")
    return tuple(_float(replace(given, expr=part, value=item)) for part, item in zip(parts, items, strict=True))


def _filters(given: _Given) -> tuple[Filter | int, ...]:
    value, expr = given.value, given.expr
    items = value if isinstance(value, tuple) else (value,)
    parts = expr.items if isinstance(expr, ast.ListOf) else (expr,) * len(items)
    found = [_filter(replace(given, expr=part, value=item)) for part, item in zip(parts, items, strict=True)]
    made = [(f, part) for f, part in zip(found, parts, strict=True) if isinstance(f, Filter)]
    if not made:
        raise given.fault("has no filter made by hand", hint=f"write  {given.name} 6 3x3  for learned ones alone")
    first = made[0][0]
    for f, part in made:
        if f.size != first.size:
            label = f"{f} is {dims(f.size)}, and {first} is {dims(first.size)}"
            message = f"{name_of(given.name, given.attr)} have one size"
            hint = "put filters of another size into a convolution of their own"
            raise Fault(Diagnostic("shape", message, part.span, label, hint=hint))
    if sum(f for f in found if isinstance(f, int)) > MOST_LEARNED:
        raise given.fault(f"has at most {MOST_LEARNED:,} learned ones", code="range")
    return tuple(found)


def _filter(given: _Given) -> Filter | int:
    """Return one item of a list of filters."""
    value, known = given.value, [k for k, v in given.scope.variables.items() if isinstance(v, Filter)]
    if isinstance(value, Filter):
        return value
    if isinstance(value, int) and value > 0:
        return value
    name = value.name if isinstance(value, (Word, LabelValue)) else ""
    if name in FILTERS:
        if counts(name)[0]:
            example = f"{name}(45, 4)"
            raise given.fault(f"needs the numbers of {name}", hint=f"write  {example}; see  cnnspec layers {name}")
        return built_in(name)
    if name:
        fix = meant(name, [*known, *FILTERS], given.expr.span)
        otherwise = f"write its numbers:  filter {name} {{ ... }}; the built-in ones:  cnnspec layers filters"
        message, label = f"unknown filter `{name}`", "neither written in this file nor built in"
        raise Fault(guessed("unknown-name", message, given.expr.span, label, fix, otherwise))
    label = f"expected a filter or a number of learned ones, found {describe(value)}"
    raise given.fault("holds filters and whole numbers from 1", label, hint="write  filters=[sobel_x, sobel_y, 6]")


_KINDS: dict[str, Callable[[_Given], Any]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "word": _word,
    "size": _size,
    "window": _window,
    "padding": _padding,
    "str": _str,
    "floats": _floats,
    "filters": _filters,
}
