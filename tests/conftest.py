"""What the tests share: ``pytest --update-golden`` writes the expected output of golden cases anew."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from golden import MARKER
from hypothesis import HealthCheck, settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two workers with two spinning threads each on two cores are many times slower than with one.
    os.environ.setdefault("CNNSPEC_THREADS", "1")


# A shell's `&` and nohup start what they run with these ignored, and cnnspec respects that; tests send them.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (getattr(signal, "SIGHUP", None), signal.SIG_DFL)):
    if number is not None and signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# No test may depend on the machine's speed: a busy one takes as long as it takes.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden cases anew")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def golden(update_golden: bool) -> Callable[[Path, Callable[[str], str]], None]:
    """Return a function that runs the input of a case file through a function and compares the output."""

    def compare(path: Path, run: Callable[[str], str]) -> None:
        given, _, expected = path.read_text(encoding="utf-8").partition(MARKER)
        actual = run(given).rstrip() + "\n"
        if update_golden:
            path.write_text(given + MARKER + actual, encoding="utf-8")
        else:
            assert actual == expected, f"{path.name} differs; if the new output is right: pytest --update-golden"

    return compare
