"""IDX files, the format of MNIST: a magic number, big-endian dimensions, then the values.

References
----------
LeCun, Cortes, Burges, "The MNIST database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import IO

import numpy as np

from ...errors import DataError
from ...ir.fields import dims
from ...reading import CHUNK, check_room, open_unpacked
from . import split as limits

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path, ndims: tuple[int, ...], what: str) -> np.ndarray:
    """Return the array of an IDX file, gzipped or plain; a plain file beyond the memory limit is mapped.

    Parameters
    ----------
    path : the file; gzip is recognised by its content.
    ndims : the numbers of dimensions that are allowed.
    what : "images" or "labels", for messages.

    Raises
    ------
    DataError
        When the file is missing, empty, cut short, longer than its header says, or not an IDX file.
    """
    with open_unpacked(path, what) as (stream, zipped):
        return _read(stream, path, ndims, what, None if zipped else path.stat().st_size)


def _read(stream: IO[bytes], path: Path, ndims: tuple[int, ...], what: str, size: int | None) -> np.ndarray:
    magic = stream.read(4)
    if not magic:
        raise DataError("the file is empty", path=path, field=what, expected="an IDX file")
    rank = magic[3] if len(magic) == 4 else 0
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or rank not in ndims:
        wanted = " or ".join(f"{d} dimensions (magic 0x{0x0800 + d:08x})" for d in ndims)
        raise DataError(
            f"this is not an IDX file of {what}",
            path=path,
            field="magic number",
            expected=f"{wanted} of bytes",
            found=f"0x{magic.hex()}",
        )
    header = stream.read(4 * rank)
    if len(header) < 4 * rank:
        raise DataError(
            "the file ends inside its header",
            path=path,
            field=what,
            expected=f"{4 + 4 * rank} bytes of header",
            found=f"{4 + len(header)} bytes",
        )
    shape = struct.unpack(f">{rank}I", header)
    dtype = np.dtype(_DTYPES[magic[2]])
    nbytes = math.prod(shape) * dtype.itemsize
    start = 4 + 4 * rank
    if size is not None:
        if size != start + nbytes:
            raise _lies(path, what, shape, start + nbytes, f"{size:,}", size > start + nbytes)
        if nbytes > limits.IN_MEMORY_NBYTES:
            return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape)
    elif nbytes > limits.IN_MEMORY_NBYTES:
        raise DataError(
            "the unpacked values would not fit in memory",
            path=path,
            field=what,
            expected=f"at most {limits.IN_MEMORY_NBYTES:,} bytes in a gzip file",
            found=f"{nbytes:,} bytes, as the header says",
            hint=f"gunzip {path}  (a plain IDX file is read batch by batch)",
        )
    check_room(nbytes, path=path, field=what)
    # Chunk by chunk, so that a header which promises gigabytes allocates none of them.
    content = bytearray()
    while len(content) <= nbytes:
        chunk = stream.read(min(CHUNK, nbytes + 1 - len(content)))
        if not chunk:
            break
        content += chunk
    if len(content) != nbytes:
        more = len(content) > nbytes
        found = f"{'more than ' if more else ''}{start + min(len(content), nbytes):,}"
        raise _lies(path, what, shape, start + nbytes, found, more)
    values = np.frombuffer(content, dtype).reshape(shape)
    return values if dtype.itemsize == 1 else values.astype(dtype.newbyteorder("="))


def _lies(path: Path, what: str, shape: tuple[int, ...], expected: int, found: str, surplus: bool) -> DataError:
    promised = dims(shape)
    return DataError(
        "the file holds more than its header says" if surplus else "the header promises more than the file holds",
        path=path,
        field=what,
        expected=f"{expected:,} bytes for {promised} values and the header",
        found=f"{found} bytes",
        hint="get or copy the file again",
    )
