"""Folders that cnnspec finds without being told: what it carries beside its code, where it keeps what it computes."""

from __future__ import annotations

import os
from pathlib import Path


def carried(inside: str, beside: str) -> Path:
    """Return a folder that is no code: inside the package, as the wheel has it, else beside it, as in a checkout."""
    package = Path(__file__).resolve().parent
    found = package / inside
    return found if found.is_dir() else package.parent / beside


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
