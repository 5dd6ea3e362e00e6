"""Where files of users are opened: regular ones only, and never more of one than a stated bound.

A named pipe would be waited on for ever, ``/dev/zero`` never ends, and a packed file may unpack to a thousand times
its size. Every reader therefore opens its files here, and says how much it will take. docs/data.md lists the bounds.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any, cast

from .errors import DataError, MachineError

JSON_NBYTES = 64 << 20  # of a manifest, or of the metrics of a run: a hundred times what a long run writes
_MORE = 1 << 16
CHUNK = 1 << 20  # what is read or unpacked at a time

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_OPEN_ALREADY = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
# A pipe that takes the file's place between the look and the opening is not waited on.
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def check_regular(path: Path | str, *, limit: int | None = None, field: str = "", missing: str = "") -> int:
    """Return the size of a regular file in bytes, without opening it.

    Parameters
    ----------
    limit : the most bytes it may have.
    field : what the file holds, for messages.
    missing : what to say where there is no such file.

    Raises
    ------
    DataError
        When there is no such file, it is no regular file, it may not be looked at, or it is larger.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(missing or "the file does not exist", path=path, field=field) from None
    except (OSError, ValueError) as error:
        raise cannot_read(path, error, field) from None
    _judge(found, path, limit, field)
    return found.st_size


@contextmanager
def open_file(
    path: Path | str,
    *,
    limit: int | None = None,
    field: str = "",
    missing: str = "",
    pipe: bool = False,
    whole: int = 0,
) -> Iterator[IO[bytes]]:
    """Open a regular file for reading; see :func:`check_regular` for the parameters and errors.

    Errors of the system inside the ``with`` block become DataError too. ``pipe`` admits standard input and what a
    shell has opened for ``<(command)``: pipes that have a writer. A file of at most ``whole`` bytes is read at once,
    by half as many calls of the system.
    """
    given = pipe and str(path).startswith(_OPEN_ALREADY)
    try:
        if not given:
            check_regular(path, limit=limit, field=field, missing=missing)
        if whole and (content := _content(path, limit, field, whole)) is not None:
            yield BytesIO(content)
            return
        with open(path, "rb", opener=None if given else lambda name, _: os.open(name, _FLAGS)) as stream:
            if not given:
                _judge(os.fstat(stream.fileno()), path, limit, field)
            yield stream
    except FileNotFoundError:
        raise DataError(missing or "the file does not exist", path=path, field=field) from None
    except OSError as error:
        raise cannot_read(path, error, field) from None


def _content(path: Path | str, limit: int | None, field: str, whole: int) -> bytes | None:
    """Return the content of a regular file, None where it has more than ``whole`` bytes."""
    file = os.open(path, _FLAGS)
    try:
        found = os.fstat(file)
        _judge(found, path, limit, field)
        content, wanted = b"", found.st_size + 1
        while wanted + len(content) <= whole + 1:
            piece = os.read(file, wanted)
            content += piece
            if len(piece) < wanted:
                return content
            wanted = _MORE  # it grew, or the system does not know its size
        return None
    finally:
        os.close(file)


@contextmanager
def open_unpacked(path: Path | str, what: str) -> Iterator[tuple[IO[bytes], bool]]:
    """Open a file of data, gzipped or plain, as its content tells; yield (stream, whether it was gzipped).

    The stream unpacks as it is read: read it in pieces of :data:`CHUNK`, up to a bound. DataError as
    :func:`open_file`, and where a gzip file is cut short or damaged.
    """
    import gzip
    import zlib

    with open_file(path, field=what) as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not zipped:
            yield raw, False
            return
        try:
            with gzip.GzipFile(fileobj=raw) as unzipped:
                yield cast("IO[bytes]", unzipped), True
        except EOFError:
            raise DataError(
                "the gzip file is cut short", path=path, field=what, hint="get or copy the file again"
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"the gzip file is damaged ({error})", path=path, field=what) from None


def read_bytes(path: Path | str, limit: int, *, field: str = "") -> bytes:
    """Return the content of a file of at most ``limit`` bytes; DataError as :func:`open_file`."""
    with open_file(path, limit=limit, field=field) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:  # it grew, or the system does not know its size
        raise _too_large(path, limit, f"more than {limit:,} bytes", field)
    return content


def read_up_to(stream: IO[bytes], nbytes: int) -> bytearray:
    """Return what a stream holds, ``nbytes`` + 1 at most: one more than is wanted tells that the stream is longer.

    Memory grows with the content, whatever a header promises.
    """
    content = bytearray()
    while piece := stream.read(min(CHUNK, nbytes + 1 - len(content))):
        content += piece
    return content


def read_text(path: Path | str, limit: int, *, field: str = "") -> str:
    """Return the text of a UTF-8 file of at most ``limit`` bytes; DataError as :func:`open_file`."""
    try:
        return read_bytes(path, limit, field=field).decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{error.object[error.start]:02X} at offset {error.start:,}"
        raise DataError("the file is not UTF-8", path=path, field=field, found=found) from None


def parse_json(text: str) -> Any:
    """Return the value of a JSON text; ValueError where it is none, also where it nests too deep for the parser."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it nests too deep") from None


def named_path(base: Path, named: str) -> Path:
    """Return a path that a spec names, from a base folder; ``~`` and ``~user`` are filled in.

    DataError when there is no such user.
    """
    try:
        return base / Path(named).expanduser()
    except RuntimeError:
        user = named.split("/")[0]
        raise DataError(
            "there is no such user", path=named, found=user, hint=f"a folder whose name begins with ~ is ./{user}"
        ) from None


def free_memory() -> int | None:
    """Return the bytes that this process may still have, or None where the system cannot be asked.

    The least of what Linux would give without swapping, what the process's container is allowed, and what is left
    of a limit on its address space (``ulimit -v``).
    """
    known = []
    for ask in (_available, _left_in_container, _left_of_limit):
        with suppress(OSError, KeyError, ValueError):  # no such system, or no such limit
            known.append(ask())
    return min(known, default=None)


def check_room(nbytes: int, *, path: object, field: str = "", hint: str = "") -> None:
    """Raise MachineError where memory has no room for what a file would unpack to."""
    free = free_memory()
    if free is not None and nbytes > free:
        raise MachineError(
            "there is not enough memory to read it",
            path=path,
            field=field,
            expected=f"{nbytes:,} bytes",
            found=f"{max(free, 0):,} bytes free",
            hint=hint,
        )


def cannot_read(path: object, error: OSError | ValueError, field: str = "") -> DataError:
    """Return the error for a file that the system does not let us read."""
    why = getattr(error, "strerror", None) or str(error)
    return DataError(f"cannot be read: {why}", path=path, field=field)


def special_kind(path: Path | str) -> str | None:
    """Return the kind of a path, as ``a device``; None where it is a regular file, or there is nothing."""
    try:
        return _kind(os.stat(path).st_mode)
    except (OSError, ValueError):
        return None


def _kind(mode: int) -> str | None:
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "something else")


def _judge(found: os.stat_result, path: Path | str, limit: int | None, field: str) -> None:
    if kind := _kind(found.st_mode):
        raise DataError("this is not a regular file", path=path, field=field, expected="a file", found=kind)
    if limit is not None and found.st_size > limit:
        raise _too_large(path, limit, f"{found.st_size:,} bytes", field)


def _too_large(path: Path | str, limit: int, found: str, field: str) -> DataError:
    return DataError(
        "the file is too large to be what it should be",
        path=path,
        field=field,
        expected=f"at most {limit:,} bytes",
        found=found,
    )


def _available() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["MemAvailable"].split()[0]) * 1024


def _left_in_container() -> int:
    folder = Path("/sys/fs/cgroup")
    allowed = int((folder / "memory.max").read_text(encoding="ascii"))  # ValueError for "max", no limit
    used = int((folder / "memory.current").read_text(encoding="ascii"))
    held = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
    # pages of files are counted as used, and given back when they are needed
    return allowed - used + int(held.get("inactive_file", 0))


def address_limit() -> int | None:
    """Return the bytes that this process may have by ``ulimit -v``, None where there is no such limit."""
    try:
        import resource

        allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    except (ImportError, OSError, ValueError):
        return None
    return None if allowed == resource.RLIM_INFINITY else int(allowed)


def _left_of_limit() -> int:
    allowed = address_limit()
    if allowed is None:
        raise ValueError("no limit")
    with open("/proc/self/statm", encoding="ascii") as file:
        return allowed - int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
