"""The spec's ``expect`` lines held against what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import Diagnostic
from ..model.expects import judge
from ..model.model import Expect, Model


@dataclass(frozen=True)
class Verdict:
    """One ``expect`` line, judged: ``found`` is the measured value, ``diagnostic`` says why it failed."""

    expect: Expect
    found: float
    diagnostic: Diagnostic | None

    @property
    def ok(self) -> bool:
        return self.diagnostic is None


def verdicts(model: Model, measured: Mapping[str, float]) -> tuple[Verdict, ...]:
    """Return a verdict for each ``expect`` line whose metric was measured, in the order of the spec."""
    found = []
    for expect in model.expects:
        if expect.metric in measured:
            failed = judge([expect], measured)
            found.append(Verdict(expect, measured[expect.metric], failed[0] if failed else None))
    return tuple(found)
