"""Arguments of layers and settings: matched to declared fields, typed, and every misfit told.

All that is known about a layer here is its declaration, :func:`cnnspec.ops.base.attrs_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ..errors import Diagnostic, Fix
from ..ops.base import REQUIRED, Attr, dims
from ..source import Span
from ..syntax import ast
from ..text import plain
from .elsewhere import key_elsewhere
from .guess import hint_of, meant
from .values import Dims, Fault, LabelValue, NotKnown, Scope, Value, Word, describe, evaluate, unknown_name

YES_NO = {"yes": True, "no": False}
NEARLY_YES_NO = {"true": "yes", "on": "yes", "false": "no", "off": "no", "none": "no"}


@dataclass
class Bound:
    """Typed values by field name, and the span each was written at."""

    values: dict[str, Any] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    known: bool = True  # false when a value depends on what an earlier error left unknown


def written(attrs: Mapping[str, Attr]) -> dict[str, Attr]:
    """Return the fields that a spec may write."""
    return {name: a for name, a in attrs.items() if a.kind != "hidden"}


def format_default(value: Any) -> str:
    """Return a default as a spec would write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        if value == (0, 0):
            return "none"
        return str(value[0]) if len(set(value)) == 1 else dims(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def signature(name: str, attrs: Mapping[str, Attr]) -> str:
    """Return the form of a layer or setting in one line: ``conv OUT_CHANNELS SIZE stride=1 pad=same``."""
    parts = [name]
    for a in written(attrs).values():
        if a.positional:
            parts.append(a.key.upper() if a.default is REQUIRED else f"[{a.key.upper()}]")
        elif a.default is REQUIRED:
            parts.append(f"{a.key}=...")
        elif a.default is not None:
            parts.append(f"{a.key}={format_default(a.default)}")
        else:
            parts.append(f"[{a.key}=...]")
    return " ".join(parts)


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
    pairs = _keys_without_equals(arguments, fields, scope)
    told: set[int] = set()  # values whose keys have been reported
    surplus = False
    for argument in arguments:
        if id(argument) in told:
            continue
        if id(argument) in pairs:
            told.add(id(pairs[id(argument)]))
            report(_no_equals(name, argument, pairs[id(argument)]))
            good = False
            continue
        if argument.key:
            target = by_key.get(argument.key)
            if target is None:
                report(_unknown_key(name, attrs, argument, by_key, arguments))
                good = False
                continue
        else:
            target = next((f for f in waiting if f not in given), None)
            if target is None:
                if not surplus:  # the first one says it
                    report(_surplus(name, attrs, argument, arguments))
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
        except Fault as fault:
            swapped = _swapped(name, fields[target], argument, arguments)
            report(swapped or fault.diagnostic)
            good = False
            if swapped is not None:
                return None
        except NotKnown:
            bound.known = False
    for f, a in fields.items():
        if a.default is REQUIRED and f not in given and f not in optional:
            if good:  # a misfit above explains a gap better than the gap itself
                report(_missing(name, attrs, a, head))
            good = False
    return bound if good else None


def _keys_without_equals(
    arguments: Sequence[ast.Argument], fields: Mapping[str, Attr], scope: Scope
) -> dict[int, ast.Argument]:
    """Return the values of keys that were written as in ``stride 2``, by the id of the argument that is the key."""
    keys = {a.key for a in fields.values() if not a.positional}
    found: dict[int, ast.Argument] = {}
    for argument, following in pairwise(arguments):
        word = argument.value.name if isinstance(argument.value, ast.Name) and not argument.key else ""
        key = word if word in keys else key_elsewhere(word)
        if key in keys and not following.key and word not in scope.variables and word not in scope.labels:
            found[id(argument)] = following
    return found


def _no_equals(name: str, key: ast.Argument, value: ast.Argument) -> Diagnostic:
    span = key.span.to(value.span)
    word = key_elsewhere(key.span.text) or key.span.text
    fix = Fix(span, f"{word}={value.span.text}", sure=True)
    message = f"`{word}` of {name} is written with ="
    return Diagnostic(
        "surplus-argument", message, span, "a key and its value", hint=f"write  {fix.replacement}", fix=fix
    )


def _unknown_key(
    name: str,
    attrs: Mapping[str, Attr],
    argument: ast.Argument,
    known: Collection[str],
    arguments: Sequence[ast.Argument],
) -> Diagnostic:
    span = argument.key_span or argument.span
    if argument.key == "activation":
        label = "an activation is a layer of its own"
        value = argument.value.span.text
        hint = f"write  -> {value[:20]}  after {name}"
        fix = None
        if argument is arguments[-1] and isinstance(argument.value, ast.Name):
            before = arguments[-2].span.end if len(arguments) > 1 else argument.span.start
            fix = Fix(Span(span.source, before, argument.span.end), f" -> {value}", sure=len(arguments) > 1)
        return Diagnostic("unknown-key", f"{name} has no `{argument.key}`", span, label, hint=hint, fix=fix)
    elsewhere = key_elsewhere(argument.key)
    fix = meant(argument.key, known, span)
    if elsewhere is not None and elsewhere in known:
        fix = Fix(span, elsewhere, sure=True)
    return Diagnostic(
        "unknown-key",
        f"{name} has no `{argument.key}`",
        span,
        f"known keys: {', '.join(known) or 'none'}",
        hint=hint_of(fix, f"the form is  {signature(name, attrs)}"),
        fix=fix,
    )


def _surplus(
    name: str, attrs: Mapping[str, Attr], argument: ast.Argument, arguments: Sequence[ast.Argument]
) -> Diagnostic:
    fields = written(attrs)
    positional = [a.key for a in fields.values() if a.positional]
    wanted = (
        f"{len(positional)} bare argument{'s' if len(positional) != 1 else ''}" if positional else "no bare argument"
    )
    keys = [a.key for a in fields.values()]
    hint, fix = f"the form is  {signature(name, attrs)}", None
    if isinstance(argument.value, ast.Name) and argument.value.name in keys:
        hint = f"write  {argument.value.name}=...  to set it"
    elif any(isinstance(a.value, ast.Name) and a.value.name == "classes" for a in arguments):
        numbers = [a.span.text for a in arguments if isinstance(a.value, ast.Number)]
        hint = f"write  {name} classes  and, on a line of its own,  classes {numbers[0] if numbers else 10}"
    elif not positional and (rewritten := _with_keys(name, attrs, arguments)) is not None:
        hint, fix = f"write  {rewritten.replacement}", rewritten
    elif "stride" in keys and isinstance(argument.value, (ast.Number, ast.Size)):
        hint = f"write  stride={argument.span.text}  if that was meant; {hint}"
    return Diagnostic(
        "surplus-argument",
        f"{name} takes {wanted}; `{argument.span.text[:40]}` is one too many",
        argument.span,
        f"expected {'nothing more' if positional else 'keys only' if keys else 'nothing'} after {name}",
        hint=hint,
        fix=fix,
    )


def _with_keys(name: str, attrs: Mapping[str, Attr], arguments: Sequence[ast.Argument]) -> Fix | None:
    """Return ``split val=10%`` for ``split 10%``, where each required key has one bare argument."""
    required = [a.key for a in written(attrs).values() if a.default is REQUIRED]
    if len(arguments) != len(required) or any(a.key for a in arguments):
        return None
    values = [a.span.text for a in arguments]
    text = " ".join(f"{key}={value}" for key, value in zip(required, values, strict=True))
    return Fix(arguments[0].span.to(arguments[-1].span), text, sure=len(required) == 1)


def _swapped(name: str, a: Attr, argument: ast.Argument, arguments: Sequence[ast.Argument]) -> Diagnostic | None:
    """Return the diagnostic for ``conv 3x3 16``, whose two bare arguments changed places."""
    bare = [x for x in arguments if not x.key]
    if len(bare) != 2 or bare[0] is not argument or a.kind != "int":
        return None
    if not isinstance(bare[0].value, ast.Size) or not isinstance(bare[1].value, ast.Number):
        return None
    span = bare[0].span.to(bare[1].span)
    fix = Fix(span, f"{bare[1].span.text} {bare[0].span.text}", sure=True)
    message = f"{_of(name, a)} comes first"
    return Diagnostic("type", message, span, f"{a.key}: {a.doc}", hint=f"write  {name} {fix.replacement}", fix=fix)


def _missing(name: str, attrs: Mapping[str, Attr], missing: Attr, head: Span) -> Diagnostic:
    examples = {"size": "3x3", "window": "2", "int": "64", "float": "0.1", "str": '"path"'}
    example = "3" if name == "repeat" else examples.get(missing.kind, "...")
    end = Span(head.source, head.end, head.end)
    form = f"  {head.text} {'' if missing.positional else missing.key + '='}{example}"
    return Diagnostic(
        "missing-argument",
        f"{name} needs its {missing.key}: {missing.doc}"
        if name != missing.key
        else f"{name} needs a value: {missing.doc}",
        Span(head.source, max(head.start, end.start - 1), end.end) if head.end - head.start > 40 else head,
        f"expected {missing.key} after this",
        hint=f"write{form}" if "\n" not in form else f"the form is  {signature(name, attrs)}",
    )


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
        message = f"{_of(name, a)} is a word, and words have no quotes"
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
    message = f"{_of(name, a)} must be {wanted}"
    share = a.max is not None and a.max < 1 < value < 100 and expr.span.text.isdigit()
    hint = f"{expr.span.text} percent is written {expr.span.text}%" if share else ""
    raise Fault(Diagnostic("range", message, expr.span, f"expected {wanted}, found {plain(value)}", hint=hint))


def _wrong_type(name: str, a: Attr, expr: ast.Expr, value: Value, wanted: str, scope: Scope) -> Fault:
    if isinstance(value, Word) and not a.choices and a.kind in ("int", "float", "size", "floats"):
        return Fault(unknown_name(value.name, expr.span, scope))
    message = f"{_of(name, a)} must be {wanted}"
    return Fault(Diagnostic("type", message, expr.span, f"expected {wanted}, found {describe(value)}", hint=_about(a)))


def _of(name: str, a: Attr) -> str:
    """Return how messages name a field: `stride` of conv, but just `epochs` where it is the statement."""
    return f"`{a.key}`" if name == a.key else f"`{a.key}` of {name}"


def _about(a: Attr) -> str:
    return f"{a.key}: {a.doc}" if a.doc else ""


def _unknown_value(name: str, a: Attr, expr: ast.Expr, found: str, words: Sequence[str]) -> Fault:
    fix = meant(found, [word for word in words if " " not in word], expr.span)
    if a.kind == "padding" and found.lower() in ("valid", "zero", "no"):  # as other libraries say it
        fix = Fix(expr.span, "none", sure=True)
    return Fault(
        Diagnostic(
            "unknown-value",
            f"{_of(name, a)} cannot be `{found}`",
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
        message = f"{_of(name, a)} must be {wanted}"
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
    message = f"{_of(name, a)} is yes or no"
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
            message = f"{_of(name, a)} is rows x columns"
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
        message = f"{_of(name, a)} is one word"
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
    message = f"{_of(name, a)} is a text in double quotes"
    hint = f"write {quoted.replacement}"
    return Fault(Diagnostic("type", message, expr.span, f"expected a text, found {found}", hint=hint, fix=quoted))


def _floats(name: str, a: Attr, expr: ast.Expr, value: Value, scope: Scope) -> tuple[float, ...]:
    items = value if isinstance(value, tuple) else (value,)
    parts = expr.items if isinstance(expr, ast.ListOf) else (expr,) * len(items)
    if not items:
        raise Fault(Diagnostic("type", f"{_of(name, a)} is empty", expr.span, "expected one number or more"))
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
