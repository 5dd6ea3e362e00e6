"""Whole error reports, as a user sees them (tests/cases/errors), and the edits that mend (tests/cases/fix)."""

from __future__ import annotations

import pytest
from golden import cases

from cnnspec.compiler import Compiler
from cnnspec.errors import SpecError
from cnnspec.mend import mend
from cnnspec.source import Source


def report(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        Compiler.from_text(text, name="model.cnn").model  # noqa: B018
    return str(caught.value)


def mended(text: str) -> str:
    source, n, remaining = mend(Source("model.cnn", text))
    assert n > 0
    assert not remaining
    return source.text


@pytest.mark.parametrize("path", cases("errors"))
def test_report(path, golden):
    golden(path, report)


@pytest.mark.parametrize("path", cases("fix"))
def test_edits_mend(path, golden):
    """Where diagnostics offer edits, the edited spec has no error left."""
    golden(path, mended)
