"""No test depends on the machine's speed: no time limits, no deadlines, no figures of speed that must be reached."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent
LIMITS = re.compile(r"\btimeout\s*=|\.timeout\b|\bdeadline\s*=\s*\d|share_of_peak\"\]\s*<|perf_counter|\.monotonic\(")


def test_no_test_has_a_time_limit() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{number}: {line.strip()}"
        for path in sorted(TESTS.rglob("*.py"))
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if LIMITS.search(line)
    ]
    assert not found, "\n".join(found)


def test_pytest_stops_no_slow_test() -> None:
    text = (TESTS.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert "pytest-timeout" not in text
    assert not re.search(r"^timeout\b", text, flags=re.MULTILINE)


def test_hypothesis_takes_its_time() -> None:
    assert settings.default is not None
    assert settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check
