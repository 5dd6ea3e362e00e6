"""Folders of the user that cnnspec writes to without being asked: one place that says where they are."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Return the folder for what can be computed again: ``$CNNSPEC_CACHE``, else the user's cache folder.

    A user without a home, such as a number in a container, has one among the temporary files.
    """
    chosen = os.environ.get("CNNSPEC_CACHE")
    base = chosen or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        found = Path(base).expanduser()
    except RuntimeError:  # no such user, or no home
        import tempfile

        user = getattr(os, "getuid", lambda: 0)()
        return Path(chosen) if chosen else Path(tempfile.gettempdir()) / f"cnnspec-{user}"
    return found if chosen else found / "cnnspec"
