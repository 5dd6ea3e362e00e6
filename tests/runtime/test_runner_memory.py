"""A plan larger than the machine's memory is refused before the system starts to kill processes."""

from __future__ import annotations

import pytest

from cnnspec.errors import MachineError
from cnnspec.runtime import runner


def test_more_than_is_free_is_refused_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "free_memory", lambda: 3 * 2**30)
    with pytest.raises(MachineError) as caught:
        runner.allocate(5 * 2**30)
    text = str(caught.value)
    assert "not enough memory" in text
    assert "expected: 5.0 GiB" in text
    assert "found:    3.0 GiB free" in text
    assert "smaller batch" in text


def test_where_memory_cannot_be_asked_for_the_system_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "free_memory", lambda: None)
    with pytest.raises(MachineError, match="not enough memory"):
        runner.allocate(2**62)


def test_the_free_memory_is_a_sensible_number() -> None:
    free = runner.free_memory()
    assert free is None or 2**20 < free < 2**50
