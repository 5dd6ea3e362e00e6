"""``--set name=value``: parameters and settings changed from outside, read by the grammar of specs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..errors import DataError, Diagnostic, SpecError, did_you_mean
from ..source import Source, Span
from ..syntax import ast
from ..syntax.parser import parse
from .belongs import Statements, belongs
from .elsewhere import key_elsewhere
from .forms import keys_of
from .sections import Override
from .settings import SECTIONS, SETTINGS


def read_overrides(
    settings: Mapping[str, str], parameters: Collection[str], in_sections: Statements
) -> tuple[dict[str, ast.Expr], list[Override], list[Diagnostic]]:
    """Return changed parameters, changed settings, and what is wrong with either.

    Whole statements come before their keys, in whatever order they were given: ``lr=0.1 optimizer=adam`` is adam with
    that rate.
    """
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
            errors.append(_unknown(name, text, parameters, in_sections))
    return given, sorted(overrides, key=lambda override: override.key != ""), errors


def texts_of(settings: Mapping[str, object]) -> dict[str, str]:
    """Return settings as ``--set`` takes them: yes for True.

    Raises
    ------
    DataError
        For a value that no spec can hold: None, NaN, an infinite number.
    """
    words = {True: "yes", False: "no"}
    texts = {key: words[value] if isinstance(value, bool) else str(value) for key, value in settings.items()}
    for key, text in texts.items():
        if settings[key] is None or text.lstrip("-") in ("nan", "inf"):
            raise DataError("a setting has no such value", field=key, expected="a finite number, or a word", found=text)
    return texts


def full_names(settings: Mapping[str, str], parameters: Collection[str]) -> dict[str, str]:
    """Return what ``--set`` changes under full names: ``lr`` is short for ``train.optimizer.lr``.

    A short name may leave out what is certain; one that is a parameter of the spec, or that names nothing or more than
    one setting, stays as it is. Of two that say the same the later holds.
    """
    found: dict[str, str] = {}
    for name, text in settings.items():
        full = name if name in parameters else full_name(name)
        found.pop(full, None)
        found[full] = text
    return found


def full_name(name: str) -> str:
    """Return the path of the one setting that a short name means, else the name itself."""
    paths = settings_named(name)
    return paths[0] if len(paths) == 1 else name


def settings_named(name: str) -> list[str]:
    """Return the settings that a name may mean: those whose path holds its words, the last one at its end.

    A whole statement comes before a key of the same name, such as ``epochs`` of the warmup, and a key that its
    statement always has before one that only some words of a statement take: ``val`` of split before csv's.
    """
    *before, last = name.split(".")
    last = key_elsewhere(last) or last
    statements: list[str] = []
    always: list[str] = []
    keys: list[str] = []
    for section, known in SECTIONS.items():
        for statement in known:
            path = [section, statement]
            if last == statement and before in ([], [section]):
                statements.append(".".join(path))
            is_key = last != statement and any(last in keys_of(cls) for cls in SETTINGS[statement].values())
            if is_key and all(word in path for word in before):
                (always if "" in SETTINGS[statement] else keys).append(".".join([*path, last]))
    return statements or always or keys


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


def nearest(name: str, parameters: Collection[str]) -> str | None:
    """Return the parameter or the setting that a mistyped name is nearest to."""
    known = list(parameters)
    for section, statements in SECTIONS.items():
        for statement in statements:
            known.append(f"{section}.{statement}")
            for cls in SETTINGS[statement].values():
                known += [f"{section}.{statement}.{key}" for key in keys_of(cls)]
    # `momentun` is nearer to a key than to its path; a statement comes before keys of the same name.
    short = {path.rpartition(".")[2]: path for path in sorted(known, key=lambda path: -path.count("."))}
    return did_you_mean(name, known) or short.get(did_you_mean(name, short) or "")


def _unknown(name: str, text: str, parameters: Collection[str], in_sections: Statements) -> Diagnostic:
    several, near = settings_named(name), nearest(name, parameters)
    place = belongs(name, text, in_sections)
    hint = f"parameters of this spec: {', '.join(parameters) or 'none'}; see  cnnspec help set"
    if len(several) > 1:
        hint = f"say which: {', '.join(several)}"
    elif place is not None:
        hint = f'write  --set "{place.section}.{place.statement}={place.text.partition(" ")[2]}"'
    elif near:
        hint = f"did you mean `{near}`?"
    source = Source("--set", f"{name}={text}")
    message = f"there is no parameter or setting `{name}`"
    label = "neither a `param` of the spec nor a setting"
    return Diagnostic("unknown-name", message, Span(source, 0, len(name)), label, hint=hint)
