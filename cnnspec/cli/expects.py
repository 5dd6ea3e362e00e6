"""The ``expect`` lines of a spec as commands show them: those that hold, and those that do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import render

if TYPE_CHECKING:
    from ..model.model import Expect, Model


@dataclass(frozen=True)
class Verdict:
    """One ``expect`` line: the value found, and whether it holds; ``ok`` is None where ``why`` it is not judged."""

    expect: Expect
    found: float | None
    ok: bool | None
    why: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return the verdict as JSON-ready values."""
        e = self.expect
        return {
            "metric": e.metric,
            "relation": e.relation,
            "value": e.value,
            "found": self.found,
            "ok": self.ok,
            "line": e.span.line,
            **({"not_judged": self.why} if self.ok is None else {}),
        }


def verdicts(model: Model, known: Mapping[str, float], *, not_judged: str = "") -> list[Verdict]:
    """Judge the lines whose metric is in ``known``.

    Where ``not_judged`` says why trained metrics say nothing of the spec, lines about them are shown, not judged.
    """
    from ..model.expects import RELATIONS, TRAINED

    if not_judged:
        return [Verdict(e, known.get(e.metric), None, not_judged) for e in model.expects if e.metric in TRAINED]
    return [
        Verdict(e, known[e.metric], RELATIONS[e.relation](known[e.metric], e.value))
        for e in model.expects
        if e.metric in known
    ]


def print_verdicts(judged: list[Verdict]) -> None:
    """Print each judged line: what was written, and what was found."""
    from ..model.expects import format_metric

    for v in judged:
        written = " ".join(v.expect.span.text.split())
        found = [] if v.found is None else [f"found {format_metric(v.expect.metric, v.found)}"]
        if v.ok is None:
            render.say(f"-      {written}: {', '.join(['not judged', *found])}", hang=7)
            continue
        mark, style = ("ok    ", "green") if v.ok else ("FAILED", "bold red")
        where = "" if v.ok else f"  (line {v.expect.span.line})"
        render.say(f" {written}: {found[0]}{where}", style, mark=mark, hang=7)
    for why in dict.fromkeys(v.why for v in judged if v.why):
        render.say(f"       {why}", hang=7)
