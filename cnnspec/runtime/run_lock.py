"""One process at a time trains a run: a lock that goes away with the process, however that ends."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from ..drafts import process_name
from ..errors import DataError
from .files import cannot_write

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".training"
_BUSY = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK)


class RunLock:
    """Held from when it is made until the end of its ``with`` block.

    The file ``.training`` in the run folder names the process. Where the system or the file system knows no locks,
    nothing is held.

    Raises
    ------
    DataError
        When another process, or another training in this one, holds it.
    MachineError
        When the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._file = self._folder = -1
        if fcntl is None:
            return
        path = folder / LOCK
        try:
            self._folder = os.open(folder, os.O_RDONLY)  # the folder may be moved meanwhile
            while True:
                self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_in_place():
                    break
                os.close(self._file)  # its last holder has removed it since we opened it
            os.ftruncate(self._file, 0)
            os.write(self._file, process_name().encode())
        except OSError as error:
            if error.errno in _BUSY and self._file >= 0:
                holder = os.read(self._file, 200).decode(errors="replace")
                self._close()
                raise _is_busy(folder, holder) from None
            self._close()
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                return
            raise cannot_write(path, error, 0) from None

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file >= 0:
            with contextlib.suppress(OSError):
                if self._is_in_place():
                    os.unlink(LOCK, dir_fd=self._folder)
        self._close()

    def _is_in_place(self) -> bool:
        """Whether the file that is locked is the one that others would open."""
        try:
            return os.path.samestat(os.fstat(self._file), os.stat(LOCK, dir_fd=self._folder))
        except FileNotFoundError:
            return False

    def _close(self) -> None:
        for handle in (self._file, self._folder):
            if handle >= 0:
                os.close(handle)
        self._file = self._folder = -1


def _is_busy(folder: Path, holder: str) -> DataError:
    host, _, process = holder.rpartition("-")
    mine = holder == process_name()
    known = process.isdecimal() and bool(host)
    return DataError(
        "another process is training this run",
        path=folder,
        expected="one training of a run at a time",
        found="this process trains it already" if mine else f"process {process} on {host}" if known else "a lock on it",
        hint="wait until it ends" + (f", or stop it, which saves: kill {process}" if known and not mine else ""),
    )
