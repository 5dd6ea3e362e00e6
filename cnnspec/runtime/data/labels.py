"""Labels of an array: class numbers, judged in their own dtype before they become int32, or targets."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...errors import DataError
from .pixels import check_finite, to_array

_NUMBERED = "number the classes: numpy.unique({}, return_inverse=True)[1]"
_MISSING = "a missing value (NaN) becomes this number as an integer; fill it in, or leave its sample out"
MOST_CLASSES = 1 << 16  # that are counted from labels where no spec says how many there are


def as_labels(y: Any, n: int, *, path: object = None, field: str = "y", images: str = "x") -> np.ndarray:
    """Return class numbers [N] in the integer dtype that they have, or targets float32[N, F] for ``loss mse``.

    - integers (and bools) [N] or [N, 1] are class numbers;
    - floats [N, F] are targets;
    - one-hot integers, floats [N] and texts are refused with the mend.

    Parameters
    ----------
    n : how many images there are.
    field, images : what labels and images are called, for messages.

    Raises
    ------
    DataError
        When they are none of these, are not N, or a value is not finite.
    """
    wrong = partial(DataError, path=path, field=field)
    y = to_array(y, path, field)
    kind = y.dtype.kind
    if kind == "f" and y.ndim in (1, 2) and y.dtype.itemsize <= 8:
        check_finite(y, path, field)
    if kind in "iub" and y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    targets = kind == "f" and y.ndim == 2 and y.dtype.itemsize <= 8
    if not targets and (kind not in "iub" or y.ndim != 1):
        raise wrong(
            "labels must be whole numbers, one a sample",
            expected=f"integers [{n}]",
            found=f"{y.dtype} {list(y.shape)}",
            hint=_hint(y, field),
        )
    if len(y) != n:
        message = f"{images} and {field} differ in length"
        raise wrong(message, expected=f"{n:,}, one for each image", found=f"{len(y):,}")
    if targets:
        return y.astype(np.float32)
    return y.view(np.uint8) if kind == "b" else y


def count_classes(labels: np.ndarray, first: int = 0, *, path: object = None, field: str = "y") -> int:
    """Return how many classes integer labels [N] count from ``first``, where no spec says it; at least 1.

    DataError when that would be more classes than anybody has.
    """
    largest = int(labels.max()) - first if len(labels) else 0
    if largest >= MOST_CLASSES:
        raise DataError(
            "a label is too large to be the number of a class",
            path=path,
            field=f"{field}[{int(labels.argmax())}]",
            expected=f"{first} to {first + MOST_CLASSES - 1:,}",
            found=f"{largest + first}",
        )
    return max(1, largest + 1)


def class_numbers(
    labels: np.ndarray, classes: int, *, path: object, field: str, first: int = 0, from_one: str = ""
) -> np.ndarray:
    """Return int32[N], counted from 0, of labels in any integer dtype.

    Parameters
    ----------
    classes : how many there are.
    first : the label of the first class.
    from_one : the mend for labels that count from 1, in words that fit where they come from; ``FIELD - 1``
        unless given.

    Raises
    ------
    DataError
        Naming the first label outside ``first .. first + classes - 1``, as it stands in the data.
    """
    wrong = np.flatnonzero((labels < first) | (labels >= first + classes))
    if not len(wrong):
        return (labels.astype(np.int64) - first).astype(np.int32) if first else labels.astype(np.int32)
    place, low, high = int(wrong[0]), int(labels.min()), int(labels.max())
    mends = (  # the first that holds
        (first, f"mend the label; the source says that the first class is {first}"),
        (low == 1 and high == classes, f"labels count from 0: {from_one or f'{field} - 1'}"),
        (low == -1 and high == 1 and not (labels == 0).any(), f"labels count from 0: ({field} + 1) // 2"),
        (low == np.iinfo(np.int64).min, _MISSING),
        (len(np.unique(labels)) == classes, _NUMBERED.format(field)),
        (low < 0, "labels count from 0"),
        (high < MOST_CLASSES, f"mend the label, or give the net {high + 1} outputs"),
        (True, "mend the label"),
    )
    more = f" ({len(wrong):,} such labels)" if len(wrong) > 1 else ""
    raise DataError(
        "a label is out of range",
        path=path,
        field=f"{field}[{place}]",
        expected=f"{first} to {first + classes - 1}, one of {classes} classes",
        found=f"{int(labels[place])}{more}",
        hint=next(mend for holds, mend in mends if holds),
    )


def _hint(y: np.ndarray, field: str) -> str:
    kind = y.dtype.kind
    if kind in "USO" and y.ndim >= 1:
        if kind == "O" and y.size and all(isinstance(v, (int, np.integer)) for v in y.ravel()[:100]):
            return f"{field}.astype(numpy.int64)"
        return _NUMBERED.format(field)
    if kind == "f" and y.ndim == 1:
        targets = f"{field}[:, None] if they are targets of loss mse"
        return targets if (y != np.floor(y)).any() else f"{field}.astype(numpy.int64) if they number classes, {targets}"
    if kind in "iub" and y.ndim == 2 and len(y):
        head = y[:4096]
        if ((head == 0) | (head == 1)).all() and (head.sum(axis=1) == 1).all():
            return f"one-hot labels become class numbers by {field}.argmax(axis=1)"
        return f"{field}.astype(numpy.float32) if they are targets of loss mse"
    return ""
