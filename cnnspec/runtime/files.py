"""Files of the user's that are whole or not there, and what is said where one cannot be written."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from ..drafts import being_written, remove_left_behind, write_whole
from ..errors import MachineError
from ..reading import special_kind

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_atomically(path: Path, content: bytes, *, hint: str = "") -> None:
    """Replace a file by new content so that a crash leaves the old one or the new one, never a part.

    A file that is there keeps its mode, and a link keeps its place: what it leads to is replaced. Parts of this file
    that processes left behind when they were killed are removed.

    Parameters
    ----------
    hint : what helps where the place cannot be written; the advice of ``train`` unless given.

    Raises
    ------
    MachineError
        When the disk is full or the folder cannot be written; the old file is then as it was, and no
        temporary file is left. When the path leads to what is no regular file.
    """
    _refuse_special(path)
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    remove_left_behind(place.parent, place.name)

    def keep_mode(part: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.chmod(part, stat.S_IMODE(os.stat(place).st_mode))

    try:
        write_whole(place, content, prepare=keep_mode)
        _sync_folder(place.parent)
    except OSError as error:
        raise cannot_write(path, error, len(content), hint) from None


def _refuse_special(path: Path) -> None:
    """Raise MachineError where a path leads to a device, a pipe or a folder: whose it is, nobody knows.

    To put a file in its place would take the device away from the whole machine; to write to a pipe waits for a reader.
    """
    kind = special_kind(path)
    if kind is not None:
        raise MachineError("cannot be written", path=path, expected="a file, or nothing yet", found=kind)


def append_line(path: Path, line: str) -> None:
    """Append one line to a text file; MachineError when it cannot be written."""
    _refuse_special(path)
    try:
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(line + "\n")
    except OSError as error:
        raise cannot_write(path, error, len(line) + 1) from None


def cannot_write(path: Path, error: OSError, nbytes: int, hint: str = "") -> MachineError:
    """Return the error for a failed write, in words; what lies in a draft is named as it would have been called."""
    is_there = path.exists()
    run = being_written(path.parent.name)
    if run is not None:
        path = path.parent.with_name(run) / path.name
    message, expected, mend = "cannot be written", "", "choose a folder you may write to with --out FOLDER"
    if error.errno in _FULL:
        message = "the disk is full" + ("; the file that was there before is kept" if is_there else "")
        expected, mend = f"room for {nbytes:,} bytes", "free some space, or write to another disk with --out FOLDER"
    elif error.errno == errno.ENOENT:
        mend = "make the folder first"
    found = error.strerror or str(error)
    return MachineError(message, path=path, expected=expected, found=found, hint=hint or mend)


def _sync_folder(folder: Path) -> None:
    """Make the move itself durable; some file systems refuse to open folders, and that is fine."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
