"""Arguments that fit no field, in words: unknown keys, surplus and missing values, keys without ``=``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from ..errors import Diagnostic, Fix
from ..ir.fields import REQUIRED, Attr
from ..source import Span
from ..syntax import ast
from ..text import some
from .elsewhere import key_elsewhere
from .findings import guessed
from .forms import keys_of, signature, written
from .guess import meant
from .values import Scope


def keys_without_equals(
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


def no_equals(name: str, key: ast.Argument, value: ast.Argument) -> Diagnostic:
    span = key.span.to(value.span)
    word = key_elsewhere(key.span.text) or key.span.text
    fix = Fix(span, f"{word}={value.span.text}", sure=True)
    message = f"`{word}` of {name} is written with ="
    return Diagnostic(
        "surplus-argument", message, span, "a key and its value", hint=f"write  {fix.replacement}", fix=fix
    )


def number_of_filters(name: str, argument: ast.Argument) -> Diagnostic:
    """Return the diagnostic for ``conv filters=64``, as other libraries write it: here the key lists filters."""
    key = argument.key_span or argument.span
    message, label = f"`{argument.key}` of {name} lists filters made by hand", "a number of learned ones stands first"
    hint = f"write  {name} {argument.value.span.text} 3x3  for learned ones"
    return Diagnostic("type", message, argument.span, label, hint=hint, fix=Fix(key, "out_channels", sure=True))


def unknown_key(
    name: str,
    cls: type,
    argument: ast.Argument,
    known: Collection[str],
    arguments: Sequence[ast.Argument],
) -> Diagnostic:
    span, message = argument.key_span or argument.span, f"{name} has no `{argument.key}`"
    if argument.key == "activation":
        label = "an activation is a layer of its own"
        value = argument.value.span.text
        hint = f"write  -> {value[:20]}  after {name}"
        fix = None
        if argument is arguments[-1] and isinstance(argument.value, ast.Name):
            before = arguments[-2].span.end if len(arguments) > 1 else argument.span.start
            fix = Fix(Span(span.source, before, argument.span.end), f" -> {value}", sure=len(arguments) > 1)
        return Diagnostic("unknown-key", message, span, label, hint=hint, fix=fix)
    if argument.key in ("freeze", "frozen", "trainable", "requires_grad"):
        hint = 'write  freeze "NAME"  in the train section, with the name of the layer'
        return Diagnostic("unknown-key", message, span, "layers are frozen by name", hint=hint)
    elsewhere = key_elsewhere(argument.key)
    fix = meant(argument.key, known, span)
    if elsewhere is not None and elsewhere in known:
        fix = Fix(span, elsewhere, sure=True)
    label = f"known keys: {', '.join(known) or 'none'}"
    return guessed("unknown-key", message, span, label, fix, f"the form is  {signature(name, cls)}")


def surplus_argument(name: str, cls: type, argument: ast.Argument, arguments: Sequence[ast.Argument]) -> Diagnostic:
    positional, keys = [a.key for a in written(cls).values() if a.positional], keys_of(cls)
    wanted = some(len(positional), "bare argument") if positional else "no bare argument"
    hint, fix = f"the form is  {signature(name, cls)}", None
    if isinstance(argument.value, ast.Name) and argument.value.name in keys:
        hint = f"write  {argument.value.name}=...  to set it"
    elif any(isinstance(a.value, ast.Name) and a.value.name == "classes" for a in arguments):
        numbers = [a.span.text for a in arguments if isinstance(a.value, ast.Number)]
        hint = f"write  {name} classes  and, on a line of its own,  classes {numbers[0] if numbers else 10}"
    elif not positional and (rewritten := _with_keys(cls, arguments)) is not None:
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


def _with_keys(cls: type, arguments: Sequence[ast.Argument]) -> Fix | None:
    """Return ``split val=10%`` for ``split 10%``, where each required key has one bare argument."""
    required = [a.key for a in written(cls).values() if a.default is REQUIRED]
    if len(arguments) != len(required) or any(a.key for a in arguments):
        return None
    values = [a.span.text for a in arguments]
    text = " ".join(f"{key}={value}" for key, value in zip(required, values, strict=True))
    return Fix(arguments[0].span.to(arguments[-1].span), text, sure=len(required) == 1)


def swapped(name: str, a: Attr, argument: ast.Argument, arguments: Sequence[ast.Argument]) -> Diagnostic | None:
    """Return the diagnostic for ``conv 3x3 16``, whose two bare arguments changed places."""
    bare = [x for x in arguments if not x.key]
    if len(bare) != 2 or bare[0] is not argument or a.kind != "int":
        return None
    if not isinstance(bare[0].value, ast.Size) or not isinstance(bare[1].value, ast.Number):
        return None
    span = bare[0].span.to(bare[1].span)
    fix = Fix(span, f"{bare[1].span.text} {bare[0].span.text}", sure=True)
    message = f"{name_of(name, a)} comes first"
    return Diagnostic("type", message, span, f"{a.key}: {a.doc}", hint=f"write  {name} {fix.replacement}", fix=fix)


def product_for_size(name: str, a: Attr, expr: ast.Expr) -> Diagnostic | None:
    """Return the warning for ``conv 16 3*3``: a product of two numbers is one number, a filter of 9x9."""
    if a.kind not in ("size", "window", "padding") or not isinstance(expr, ast.Arithmetic) or len(expr.rest) != 1:
        return None
    rows, (operator, columns) = expr.first, expr.rest[0]
    if operator != "*" or not isinstance(rows, ast.Number) or not isinstance(columns, ast.Number):
        return None
    if not isinstance(rows.value, int) or not isinstance(columns.value, int):
        return None
    side, size = rows.value * columns.value, f"{rows.value}x{columns.value}"
    return Diagnostic(
        "shape",
        f"{name_of(name, a)} is a product: {expr.span.text} is {side}x{side}",
        expr.span,
        "rows and columns are written with x",
        hint=f"write  {size}  if that is meant, else  {side}",
        fix=Fix(expr.span, size, sure=False),
        severity="warning",
    )


def missing_argument(name: str, cls: type, missing: Attr, head: Span) -> Diagnostic:
    examples = {"size": "3x3", "window": "2", "int": "64", "float": "0.1", "str": '"path"'}
    known = {"times": "3", "at": "3", "pattern": '"stage1.*"'}
    example = known.get(missing.key) or examples.get(missing.kind, "...")
    end = Span(head.source, head.end, head.end)
    form = f"  {head.text} {'' if missing.positional else missing.key + '='}{example}"
    return Diagnostic(
        "missing-argument",
        f"{name} needs its {missing.key}: {missing.doc}"
        if name != missing.key
        else f"{name} needs a value: {missing.doc}",
        Span(head.source, max(head.start, end.start - 1), end.end) if head.end - head.start > 40 else head,
        f"expected {missing.key} after this",
        hint=f"write{form}" if "\n" not in form else f"the form is  {signature(name, cls)}",
    )


def name_of(name: str, a: Attr) -> str:
    """Return how messages name a field: `stride` of conv, but just `epochs` where it is the statement."""
    return f"`{a.key}`" if name == a.key else f"`{a.key}` of {name}"
