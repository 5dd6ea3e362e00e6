"""IDX files, the format of MNIST: a magic number, big-endian dimensions, then the values.

References
----------
LeCun, Cortes, Burges, "The MNIST database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import math
import struct
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...ir.fields import dims
from ...reading import check_room, open_unpacked, read_up_to
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
    wrong = partial(DataError, path=path, field=what)
    with open_unpacked(path, what) as (stream, zipped):
        magic = stream.read(4)
        if not magic:
            raise wrong("the file is empty", expected="an IDX file")
        rank = magic[3] if len(magic) == 4 else 0
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or rank not in ndims:
            wanted = " or ".join(f"{d} dimensions (magic 0x{0x0800 + d:08x})" for d in ndims)
            raise wrong(
                f"this is not an IDX file of {what}",
                field="magic number",
                expected=f"{wanted} of bytes",
                found=f"0x{magic.hex()}",
            )
        start = 4 + 4 * rank
        header = stream.read(4 * rank)
        if 4 + len(header) < start:
            raise wrong(
                "the file ends inside its header", expected=f"{start} bytes of header", found=f"{4 + len(header)} bytes"
            )
        shape = struct.unpack(f">{rank}I", header)
        dtype = np.dtype(_DTYPES[magic[2]])
        nbytes = math.prod(shape) * dtype.itemsize
        size = whole = start + nbytes
        if not zipped:
            size = path.stat().st_size
        if size == whole and nbytes > limits.IN_MEMORY_NBYTES:
            if not zipped:
                return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape)
            raise wrong(
                "the unpacked values would not fit in memory",
                expected=f"at most {limits.IN_MEMORY_NBYTES:,} bytes in a gzip file",
                found=f"{nbytes:,} bytes, as the header says",
                hint=f"gunzip {path}  (a plain IDX file is read batch by batch)",
            )
        if size == whole:
            check_room(nbytes, path=path, field=what)
            content = read_up_to(stream, nbytes)
            size = start + len(content)
        if size != whole:
            more = size > whole
            raise wrong(
                "the file holds more than its header says" if more else "the header promises more than the file holds",
                expected=f"{whole:,} bytes for {dims(shape)} values and the header",
                found=f"more than {whole:,} bytes" if more and zipped else f"{size:,} bytes",
                hint="get or copy the file again",
            )
        values = np.frombuffer(content, dtype).reshape(shape)
        return values if dtype.itemsize == 1 else values.astype(dtype.newbyteorder("="))
