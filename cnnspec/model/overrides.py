"""``--set name=value``: parameters and settings changed from outside, read by the grammar of specs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..errors import Diagnostic, SpecError, did_you_mean
from ..ops.base import Attr, attrs_of
from ..source import Source, Span
from ..syntax import ast
from ..syntax.parser import parse
from .arguments import written
from .sections import Override
from .settings import SECTIONS, SETTINGS


def read_overrides(
    settings: Mapping[str, str], parameters: Collection[str]
) -> tuple[dict[str, ast.Expr], list[Override], list[Diagnostic]]:
    """Return changed parameters, changed settings, and what is wrong with either."""
    given: dict[str, ast.Expr] = {}
    overrides: list[Override] = []
    errors: list[Diagnostic] = []
    for name, text in settings.items():
        said = f"{name}={text}"
        section, *rest = name.split(".")
        if section in SECTIONS and 1 <= len(rest) <= 2 and rest[0] in SECTIONS[section]:
            override = _setting(section, rest, text, errors)
            if override is not None:
                overrides.append(override)
        elif name in parameters:
            statements = _read(Source(f"--set {name}", said), errors)
            if statements is None:
                continue
            if len(statements) == 1 and isinstance(statements[0], ast.Setting):
                given[name] = statements[0].value
            else:
                errors.append(_malformed(said))
        else:
            errors.append(_unknown(name, said, parameters))
    return given, overrides, errors


def short_names() -> dict[str, str]:
    """Return the settings of ``train`` by their short forms in Python: ``epochs`` is ``train.epochs``, ``lr``
    ``train.optimizer.lr``."""
    of_optimizers = [key for cls in SETTINGS["optimizer"].values() for key in _attrs(cls)]
    return {**{key: f"train.optimizer.{key}" for key in of_optimizers}, **{w: f"train.{w}" for w in SECTIONS["train"]}}


def _read(source: Source, errors: list[Diagnostic]) -> tuple[ast.Statement, ...] | None:
    try:
        spec, wrong = parse(source)
    except SpecError as error:
        errors.extend(error.diagnostics)
        return None
    errors.extend(wrong)
    return None if wrong else spec.statements


def _setting(section: str, rest: list[str], text: str, errors: list[Diagnostic]) -> Override | None:
    statement, key = rest[0], rest[1] if len(rest) == 2 else ""
    said = f"{statement} {key}={text}" if key else f"{statement} {text}"
    statements = _read(Source(f"--set {section}.{'.'.join(rest)}", said), errors)
    if statements is None:
        return None
    flow = statements[0] if len(statements) == 1 else None
    if not isinstance(flow, ast.Flow) or flow.label or (key and len(flow.steps[0].arguments) != 1):
        errors.append(_malformed(said))
        return None
    return Override(section, statement, key, flow.steps)


def _malformed(said: str) -> Diagnostic:
    source = Source("--set", said)
    message = "--set takes one name and one value"
    return Diagnostic("syntax", message, Span(source, 0, len(said)), hint="write  --set width=0.5")


def _unknown(name: str, said: str, parameters: Collection[str]) -> Diagnostic:
    known = list(parameters)
    for section, statements in SECTIONS.items():
        for statement in statements:
            known.append(f"{section}.{statement}")
            for cls in SETTINGS[statement].values():
                known += [f"{section}.{statement}.{a.key}" for a in _attrs(cls).values()]
    near = did_you_mean(name, known)
    hint = f"did you mean `{near}`?" if near else f"parameters of this spec: {', '.join(parameters) or 'none'}"
    source = Source("--set", said)
    message = f"there is no parameter or setting `{name}`"
    label = "neither a `param` of the spec nor a setting"
    return Diagnostic("unknown-name", message, Span(source, 0, len(name)), label, hint=hint)


def _attrs(cls: type) -> dict[str, Attr]:
    return written(attrs_of(cls))
