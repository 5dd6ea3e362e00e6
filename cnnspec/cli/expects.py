"""The ``expect`` lines of a spec as commands show them: those that hold, and those that do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..model.model import Expect, Model


@dataclass(frozen=True)
class Verdict:
    """One ``expect`` line that can be judged: the value found, and whether it holds."""

    expect: Expect
    found: float
    ok: bool

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
        }


def verdicts(model: Model, known: Mapping[str, float], *, static: bool = False) -> list[Verdict]:
    """Judge the lines whose metric is in ``known``, or with ``static`` those that need no training."""
    from ..model.expects import RELATIONS
    from ..model.summary import static_metrics

    if static:
        known = {**static_metrics(model), **known}
    return [
        Verdict(e, known[e.metric], RELATIONS[e.relation](known[e.metric], e.value))
        for e in model.expects
        if e.metric in known
    ]


def print_verdicts(judged: list[Verdict]) -> None:
    """Print each judged line: what was written, and what was found."""
    from ..model.expects import format_metric
    from . import render

    for v in judged:
        mark, style = ("ok    ", "green") if v.ok else ("FAILED", "bold red")
        written = " ".join(v.expect.span.text.split())
        where = "" if v.ok else f"  (line {v.expect.span.line})"
        line = f"{mark} {written}: found {format_metric(v.expect.metric, v.found)}{where}"
        render.console().print(render.text(line, (f"^{mark}", style)))
