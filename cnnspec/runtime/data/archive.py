"""NumPy archives (.npz) as strangers make them: arrays are read in pieces, mapped where they are large, or refused.

References
----------
"NEP 1: A simple file format for NumPy arrays"; PKWARE, ".ZIP File Format Specification".
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np

from ...errors import DataError
from ...reading import CHUNK, check_room, open_file, read_up_to
from . import split as limits

HEADER_NBYTES = 1 << 16  # of an array's description; one of plain numbers takes 128
_MAGIC = b"\x93NUMPY"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, struct.error,
    # what zipfile says to features and numbers that it does not know
    NotImplementedError, RuntimeError, ValueError, OverflowError, KeyError,
)  # fmt: skip


class Archive:
    """An open .npz file.

    Attributes
    ----------
    names : of its arrays, in the order of the file.
    """

    def __init__(self, zipped: zipfile.ZipFile, raw: IO[bytes], path: Path) -> None:
        self._zip, self._raw, self.path = zipped, raw, path
        self._members = {i.filename.removesuffix(".npy"): i for i in zipped.infolist() if i.filename.endswith(".npy")}
        self._left = limits.IN_MEMORY_NBYTES
        self.names = tuple(self._members)

    def read(self, name: str) -> np.ndarray:
        """Return one array. All that is not mapped has IN_MEMORY_NBYTES together.

        Raises
        ------
        DataError
            When it is no array of numbers or text, is packed in a way that NumPy does not write, holds more or less
            than it promises, or is packed and too large to be unpacked.
        """
        info, path = self._members[name], self.path
        wrong = partial(DataError, path=path, field=name)
        if info.compress_type not in _METHODS or info.flag_bits & 1:
            raise wrong(
                "the array is packed in a way that is not read",
                expected="stored or deflated, as numpy.savez and numpy.savez_compressed write it",
                found="encrypted" if info.flag_bits & 1 else f"compression method {info.compress_type}",
                hint="write it again with numpy.savez",
            )
        with self._zip.open(info) as member:
            shape, order, dtype, start = _header(member, wrong)
            nbytes = math.prod(shape) * dtype.itemsize
            if nbytes != info.file_size - start:
                raise wrong(
                    "the header promises another size than the file holds",
                    expected=f"{nbytes:,} bytes for {list(shape)} of {dtype}",
                    found=f"{info.file_size - start:,} bytes",
                )
            if nbytes <= self._left:
                check_room(nbytes, path=path, field=name)
                self._left -= nbytes
                content = read_up_to(member, nbytes)
                if len(content) != nbytes:
                    found = "more" if len(content) > nbytes else f"{len(content):,} bytes"
                    raise wrong("the file holds another size than it says", expected=f"{nbytes:,} bytes", found=found)
                return np.frombuffer(content, dtype).reshape(shape, order=order)
        if info.compress_type != zipfile.ZIP_STORED:
            raise wrong(
                "unpacked, the arrays would take too much memory",
                expected=f"at most {limits.IN_MEMORY_NBYTES:,} bytes in the arrays of a compressed file",
                found=f"{nbytes:,} bytes of {list(shape)}",
                hint="write it again with numpy.savez, not savez_compressed, or unzip it and pack the .npy files with "
                "zip -0: stored arrays are read batch by batch",
            )
        self._raw.seek(info.header_offset)
        fixed = self._raw.read(30)  # of the member's local header; its end sizes the two fields before the values
        offset = info.header_offset + len(fixed) + sum(struct.unpack("<HH", fixed[26:])) + start
        return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order=order)


@contextmanager
def open_archive(path: Path, field: str) -> Iterator[Archive]:
    """Open an .npz file for the ``with`` block; DataError where it is none, or turns out to be damaged inside it."""
    with open_file(path, field=field) as raw:
        head = raw.read(6)
        raw.seek(0)
        if head == _MAGIC:
            raise DataError(
                "this is one array (.npy), not an archive of several",
                path=path,
                expected="an .npz file with images and labels",
                hint="put both into one file: numpy.savez(FILE, x_train=..., y_train=...)",
            )
        try:
            with zipfile.ZipFile(cast("IO[bytes]", _InPieces(raw))) as zipped:
                yield Archive(zipped, raw, path)
        except _BROKEN as error:
            raise DataError(
                f"this is not a whole .npz file ({error})", path=path, hint="write it again with numpy.savez"
            ) from None


class _InPieces:
    """A file that gives at most CHUNK bytes a call: a list of members that claims gigabytes is never read."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw

    def read(self, size: int = -1) -> bytes:
        return self._raw.read(CHUNK if size < 0 else min(size, CHUNK))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


def _header(
    member: IO[bytes], wrong: Callable[..., DataError]
) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any], int]:
    """Return (shape, order, dtype, where the values begin) of an array."""
    head = member.read(8)
    version = tuple(head[6:8])
    width = 2 if version == (1, 0) else 4
    size = member.read(width)
    length = int.from_bytes(size, "little")
    if head[:6] != _MAGIC or version not in ((1, 0), (2, 0), (3, 0)) or length > HEADER_NBYTES:
        raise wrong(
            "this is not a NumPy array",
            expected=f"a header of format 1, 2 or 3 and at most {HEADER_NBYTES:,} bytes",
            found=f"{length:,} bytes of header" if head[:6] == _MAGIC else f"a beginning of {head!r}",
        )
    text = io.BytesIO(size + member.read(length))
    read = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(text)
        if any(n < 0 for n in shape):
            raise ValueError(f"a shape of {list(shape)}")
    except Exception as error:  # whatever Python's own parser says to a header that is no Python
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise wrong(f"this is not a NumPy array ({why})") from None
    if dtype.itemsize == 0:
        raise wrong("an array of empty texts is not read", found=f"dtype {dtype}")
    if dtype.hasobject:
        raise wrong(
            "an array of Python objects is not read",
            expected="an array of numbers",
            found="dtype object",
            hint="make one array of numbers: numpy.stack(list_of_arrays), or  .astype(numpy.int64)  for labels",
        )
    if dtype.names is not None or dtype.subdtype is not None or dtype.kind == "V":
        raise wrong("an array of records is not read", expected="an array of numbers", found=f"dtype {dtype}")
    return tuple(map(int, shape)), "F" if fortran else "C", dtype, 8 + width + length
