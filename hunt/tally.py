"""What a hunt has seen: how often each outcome came, and each finding with what is needed to see it again."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field

REPORT_SECONDS = 20.0


@dataclass
class Tally:
    """Counts of outcomes, and findings: texts that say what was done and what went wrong."""

    name: str
    total: int
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    _told: float = field(default_factory=time.monotonic)

    def add(self, outcome: str, *findings: str) -> None:
        """Count one case; print how far the hunt is from time to time."""
        self.outcomes[outcome] += 1
        for finding in findings:
            self.find(finding)
        now = time.monotonic()
        if now - self._told >= REPORT_SECONDS:
            self._told = now
            done = sum(self.outcomes.values())
            print(
                f"{self.name}: {done:,} of {self.total:,}, {len(self.findings)} findings", file=sys.stderr, flush=True
            )

    def find(self, finding: str) -> None:
        """Keep a finding, and print it."""
        self.findings.append(finding)
        print(f"FOUND in {self.name}: {finding}", file=sys.stderr, flush=True)

    def summary(self) -> str:
        """Return one line: the hunt, its cases by outcome, and how many findings there are."""
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(self.outcomes.items()))
        return f"{self.name}: {sum(self.outcomes.values()):,} cases ({kinds}); {len(self.findings)} findings"
