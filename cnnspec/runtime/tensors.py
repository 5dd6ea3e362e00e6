"""Arrays by name in a safetensors file, beside them one JSON text of ours with a SHA-256 of it all.

Any tool that reads safetensors reads these files. Theirs have no text of ours, and older ones of ours no SHA-256:
both are read, unproved. float16 and bfloat16 are widened to float32.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError, MachineError
from ..reading import check_regular, check_room, open_file, parse_json, read_bytes
from .files import write_atomically

KEY = "cnnspec"  # of our text in the metadata
PROOF = "sha256"  # in our text
NUMPY = {
    "BOOL": "?", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "U8": "u1", "U16": "<u2", "U32": "<u4",
    "U64": "<u8", "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
HEADER_NBYTES = 100_000_000  # as safetensors has it
MISSING = "the checkpoint does not exist"
READ = "F32, F64, F16, BF16 or whole numbers"
NEIGHBOURS = ("last.safetensors", "best.safetensors")


class Tensors(NamedTuple):
    """The content of a file.

    Attributes
    ----------
    arrays : by name, of native byte order; float32 where the file has 16 bits.
    text : what our JSON text holds, None in files of other tools.
    metadata : the names of the file's metadata.
    """

    arrays: dict[str, np.ndarray]
    text: dict[str, Any] | None
    metadata: tuple[str, ...]


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray], text: Mapping[str, Any]) -> None:
    """Write arrays and our JSON text; equal content gives equal bytes. MachineError as :func:`write_atomically`."""
    from safetensors.numpy import save

    # safetensors writes the memory of a transposed or strided array as it lies, which is another array.
    tensors = {name: np.ascontiguousarray(value).reshape(np.shape(value)) for name, value in arrays.items()}
    dtypes = {np.dtype(kind): dtype for dtype, kind in NUMPY.items() if dtype != "BF16"}
    rows = [(name, dtypes[v.dtype], v.shape, v.reshape(-1).view(np.uint8)) for name, v in tensors.items()]
    # One key, because the order of several would vary from call to call.
    metadata = {KEY: json.dumps({**text, PROOF: _proof(text, rows)}, sort_keys=True)}
    write_atomically(path, save(tensors, metadata))


def read_tensors(path: Path) -> Tensors:
    """Read a safetensors file of ours or of another tool.

    Raises
    ------
    DataError
        When it is missing, cut short, damaged, no safetensors file, or of dtypes that are not read; names a
        file beside it that can be used instead, where there is one.
    """
    with _naming_another(path):
        return _read(path)


def read_text(path: Path) -> dict[str, Any] | None:
    """Return our JSON text, None in files of other tools; DataError as :func:`read_tensors`, for the header alone."""
    with _naming_another(path):
        size = check_regular(path, field="weights", missing=MISSING)
        with open_file(path, field="weights") as stream:
            content = stream.read(8)
            content += stream.read(min(int.from_bytes(content, "little"), HEADER_NBYTES))
        return _text(path, _header(path, content, size))


@contextmanager
def _naming_another(path: Path) -> Iterator[None]:
    """Let errors of a file name one that can be used instead."""
    try:
        yield
    except DataError as error:
        hint = instead_of(path)
        if isinstance(error, MachineError) or error.hint or (not path.is_file() and not hint.startswith("use")):
            raise
        where: dict[str, Any] = {"path": path, "field": error.field, "expected": error.expected, "found": error.found}
        raise DataError(error.message, hint=hint, **where) from None


def _read(path: Path) -> Tensors:
    from safetensors import SafetensorError, deserialize

    size = check_regular(path, field="weights", missing=MISSING)
    check_room(2 * size, path=path, field="weights")  # its bytes, and the arrays made of them
    content = read_bytes(path, size, field="weights")
    header = _header(path, content, size)
    try:
        tensors = deserialize(content)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise _unreadable(path, content, header, str(error)) from None
    text = _text(path, header)
    if text is not None:
        _check_proof(path, tensors, text)
    return Tensors({name: _array(path, name, t) for name, t in tensors}, text, tuple(sorted(_metadata(header))))


def _metadata(header: Mapping[str, Any]) -> dict[str, Any]:
    found = header.get("__metadata__")
    return found if isinstance(found, dict) else {}


def _text(path: Path, header: Mapping[str, Any]) -> dict[str, Any] | None:
    written = _metadata(header).get(KEY)
    if written is None:
        return None
    text = None
    with contextlib.suppress(ValueError, TypeError):
        text = parse_json(written)
    if not isinstance(text, dict):
        raise _damaged(path, f"no JSON object under {KEY!r} in its metadata")
    return text


def _array(path: Path, name: str, tensor: Mapping[str, Any]) -> np.ndarray:
    dtype = tensor["dtype"]
    if dtype not in NUMPY:
        raise _other_dtype(path, name, dtype)
    value = np.frombuffer(tensor["data"], NUMPY[dtype]).reshape(tensor["shape"])
    if dtype == "BF16":
        value = (value.astype(np.uint32) << 16).view(np.float32)
    elif dtype == "F16":
        value = value.astype(np.float32)
    return value.astype(value.dtype.newbyteorder("="), copy=False)


def _check_proof(path: Path, tensors: Any, text: Mapping[str, Any]) -> None:
    given = text.get(PROOF)
    if given is None:
        return
    proof = _proof(text, [(name, t["dtype"], t["shape"], t["data"]) for name, t in tensors])
    if proof != given:
        raise DataError(
            "the checkpoint is damaged: its content has changed since it was written",
            path=path,
            expected=f"sha256 {str(given)[:16]}...",
            found=f"sha256 {proof[:16]}...",
        )


def _proof(text: Mapping[str, Any], tensors: Iterable[tuple[str, str, Any, Any]]) -> str:
    """Return the SHA-256 of our text without its proof, and of tensors: name, dtype, shape, bytes."""
    proof = hashlib.sha256(json.dumps({k: v for k, v in text.items() if k != PROOF}, sort_keys=True).encode())
    for name, dtype, shape, data in sorted(tensors, key=lambda row: row[0]):
        proof.update(json.dumps([name, dtype, list(shape)]).encode())
        proof.update(data)
    return proof.hexdigest()


# ---- what is wrong with a file ----------------------------------------------------------------------
def _header(path: Path, content: bytes, size: int) -> dict[str, Any]:
    """Return the header of a file of ``size`` bytes, of which ``content`` are the first, or say why there is none."""
    nbytes = int.from_bytes(content[:8], "little")
    if len(content) >= 9 and (content[8:9] != b"{" or nbytes > HEADER_NBYTES):
        raise DataError(
            "this is not a safetensors file",
            path=path,
            expected="weights or a checkpoint of cnnspec",
            found=f"{size:,} bytes that begin with {content[:8]!r}",
        )
    if len(content) < 8 + nbytes or len(content) < 9:
        raise _cut_short(path, size, max(10, 8 + nbytes))
    try:
        header = parse_json(content[8 : 8 + nbytes].decode())
        assert isinstance(header, dict)
        return header
    except (ValueError, AssertionError) as error:
        raise _damaged(path, f"its header is no JSON object: {error}") from None


def _unreadable(path: Path, content: bytes, header: Mapping[str, Any], reason: str) -> DataError:
    """Tell a file cut short from a damaged one, and both from a whole one that is not for us."""
    tensors = [(name, entry) for name, entry in header.items() if name != "__metadata__"]
    try:
        found = [(name, str(entry["dtype"]), int(entry["data_offsets"][1])) for name, entry in tensors]
    except (TypeError, KeyError, ValueError, IndexError):
        return _damaged(path, reason)
    whole = 8 + int.from_bytes(content[:8], "little") + max((end for _, _, end in found), default=0)
    if len(content) < whole:
        return _cut_short(path, len(content), whole)
    strange = next(((name, dtype) for name, dtype, _ in found if dtype not in NUMPY), None)
    if strange is not None and len(content) == whole:
        return _other_dtype(path, *strange)
    return _damaged(path, reason)


def _cut_short(path: Path, size: int, whole: int) -> DataError:
    return DataError(
        "the checkpoint is cut short", path=path, expected=f"{whole:,} bytes or more", found=f"{size:,} bytes"
    )


def _damaged(path: Path, reason: str) -> DataError:
    return DataError("the checkpoint is damaged", path=path, expected="a whole safetensors file", found=reason[:200])


def _other_dtype(path: Path, name: str, dtype: str) -> DataError:
    return DataError(
        f"tensors of dtype {dtype[:40]} are not read",
        path=path,
        field=name,
        expected=READ,
        found=dtype[:40],
        hint="the file is whole; save its tensors as float32 with the tool that wrote it, under another name",
    )


def instead_of(path: Path) -> str:
    """Return the mend for a file that cannot be used: a neighbour that can."""
    for name in NEIGHBOURS:
        other = path.with_name(name)
        if other == path or not other.is_file():
            continue
        try:
            _read(other)
        except DataError:
            continue
        return f"use {other}" + ("" if name == NEIGHBOURS[0] else " (weights for eval and predict, not for --resume)")
    return "no other checkpoint lies beside it; get or copy the file again, or train anew"
