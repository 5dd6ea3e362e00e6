"""Files that are whole or not there: written beside their place, flushed to disk, then moved."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from ..errors import MachineError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_atomically(path: Path, content: bytes, *, hint: str = "") -> None:
    """Replace a file by new content so that a crash leaves the old one or the new one, never a part.

    ``hint`` says what helps where the place cannot be written; the advice of ``train`` unless given.

    Raises
    ------
    MachineError
        When the disk is full or the folder cannot be written; the old file is then as it was, and no
        temporary file is left.
    """
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files for the owner alone
        os.replace(temporary, path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error, len(content), hint) from None
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def append_line(path: Path, line: str) -> None:
    """Append one line to a text file; MachineError when it cannot be written."""
    try:
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(line + "\n")
    except OSError as error:
        raise cannot_write(path, error, len(line) + 1) from None


def cannot_write(path: Path, error: OSError, nbytes: int, hint: str = "") -> MachineError:
    """Return the error for a failed write, in words."""
    if error.errno in _FULL:
        kept = "; the file that was there before is kept" if path.exists() else ""
        return MachineError(
            f"the disk is full{kept}",
            path=path,
            expected=f"room for {nbytes:,} bytes",
            found=error.strerror or str(error),
            hint=hint or "free some space, or write to another disk with --out FOLDER",
        )
    return MachineError(
        "cannot be written",
        path=path,
        found=error.strerror or str(error),
        hint=hint or "choose a folder you may write to with --out FOLDER",
    )


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _sync_folder(folder: Path) -> None:
    """Make the move itself durable; some file systems refuse to open folders, and that is fine."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
