"""Arguments of layers and settings: matched to declared fields, typed, and every misfit told.

All that is known about a layer here is its declaration, :func:`cnnspec.ir.fields.attrs_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import Diagnostic, Fix
from ..ir.fields import REQUIRED, Attr, dims
from ..source import Span
from ..syntax import ast
from ..text import plain
from .forms import written
from .guess import hint_of, meant
from .misfits import (
    keys_without_equals,
    missing_argument,
    name_of,
    no_equals,
    product_for_size,
    surplus_argument,
    swapped,
    unknown_key,
)
from .values import Dims, Fault, LabelValue, NotKnown, Scope, Value, Word, describe, evaluate, unknown_name

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
    attrs: Mapping[str, Attr],
    arguments: Sequence[ast.Argument],
    head: Span,
    scope: Scope,
    report: Callable[[Diagnostic], None],
    *,
    optional: Container[str] = (),
) -> Bound | None:
    """Match arguments to fields and type them; report every misfit and return None if there was one.

    ``optional`` names fields that may be missing although they have no default, since ``defaults`` has them.
    """
    fields = written(attrs)
    by_key = {a.key: f for f, a in fields.items()}
    waiting = [f for f, a in fields.items() if a.positional]
    bound, good = Bound(), True
    given: dict[str, ast.Argument] = {}
    pairs = keys_without_equals(arguments, fields, scope)
    told: set[int] = set()  # values whose keys have been reported
    surplus = False
    for argument in arguments:
        if id(argument) in told:
            continue
        if id(argument) in pairs:
            told.add(id(pairs[id(argument)]))
            report(no_equals(name, argument, pairs[id(argument)]))
            good = False
            continue
        if argument.key:
            target = by_key.get(argument.key)
            if target is None:
                report(unknown_key(name, attrs, argument, by_key, arguments))
                good = False
                continue
        else:
            target = next((f for f in waiting if f not in given), None)
            if target is None:
                if not surplus:  # the first one says it
                    report(surplus_argument(name, attrs, argument, arguments))
                good, surplus = False, True
                continue
        if target in given:
            report(
                Diagnostic(
                    "duplicate",
                    f"{name} gets `{fields[target].key}` twice",
                    argument.span,
                    "given again here",
                    related=((given[target].span, "first given here"),),
                    hint="delete one of the two",
                )
            )
            good = False
            continue
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
    for f, a in fields.items():
        if a.default is REQUIRED and f not in given and f not in optional:
            if good:  # a misfit above explains a gap better than the gap itself
                report(missing_argument(name, attrs, a, head))
            good = False
    return bound if good else None


# ---- typing -------------------------------------------------------------------------------------
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
        raise _unquoted(name, a, expr, "arithmetic")  # such as a path without its quotes
    value = evaluate(expr, scope)
    if isinstance(value, str) and a.kind in ("word", "bool", "padding", "window") and _is_word(value):
        message = f"{name_of(name, a)} is a word, and words have no quotes"
        unquoted = Fix(expr.span, value, sure=expr.span.text == f'"{value}"')
        raise Fault(Diagnostic("type", message, expr.span, hint=f"write {value}", fix=unquoted))
    typed = _KINDS[a.kind](name, a, expr, value, scope)
    for part in typed if isinstance(typed, tuple) else (typed,):
        if isinstance(part, (int, float)) and not isinstance(part, bool):
            _check_range(name, a, expr, part)
    return typed


def _is_word(text: str) -> bool:
    return text.replace(".", "_").isidentifier() and text.isascii()


def _check_range(name: str, a: Attr, expr: ast.Expr, value: int | float) -> None:
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
    message = f"{name_of(name, a)} must be {wanted}"
    share = a.max is not None and a.max < 1 < value < 100 and expr.span.text.isdigit()
    hint = f"{expr.span.text} percent is written {expr.span.text}%" if share else ""
    raise Fault(Diagnostic("range", message, expr.span, f"expected {wanted}, found {plain(value)}", hint=hint))


def _wrong_type(name: str, a: Attr, expr: ast.Expr, value: Value, wanted: str, scope: Scope) -> Fault:
    if isinstance(value, Word) and not a.choices and a.kind in ("int", "float", "size", "floats"):
        return Fault(unknown_name(value.name, expr.span, scope))
    message = f"{name_of(name, a)} must be {wanted}"
    return Fault(Diagnostic("type", message, expr.span, f"expected {wanted}, found {describe(value)}", hint=_about(a)))


def _about(a: Attr) -> str:
    return f"{a.key}: {a.doc}" if a.doc else ""


def _unknown_value(name: str, a: Attr, expr: ast.Expr, found: str, words: Sequence[str]) -> Fault:
    fix = meant(found, [word for word in words if " " not in word], expr.span)
    if a.kind == "padding" and found.lower() in ("valid", "zero", "no"):  # as other libraries say it
        fix = Fix(expr.span, "none", sure=True)
    return Fault(
        Diagnostic(
            "unknown-value",
            f"{name_of(name, a)} cannot be `{found}`",
            expr.span,
            f"expected {_one_of(words)}",
            hint=hint_of(fix, _about(a)),
            fix=fix if fix is not None and expr.span.text == found else None,
        )
    )


def _one_of(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _whole(name: str, a: Attr, expr: ast.Expr, value: Value, scope: Scope, wanted: str) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, float):
        message = f"{name_of(name, a)} must be {wanted}"
        raise Fault(
            Diagnostic(
                "type",
                message,
                expr.span,
                f"expected {wanted}, found {describe(value)}",
                hint=f"round it: floor({expr.span.text.strip('()')}), ceil(...) or round8(...)"
                if len(expr.span.text) < 30
                else "round it with floor, ceil or round8",
            )
        )
    if not isinstance(value, int):
        raise _wrong_type(name, a, expr, value, wanted, scope)
    return value


def _int(name: str, a: Attr, expr: ast.Expr, value: Value, scope: Scope) -> int:
    return _whole(name, a, expr, value, scope, "a whole number")


def _float(name: str, a: Attr, expr: ast.Expr, value: Value, scope: Scope) -> float:
    if not isinstance(value, (int, float)):
        raise _wrong_type(name, a, expr, value, "a number", scope)
    return float(value)


def _bool(name: str, a: Attr, expr: ast.Expr, value: Value, scope: Scope) -> bool:
    word = value.name if isinstance(value, Word) else describe(value)
    if word in YES_NO:
        return YES_NO[word]
    word_meant = NEARLY_YES_NO.get(word.lower(), {"1": "yes", "0": "no"}.get(word))
    message = f"{name_of(name, a)} is yes or no"
    raise Fault(
        Diagnostic(
            "unknown-value" if isinstance(value, Word) else "type",
            message,
            expr.span,
            f"expected yes or no, found {describe(value)}",
            hint=f"did you mean `{word_meant}`?" if word_meant else _about(a),
            fix=Fix(expr.span, word_meant, sure=True) if word_meant else None,
        )
    )


def _word(name: str, a: Attr, expr: ast.Expr, value: Value, scope: Scope) -> str:
    if not isinstance(value, (Word, LabelValue)):
        raise _wrong_type(name, a, expr, value, _one_of(a.choices), scope)
    if value.name not in a.choices:
        raise _unknown_value(name, a, expr, value.name, a.choices)
    return value.name


def _size(name: str, a: Attr, expr: ast.Expr, value: Value, scope: Scope) -> tuple[int, int]:
    if isinstance(value, Dims):
        if len(value.dims) != 2:
            message = f"{name_of(name, a)} is rows x columns"
            raise Fault(
                Diagnostic(
                    "type",
                    message,
                    expr.span,
                    f"expected two numbers, found {describe(value)}",
                    hint=_about(a),
                )
            )
        return value.dims[0], value.dims[1]
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, int) for v in value):
        size = Fix(expr.span, dims(value), sure=True)
        message = f"{name_of(name, a)} is one word"
        raise Fault(Diagnostic("type", message, expr.span, "found a list", hint=f"write {size.replacement}", fix=size))
    side = _whole(name, a, expr, value, scope, "a size such as 3x3 or 3")
    return side, side


def _window(name: str, a: Attr, expr: ast.Expr, value: Value, scope: Scope) -> tuple[int, int] | None:
    if isinstance(value, Word):
        if value.name != "global":
            raise _unknown_value(name, a, expr, value.name, ("global", "a size such as 2 or 3x3"))
        return None
    return _size(name, a, expr, value, scope)


def _padding(name: str, a: Attr, expr: ast.Expr, value: Value, scope: Scope) -> tuple[int, int] | str:
    if isinstance(value, Word):
        if value.name not in ("same", "none"):
            raise _unknown_value(name, a, expr, value.name, ("same", "none", "a size such as 1 or 1x2"))
        return "same" if value.name == "same" else (0, 0)
    return _size(name, a, expr, value, scope)


def _str(name: str, a: Attr, expr: ast.Expr, value: Value, scope: Scope) -> str:
    if isinstance(value, str):
        return value
    raise _unquoted(name, a, expr, describe(value))


def _unquoted(name: str, a: Attr, expr: ast.Expr, found: str) -> Fault:
    text = expr.span.text
    quoted = Fix(expr.span, f'"{text}"', sure=text[:1].isalpha() and '"' not in text and "\n" not in text)
    message = f"{name_of(name, a)} is a text in double quotes"
    hint = f"write {quoted.replacement}"
    return Fault(Diagnostic("type", message, expr.span, f"expected a text, found {found}", hint=hint, fix=quoted))


def _floats(name: str, a: Attr, expr: ast.Expr, value: Value, scope: Scope) -> tuple[float, ...]:
    items = value if isinstance(value, tuple) else (value,)
    parts = expr.items if isinstance(expr, ast.ListOf) else (expr,) * len(items)
    if not items:
        raise Fault(Diagnostic("type", f"{name_of(name, a)} is empty", expr.span, "expected one number or more"))
    return tuple(_float(name, a, part, item, scope) for part, item in zip(parts, items, strict=True))


_KINDS: dict[str, Callable[[str, Attr, ast.Expr, Value, Scope], Any]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "word": _word,
    "size": _size,
    "window": _window,
    "padding": _padding,
    "str": _str,
    "floats": _floats,
}
