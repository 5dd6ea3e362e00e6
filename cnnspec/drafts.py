"""Files that are whole or not there: written beside their place, flushed to the disk, then moved.

A draft names its host and its process, so that others can clear up after a process that was killed.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path

PART = ".part"  # what files and folders are called until they are whole
_numbers = itertools.count()
_writing: dict[str, str] = {}  # parts that this process writes just now, and what each will be called


def write_whole(
    place: Path, content: bytes, *, mode: int = 0o666, prepare: Callable[[Path], None] | None = None
) -> None:
    """Write a file in one go: it has its name only when all of it is on the disk.

    Parameters
    ----------
    mode : of a new file.
    prepare : called with the draft while it is empty, to give it a mode or an owner.

    Raises
    ------
    OSError
        When it cannot be written; what was there before stays, and no draft is left.
    """
    part = place.with_name(part_name(place.name))
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        with os.fdopen(handle, "wb") as stream:
            if prepare is not None:
                prepare(part)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, place)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
        _writing.pop(part.name, None)


def part_name(name: str) -> str:
    """Return the name of a file or folder until it is whole; it names this process."""
    made = f"{_stem(name)}{process_name()}-{next(_numbers)}{PART}"
    _writing[made] = name
    return made


def _stem(name: str) -> str:
    """Return how the parts of a file or folder begin."""
    return f".{name[:80]}."  # a name may be as long as the system allows, a part's name longer


def being_written(part: str) -> str | None:
    """Return the final name of a part that this process writes, None for any other name."""
    return _writing.get(part)


def is_left_behind(part: str) -> bool:
    """Whether a :func:`part_name` is of a process of this machine that has ended."""
    found = re.search(rf"\.{re.escape(_host())}-(\d+)-\d+{re.escape(PART)}$", part)
    if found is None or part in _writing:
        return False
    return int(found[1]) == os.getpid() or not _is_alive(int(found[1]))  # one of our number was there before us


def remove_left_behind(folder: Path, name: str | None = None, *, of_any: bool = False) -> None:
    """Remove the parts of a file, or of all files of a folder, that dead processes have left.

    ``of_any`` removes the parts of other processes too, where none of them may be writing.
    """
    stem = "." if name is None else glob.escape(_stem(name))
    with contextlib.suppress(OSError):
        for part in folder.glob(f"{stem}*{PART}"):
            if part.name not in _writing and (of_any or is_left_behind(part.name)):
                with contextlib.suppress(OSError):
                    part.unlink()


def process_name() -> str:
    """Return the host and the number of this process."""
    return f"{_host()}-{os.getpid()}"


def _host() -> str:
    return os.uname().nodename[:60].replace("/", "") if hasattr(os, "uname") else "here"


def _is_alive(pid: int) -> bool:
    """Whether a process of this number runs on this machine; True where the system does not say."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
