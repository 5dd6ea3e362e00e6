"""Files that are whole or not there: written beside their place, flushed to disk, then moved."""

from __future__ import annotations

import contextlib
import errno
import glob
import itertools
import os
import re
import stat
from pathlib import Path

from ..errors import MachineError
from ..reading import special_kind
from ..sealed import is_alive

PART = ".part"  # what files are called until they are whole
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_numbers = itertools.count()
_writing: dict[str, str] = {}  # parts that this process writes just now, and what each will be called


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
    remove_parts(place.parent, place.name)
    part = place.with_name(part_name(place.name))
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(handle, "wb") as stream:
            with contextlib.suppress(FileNotFoundError):
                os.chmod(part, stat.S_IMODE(os.stat(place).st_mode))
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, place)
        _sync_folder(place.parent)
    except OSError as error:
        raise cannot_write(path, error, len(content), hint) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
        _writing.pop(part.name, None)


def _refuse_special(path: Path) -> None:
    """Raise MachineError where a path leads to a device, a pipe or a folder: whose it is, nobody knows.

    To put a file in its place would take the device away from the whole machine; to write to a pipe waits for a reader.
    """
    kind = special_kind(path)
    if kind is not None:
        raise MachineError("cannot be written", path=path, expected="a file, or nothing yet", found=kind)


def part_name(name: str) -> str:
    """Return what a file or folder is called until it is whole; it names this process, so that others may clear up."""
    made = f"{_stem(name)}{_host()}-{os.getpid()}-{next(_numbers)}{PART}"
    _writing[made] = name
    return made


def remove_parts(folder: Path, name: str, *, of_any: bool = False) -> None:
    """Remove the parts of a file that dead processes have left; with ``of_any`` all, where no other may be writing."""
    with contextlib.suppress(OSError):
        for part in folder.glob(f"{glob.escape(_stem(name))}*{PART}"):
            if part.name not in _writing and (of_any or is_left_behind(part.name)):
                with contextlib.suppress(OSError):
                    part.unlink()


def is_left_behind(part: str) -> bool:
    """Whether a :func:`part_name` is of a process of this machine that has ended."""
    found = re.search(rf"\.{re.escape(_host())}-(\d+)-\d+{re.escape(PART)}$", part)
    if found is None or part in _writing:
        return False
    return int(found[1]) == os.getpid() or not is_alive(int(found[1]))  # one of our number was there before us


def process_name() -> str:
    """Return the host and the number of this process."""
    return f"{_host()}-{os.getpid()}"


def _stem(name: str) -> str:
    return f".{name[:80]}."  # a name may be as long as the system allows, a part's name longer


def _host() -> str:
    return os.uname().nodename[:60].replace("/", "") if hasattr(os, "uname") else "here"


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
    if path.parent.name in _writing:
        path = path.parent.with_name(_writing[path.parent.name]) / path.name
    if error.errno in _FULL:
        kept = "; the file that was there before is kept" if is_there else ""
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
        hint=hint
        or (
            "make the folder first"
            if error.errno == errno.ENOENT
            else "choose a folder you may write to with --out FOLDER"
        ),
    )


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
