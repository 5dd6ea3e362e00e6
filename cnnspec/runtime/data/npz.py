"""NumPy archives: x_train, y_train and, optionally, x_test, y_test; large stored members are mapped."""

from __future__ import annotations

import hashlib
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from ...errors import DataError
from ...model.settings import DataSettings
from ...ops.base import Shape
from ...reading import named_path
from . import split as limits
from .split import ArraySplit, Dataset, check_image_shape, check_labels, normalizer_for

_PIXELS = "uint8 (0 to 255), or float16, float32 or float64 (used as they are)"


def open_npz(settings: DataSettings, input_shape: Shape, classes: int | None, base: Path) -> Dataset:
    """Open an .npz file; uint8 images are divided by 255, floats are taken as they are.

    Raises
    ------
    DataError
        When the file is missing or damaged, an array is absent, has a wrong dtype or shape, holds a value
        that is not finite, or a label is out of range.
    """
    path = named_path(base, settings.source.path)
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(n).stem: n for n in archive.namelist() if n.endswith(".npy")}
            for needed in ("x_train", "y_train"):
                if needed not in names:
                    raise DataError(
                        "an array is missing",
                        path=path,
                        field=needed,
                        expected="x_train and y_train, and optionally x_test and y_test",
                        found=", ".join(sorted(names)) or "no array",
                    )
            if ("x_test" in names) != ("y_test" in names):
                raise DataError("x_test and y_test go together; only one is there", path=path, field="x_test")
            parts = ["train", "test"] if "x_test" in names else ["train"]
            read = {
                f"{kind}_{part}": read_npy(archive, names[f"{kind}_{part}"], path) for part in parts for kind in "xy"
            }
    except FileNotFoundError:
        raise DataError("the file does not exist", path=path, field="data: source npz") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error) as error:
        raise DataError(
            f"this is not a whole .npz file ({error})", path=path, hint="write it again with numpy.savez"
        ) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path=path) from None
    arrays = {part: check_arrays(read[f"x_{part}"], read[f"y_{part}"], part, input_shape, path) for part in parts}
    labels = [y for _, y in arrays.values() if y.ndim == 1]  # the others are targets for mse
    known = (classes or 1 + max(int(y.max()) for y in labels)) if labels else 0
    for part, (x, y) in arrays.items():
        if y.ndim == 1:
            check_labels(y, known, path=path, field=f"y_{part}")
        if isinstance(x, np.memmap):
            stat = path.stat()
            digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}".encode())
        else:
            digest.update(f"{x.shape} {x.dtype}".encode())
            digest.update(np.ascontiguousarray(x).data)
        digest.update(y.tobytes())
    splits = [
        ArraySplit(x, y, normalizer_for(settings.normalize, input_shape[-1], white_of(x)), origin=path)
        for x, y in arrays.values()
    ]
    return Dataset(
        path.stem,
        splits[0],
        None,
        splits[1] if len(splits) > 1 else None,
        tuple(map(str, range(known))),
        digest.hexdigest(),
        normalizer_for(settings.normalize, input_shape[-1]),
        () if len(splits) > 1 else (f"{path} holds no x_test; nothing will be tested",),
    )


def white_of(x: np.ndarray) -> float:
    """Return the value that counts as 1: 255 for bytes, 1 for floats."""
    return 255.0 if x.dtype == np.uint8 else 1.0


def check_arrays(
    x: np.ndarray, y: np.ndarray, part: str, input_shape: Shape, path: object
) -> tuple[np.ndarray, np.ndarray]:
    """Return (x [N, H, W, C], y int32[N] or float32[N, F]), or raise DataError naming what does not fit."""
    if x.dtype.newbyteorder("=") not in (np.uint8, np.float16, np.float32, np.float64):
        raise DataError(
            "the dtype is not one of images",
            path=path,
            field=f"x_{part}",
            expected=_PIXELS,
            found=str(x.dtype),
            hint=f"x_{part}.astype(numpy.uint8) or .astype(numpy.float32)",
        )
    if x.ndim == 3 and len(input_shape) == 3 and input_shape[-1] == 1:
        x = x[..., None]
    if x.ndim != 1 + len(input_shape):
        wanted = "x".join(map(str, input_shape))
        raise DataError(
            "the array has the wrong number of dimensions",
            path=path,
            field=f"x_{part}",
            expected=f"[N, H, W, C] with samples of {wanted}",
            found=str(list(x.shape)),
        )
    if not len(x):
        raise DataError("the array is empty", path=path, field=f"x_{part}", found=str(list(x.shape)))
    check_image_shape(x.shape[1:], input_shape, path=path if path is not None else f"x_{part}")
    regression = y.dtype.kind == "f" and y.ndim == 2
    if not regression and (y.dtype.kind not in "iu" or y.ndim != 1):
        raise DataError(
            "labels must be whole numbers, one a sample",
            path=path,
            field=f"y_{part}",
            expected=f"integers [{len(x)}]",
            found=f"{y.dtype} {list(y.shape)}",
        )
    if len(x) != len(y):
        raise DataError(
            f"x_{part} and y_{part} differ in length",
            path=path,
            field=f"y_{part}",
            expected=f"{len(x):,}",
            found=f"{len(y):,}",
        )
    for name, values in (("x", x), ("y", y)):
        if values.dtype.kind == "f" and not isinstance(values, np.memmap):
            check_finite(values, path, f"{name}_{part}")
    return x, y.astype(np.float32 if regression else np.int32)


def check_finite(values: np.ndarray, path: object, field: str) -> None:
    """Raise DataError naming the first value that is NaN, infinite or too large for float32."""
    for start in range(0, len(values), 4096):  # in pieces: a mask of all would double the memory
        with np.errstate(over="ignore"):
            finite = np.isfinite(values[start : start + 4096].astype(np.float32, copy=False))
        if not finite.all():
            place = np.argwhere(~finite)[0]
            place[0] += start
            raise DataError(
                "a value is not finite",
                path=path,
                field=f"{field}{[int(p) for p in place]}",
                expected="numbers that float32 can hold",
                found=str(values[tuple(place)]),
            )


def read_npy(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """Return one array of an archive: mapped where it is large and stored uncompressed, else in memory."""
    info = archive.getinfo(name)
    with archive.open(info) as member:
        try:
            version = np.lib.format.read_magic(member)
            read_header = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read_header(member)
        except ValueError as error:
            raise DataError(f"this is not a NumPy array ({error})", path=path, field=Path(name).stem) from None
        start = member.tell()
        if dtype.hasobject:
            raise DataError(
                "an array of Python objects is not read",
                path=path,
                field=Path(name).stem,
                expected="an array of numbers",
                found="dtype object",
            )
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes != info.file_size - start:
            raise DataError(
                "the header promises another size than the file holds",
                path=path,
                field=Path(name).stem,
                expected=f"{nbytes:,} bytes for {list(shape)} of {dtype}",
                found=f"{info.file_size - start:,} bytes",
            )
        order: Literal["C", "F"] = "F" if fortran else "C"
        if nbytes > limits.IN_MEMORY_NBYTES and info.compress_type == zipfile.ZIP_STORED:
            offset = _data_offset(path, info) + start
            return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order=order)
        content = member.read()
    return np.frombuffer(bytearray(content), dtype).reshape(shape, order=order)


def _data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin: after its local header, whose two variable fields it sizes."""
    with open(path, "rb") as raw:
        raw.seek(info.header_offset)
        local = raw.read(30)
    name_length, extra_length = struct.unpack("<HH", local[26:30])
    return info.header_offset + 30 + name_length + extra_length
