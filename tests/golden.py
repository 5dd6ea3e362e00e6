"""Golden cases: text files of what goes in, a line ``=== output ===``, and what must come out."""

from __future__ import annotations

from pathlib import Path

import pytest

CASES = Path(__file__).parent / "cases"
SPECS = Path(__file__).parent.parent / "specs"
ZOO = SPECS / "zoo"
MARKER = "=== output ===\n"


def cases(folder: str) -> list[object]:
    """Return the case files of a folder as test parameters."""
    found = sorted((CASES / folder).glob("*.txt"))
    assert found, f"no cases in {folder}"
    return [pytest.param(path, id=path.stem) for path in found]


def example_specs() -> list[object]:
    """Return the example specs as test parameters."""
    found = sorted(SPECS.rglob("*.cnn"))
    assert len(found) >= 18
    return [pytest.param(path, id=path.stem) for path in found]
