"""Tables of pixels (.csv): a row an image, its label in one column, as Kaggle's digit files and those of MNIST."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...errors import DataError, did_you_mean
from ...ir.fields import Shape
from ...model.settings import Csv, DataSettings
from ...reading import CHUNK, named_path, open_unpacked
from . import split as limits
from .arrays import Part, dataset_of_parts
from .mnist import FROM_ONE, STORED_BY_COLUMN
from .registry import source
from .split import Dataset

LINE_NBYTES = 16 << 20  # of one row
_SEPARATORS = ",;\t"
Line = tuple[int, str]  # its number from 1, its text
_LABELS = ("label", "labels", "class", "target", "y")


@source(Csv)
def open_csv(settings: DataSettings, input_shape: Shape, classes: int | None, base: Path) -> Dataset:
    """Open a table to train on, and others to validate and to test on where they are named.

    Rows are images, row by row of their pixels; pixels of several channels stand side by side. Whole numbers from 0
    to 255 are bytes, other numbers floats that are used as they are.

    DataError when a file is missing, has no column of labels, or other columns than the input has values; names line
    and column of a field that is no number.
    """
    source = settings.source
    parts = {}
    for part, named in (("train", source.path), ("val", source.val), ("test", source.test)):
        if named:
            path = named_path(base, named)
            pixels, labels, column = read_table(path, math.prod(input_shape), source.label)
            if not source.label and classes:
                _check_side(pixels, labels, range(source.first, source.first + classes), path, column)
            _check_bytes(pixels, path)
            parts[part] = Part(_images(pixels, input_shape, source.transpose), labels, "pixels", column, path)
    notes = []
    if "test" not in parts:
        notes.append('no table to test on is named (test="FILE" behind the path); nothing will be tested')
    if not source.transpose and "emnist" in source.path.lower():
        notes.append(STORED_BY_COLUMN)
    name = Path(source.path).stem
    return dataset_of_parts(
        name, parts, input_shape, classes, settings.normalize, first=source.first, from_one=FROM_ONE, notes=notes
    )


def read_table(path: Path, count: int, label: str = "") -> tuple[np.ndarray, np.ndarray, str]:
    """Return (pixels [N, count], labels int64[N], name of their column) of a table, gzipped or plain.

    Parameters
    ----------
    count : values of an image.
    label : the column of the labels: its name in the first line, or its number from 0, from -1 at the end. Where it
        is not given, the column called label, class, target or y, else the first.
    """
    with open_unpacked(path, "table") as (stream, _):
        lines = _lines(stream, path)
        first = next(lines, None)
        if first is None:
            raise DataError("the file is empty", path=path, expected="a table of labels and pixels")
        separator = max(_SEPARATORS, key=first[1].count)
        fields = _fields(first[1], separator)
        header = fields if not all(map(_is_number, fields)) else []
        column = _column(header, len(fields), label, count, path)
        names = header or [f"column {i}" for i in range(len(fields))]
        pixels: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        nbytes = 0
        for chunk in _chunks(lines if header else chain([first], lines)):
            values = _parse(chunk, separator, names, column, path)
            labels.append(_whole(values[:, column], chunk, names[column], path))
            pixels.append(_narrow(np.delete(values, column, axis=1)))
            nbytes += pixels[-1].nbytes
            if nbytes > limits.IN_MEMORY_NBYTES:
                raise DataError(
                    "the pixels of the table would take too much memory",
                    path=path,
                    expected=f"at most {limits.IN_MEMORY_NBYTES:,} bytes, as bytes or floats of 4 bytes",
                    found=f"more, at line {chunk[-1][0]:,}",
                    hint="write them into a file of numpy.savez once; it is read batch by batch",
                )
    if not pixels:
        raise DataError("the table has no rows below its first line", path=path)
    name = names[column] if header and names[column] else "label"
    kinds = {piece.dtype for piece in pixels}
    kind = next(dtype for dtype in map(np.dtype, (np.float32, np.int32, np.uint8)) if dtype in kinds)
    return np.concatenate(pixels, dtype=kind, casting="unsafe"), np.concatenate(labels), name


def _check_side(pixels: np.ndarray, labels: np.ndarray, known: range, path: Path, column: str) -> None:
    """Raise DataError where the labels are those of the last column, and not of the first."""
    wrong, last = np.flatnonzero(~np.isin(labels, known)), pixels[:, -1]
    if not len(wrong) or not np.isin(last, known).all() or len(np.unique(last)) < 2:
        return
    raise DataError(
        "the first column holds no class numbers, and the last one does",
        path=path,
        field=f"{column}[{wrong[0]}]",
        expected=f"{known[0]} to {known[-1]}",
        found=str(labels[wrong[0]]),
        hint='label="-1" behind the path names the last column',
    )


def _images(pixels: np.ndarray, input_shape: Shape, transpose: bool) -> np.ndarray:
    if not transpose:
        return pixels.reshape(-1, *input_shape)
    height, width, channels = input_shape
    return np.ascontiguousarray(pixels.reshape(-1, width, height, channels).swapaxes(1, 2))


def _lines(stream: IO[bytes], path: Path) -> Iterator[Line]:
    """Yield the lines that hold something."""
    for number, raw in enumerate(iter(lambda: stream.readline(LINE_NBYTES + 1), b""), 1):
        wrong = partial(DataError, path=path, field=f"line {number:,}")
        if number == 1 and raw[:4] == b"PK\x03\x04":
            raise DataError("this is a zip file, not a table", path=path, hint=f"unzip {path}, and name the .csv")
        if len(raw) > LINE_NBYTES or b"\0" in raw:
            found = f"a line of more than {LINE_NBYTES:,} bytes" if len(raw) > LINE_NBYTES else "a NUL byte"
            raise wrong("this is not a table", expected="a row a line", found=found)
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
        except UnicodeDecodeError:
            raise wrong("the line is not UTF-8") from None
        if "\r" in text:
            mend = "save the table with lines that end in a line feed"
            raise wrong("a carriage return stands inside the line", hint=mend)
        if text.strip():
            yield number, text


def _chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield lines of CHUNK characters or a little more, so that a table is parsed piece by piece."""
    chunk: list[Line] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line[1])
        if size >= CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _fields(line: str, separator: str) -> list[str]:
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:  # a field of megabytes
        return line.split(separator)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _column(header: Sequence[str], found: int, label: str, count: int, path: Path) -> int:
    """Return the column of the labels, or raise DataError where the columns are not those of the input."""
    named = [i for i, name in enumerate(header) if name.lower() in _LABELS]
    wrong = partial(DataError, path=path, field="columns", expected=f"{count + 1:,}: the label and {count:,} pixels")
    if found == count and not (named or label):
        raise wrong(
            "the table has no column of labels",
            found=f"{found:,}, as many as an image has pixels",
            hint="without labels there is nothing to learn or to test: name the table that has them",
        )
    if found != count + 1:
        raise wrong(
            "the table has other columns than the spec's input has values",
            found=f"{found:,}",
            hint=_columns_hint(header, found, count),
        )
    if not label:
        return named[0] if named else 0
    if label in header:
        return header.index(label)
    with suppress(ValueError):
        if -found <= int(label) < found:
            return int(label) % found
    near = did_you_mean(label, header)
    raise wrong(
        f"there is no column {label!r}",
        field="label",
        expected=f"a name of the first line, or a number from 0 to {found - 1:,}",
        found=", ".join(header[:4]) + ", ..." if header else "a first line of numbers",
        hint=f'label="{near}"' if near else "",
    )


def _columns_hint(header: Sequence[str], found: int, count: int) -> str:
    if found == 1:
        return "fields are separated by commas, semicolons or tabs; only the first line may hold names"
    if header and found == count + 2 and header[0].lower() in ("", "unnamed: 0", "id", "index"):
        return "the first column looks like row numbers; pandas leaves them out with to_csv(..., index=False)"
    for channels in (1, 3):
        side = math.isqrt((found - 1) // channels)
        if side > 0 and side * side * channels == found - 1:
            return f"input {side}x{side}x{channels}"
    return f"an input of {found - 1:,} values, height x width x channels"


def _check_bytes(pixels: np.ndarray, path: Path) -> None:
    """Raise DataError where whole numbers are no bytes: which of them is white is not known."""
    if pixels.dtype.kind != "i":
        return
    low, high = int(pixels.min()), int(pixels.max())
    white = next((depth for depth in (1023, 4095, 65535) if low >= 0 and high <= depth), None)
    hint = f"divide the pixels by {white} if {white} is white" if white else "scale the pixels to 0..1"
    raise DataError(
        "whole numbers beyond 0 to 255 are no bytes, and which value is white is not known",
        path=path,
        field="pixels",
        expected="whole numbers from 0 to 255, or numbers with a decimal point, which are used as they are",
        found=f"{low:,} to {high:,}",
        hint=f"{hint}, and save the table with decimal points",
    )


def _parse(chunk: list[Line], separator: str, names: Sequence[str], column: int, path: Path) -> np.ndarray:
    """Return float64[n, columns] of lines; DataError names the first field that is no finite number."""
    rows = [text for _, text in chunk]
    try:
        values: np.ndarray = np.loadtxt(rows, delimiter=separator, comments=None, quotechar='"', ndmin=2)
        if values.shape == (len(rows), len(names)) and np.isfinite(values).all():
            return values
        why = "the rows do not make a table"
    except ValueError as error:
        why = str(error)
    for number, line in chunk:
        wrong = partial(DataError, path=path, field=f"line {number:,}")
        fields = _fields(line, separator)
        if len(fields) != len(names):
            message = "the row has another number of fields than the first"
            raise wrong(message, expected=f"{len(names):,}", found=f"{len(fields):,}")
        for i, text in enumerate(fields):
            if not _is_number(text) or not math.isfinite(float(text)):
                raise wrong(
                    f"the {'label' if i == column else 'field'} is not a number",
                    field=f"line {number:,}, {names[i] or f'column {i}'}",
                    expected="a number",
                    found=repr(text[:40]) if text else "nothing",
                    hint="number the classes from 0" if i == column and text else "",
                )
    raise DataError(f"this is not a table of numbers ({why})", path=path, field=f"line {chunk[0][0]:,}")


def _whole(values: np.ndarray, chunk: list[Line], name: str, path: Path) -> np.ndarray:
    """Return labels int64[n] of a column, or raise DataError naming the first that is no whole number."""
    wrong = np.flatnonzero((values != np.floor(values)) | (np.abs(values) >= 2**63))
    if len(wrong):
        raise DataError(
            "the label is not a whole number",
            path=path,
            field=f"line {chunk[wrong[0]][0]:,}, {name}",
            expected="the number of a class",
            found=f"{values[wrong[0]]:g}",
            hint='label="NAME" behind the path says which column holds the labels',
        )
    return values.astype(np.int64)


def _narrow(values: np.ndarray) -> np.ndarray:
    """Return pixels as bytes where they are, as integers where they are whole, else as float32."""
    low, high = values.min(initial=0), values.max(initial=0)
    kind: Any = np.float32
    if abs(low) < 2**31 and high < 2**31 and (values == np.floor(values)).all():
        kind = np.uint8 if low >= 0 and high <= 255 else np.int32
    with np.errstate(over="ignore"):  # as_pixels names what float32 cannot hold
        return values.astype(kind)
