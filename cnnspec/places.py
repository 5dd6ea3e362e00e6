"""Folders of the user that cnnspec writes to without being asked: one place that says where they are."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Return the folder for what can be computed again: ``$CNNSPEC_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("CNNSPEC_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "cnnspec"
