"""A file of the user's gets other content and keeps the rest: its mode, its owner, and the link that leads to it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..drafts import write_whole
from ..errors import DataError, MachineError


def rewrite(path: Path, before: bytes, content: bytes) -> None:
    """Replace the content of a plain file; links lead on to the same file.

    The new content is written beside the file and moved there, so that a crash leaves the old one or the new one. Where
    a move would change more than the content (a second name of the file, an owner that cannot be given), the file
    itself is written.

    Raises
    ------
    DataError
        If its content is not ``before`` any more.
    MachineError
        If the file is read-only or cannot be written; it is then as it was.
    """
    from ..runtime.files import cannot_write

    hint = "copy the spec to a folder you may write to"
    try:
        place = path.resolve(strict=True)
        status = place.stat()
        if not status.st_mode & 0o222 or not os.access(place, os.W_OK):
            raise MachineError(
                "the file is read-only, and stays as it is", path=path, hint=f"allow it first:  chmod u+w {path}"
            )
        if place.read_bytes() != before:
            raise DataError("the file was changed meanwhile, and stays as it is", path=path, hint="run it again")
        if status.st_nlink > 1 or not _move_there(place, status, content):
            with place.open("r+b") as file:
                file.write(content)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(path, error, len(content), hint) from None


def _move_there(place: Path, status: os.stat_result, content: bytes) -> bool:
    """Write beside a file and move it there; return False where that cannot keep mode and owner."""

    def keep(part: Path) -> None:
        if hasattr(os, "chown"):
            os.chown(part, status.st_uid, status.st_gid)
        os.chmod(part, stat.S_IMODE(status.st_mode))

    try:
        write_whole(place, content, mode=0o600, prepare=keep)
    except PermissionError:  # a folder that takes no new file, or another owner's file
        return False
    return True
