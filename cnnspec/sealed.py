"""Files of ours that can be computed again: each says whether it is whole and whose it is, else it is not there.

The first line holds a SHA-256 of the file's name and content. A file that is cut short, has a wrong bit, was copied
over another, is a link, or that someone else may write, reads as None; whoever asked computes the content again.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from .drafts import write_whole

MAGIC = b"cnnspec sealed 1 "


def write_sealed(path: Path, content: bytes) -> None:
    """Write a file in one go; OSError as :func:`write_whole`."""
    write_whole(path, MAGIC + _digest(path, content) + b"\n" + content, mode=0o600)


def read_sealed(path: Path, *, installed: bool = False) -> bytes | None:
    """Return the content of a file that :func:`write_sealed` wrote, None where it is missing, damaged or another's.

    A file that is ``installed`` beside our code may be anybody's, as the code may.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            if not (stat.S_ISREG(status.st_mode) and (installed or is_private(status))):
                return None
            head, _, content = file.read().partition(b"\n")
    except OSError:
        return None
    return content if head == MAGIC + _digest(path, content) else None


def is_private(status: os.stat_result) -> bool:
    """Whether a file or folder belongs to this user, or to root, and nobody else may write it."""
    owner = getattr(os, "getuid", lambda: status.st_uid)()
    return status.st_uid in (owner, 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _digest(path: Path, content: bytes) -> bytes:
    digest = hashlib.sha256(path.name.encode(errors="surrogateescape") + b"\0")
    digest.update(content)
    return digest.hexdigest().encode()
