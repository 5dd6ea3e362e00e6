"""All rules over one spec: what they find, but for what a comment turns off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..by_type import import_modules
from ..errors import Diagnostic
from ..syntax import ast
from ..text import some
from .lint.off import Off, offs_by_line
from .lint.rule import RULES, Finding, Net, Rule
from .model import Model

import_modules(f"{__package__}.lint")


@dataclass(frozen=True)
class Linted:
    """What rules find, in the order of the text, used files behind; and how many findings comments have turned off."""

    findings: tuple[Diagnostic, ...]
    silenced: int


def rules() -> list[Rule]:
    """Return all rules by name."""
    return [RULES[name] for name in sorted(RULES)]


def lint(spec: ast.Spec, model: Model) -> Linted:
    """Return what the rules find in a checked spec.

    A line of a block or a repeat that comes to many layers is told once.
    """
    net = Net(spec, model)
    offs: dict[str, Mapping[int, list[Off]]] = {}
    found: list[Diagnostic] = []
    silenced = 0
    for one in rules():
        for finding, times in _once(one.find(net)):
            source = finding.span.source
            if source.name not in offs:
                offs[source.name] = offs_by_line(source)
            if any(off.covers(one.name) for off in offs[source.name].get(finding.span.line, ())):
                silenced += 1
                continue
            notes = (f"so in {some(times, 'layer')} that this line makes",) if times > 1 else ()
            trail = finding.trail if times == 1 else ()
            what = finding.message, finding.span, finding.label, notes
            found.append(Diagnostic(one.name, *what, trail=trail, hint=finding.hint, severity="warning"))
    found.sort(key=lambda d: (d.span.source.name != model.source.name, d.span.source.name, d.span.start))
    return Linted(tuple(found), silenced)


def _once(findings: Iterator[Finding]) -> Iterator[tuple[Finding, int]]:
    """Yield the first finding of each place, and how many there are."""
    places: dict[tuple[str, int], list[Finding]] = defaultdict(list)
    for finding in findings:
        places[finding.span.source.name, finding.span.start].append(finding)
    for group in places.values():
        yield group[0], len(group)
