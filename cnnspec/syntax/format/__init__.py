"""The canonical form of a spec: ``cnnspec fmt``."""

from __future__ import annotations

from collections.abc import Mapping

from .. import ast
from . import filters
from .page import LAYOUTS, Page
from .statements import statements

__all__ = ["LAYOUTS", "format_spec"]
assert filters  # importing the module enters its layouts


def format_spec(spec: ast.Spec, facts: Mapping[int, str] | None = None) -> str:
    """Return the canonical form of a spec that was read without errors, its comments and blank lines kept.

    Parameters
    ----------
    facts : what shape comments say of flows, by the offset at which each flow ends; None leaves them as they are.
    """
    page = Page(spec.source, facts)
    statements(page, spec.statements, 0, len(spec.source.text) + 1)
    return page.print()
