"""Pixels of an array: the value that counts as 1, the order of the axes, and the arrays that are no pictures.

One rule holds for training, evaluation and prediction, for files and for arrays in Python; ``as_pixels`` states it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ...errors import DataError
from ...ir.fields import Shape, dims

PIECE_NBYTES = 16 << 20  # of an array looked at in one go: masks of all of it would double the memory
_BLOCKS, _BLOCK = 512, 4096  # values of a mapped array that its range is taken from
_LARGEST = float(np.finfo(np.float32).max)
_DEPTHS = (255, 1023, 4095, 16383, 65535)  # white of 8, 10, 12, 14 and 16 bits


@dataclass(frozen=True)
class PixelScale:
    """Which numbers the pixels of a split are. A run remembers those of its training set.

    Attributes
    ----------
    white : the value that becomes 1: 255 for bytes, 16 for the embedded digits, 1 for floats and bools.
    low, high : the least and the largest value; of a sample where the array is mapped, not read.
    dtype : the dtype of the array as it was given.
    """

    white: float = 255.0
    low: float = 0.0
    high: float = 255.0
    dtype: str = "uint8"

    @classmethod
    def from_dict(cls, content: object) -> PixelScale | None:
        """Return the scale that ``asdict`` wrote; None where the content is none, as in a run of an older version."""
        if not isinstance(content, dict):
            return None
        numbers: list[Any] = [content.get(key) for key in ("white", "low", "high")]
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers) or numbers[0] <= 0:
            return None
        white, low, high = map(float, numbers)
        return cls(white, low, high, str(content.get("dtype", "")))

    @property
    def text(self) -> str:
        """Dtype and range, for messages: ``float32 from -1 to 1``."""
        return f"{self.dtype} from {_number(self.low)} to {_number(self.high)}"

    @property
    def _reach(self) -> float:
        return max(abs(self.low), abs(self.high)) / self.white

    @property
    def _are_bytes(self) -> bool:
        return self.white != 1 and not self.dtype.startswith("float")

    @property
    def _are_unit(self) -> bool:
        """Whether pixel / white lies in 0 to 1, up to rounding."""
        return self.low / self.white >= -0.02 and self.high / self.white <= 1.02

    @property
    def _look_like_bytes(self) -> bool:
        """Whether they are floats from 0 to 255 that nobody divided."""
        return self.white == 1 and self.low >= 0 and 64 < self.high <= 255.5


NUMBERS = "integers from 0 to 255, bools, or floats of 16 to 64 bits (used as they are)"
PICTURES = PixelScale()  # what a picture file holds


def as_pixels(
    x: Any,
    input_shape: Shape,
    *,
    path: object = None,
    field: str = "x",
    one: bool = False,
    trained: PixelScale | None = None,
) -> tuple[np.ndarray, PixelScale]:
    """Return the pixels [N, H, W, C] of an array, and their scale: divide by ``scale.white`` before anything else.

    - bytes (uint8) count up to 255; so do other integers whose values all lie in 0 to 255, which become uint8;
    - bools count up to 1, and become uint8;
    - floats of 16, 32 or 64 bits are used as they are: their white is 1;
    - other integers are refused, because nobody but their owner knows which value is white;
    - [N, H, W] is taken where the input has one channel; axes in another order are refused with the mend.

    Parameters
    ----------
    x : the array, or what numpy makes one of; a mapped array stays mapped, and integers in it stay as they are.
    input_shape : (H, W, C) of the spec's input.
    path, field : where the array comes from and what it is called, for messages.
    one : whether a single picture [H, W, C] (or [H, W]) is taken too, as N = 1.
    trained : the scale of the pixels that the net was trained on; see :func:`white_as_trained`.

    Raises
    ------
    DataError
        When shape, dtype or values do not fit, or are another scale than that of the training.
    """
    if not isinstance(x, np.memmap):
        x = to_array(x, path, field)
    wrong = partial(DataError, path=path, field=field)
    if x.dtype.kind not in "buif" or (x.dtype.kind == "f" and x.dtype.itemsize > 8):
        floats = x.dtype.kind in "fc"
        raise wrong(
            "the dtype is not one of images",
            expected=NUMBERS,
            found=str(x.dtype),
            hint=f"{field}{'.real' if x.dtype.kind == 'c' else ''}.astype(numpy.float32)" if floats else "",
        )
    x = _with_axes(x, input_shape, wrong, field, one)
    if not x.size:
        if one and x.ndim == 1 + len(input_shape):  # a prediction of nothing is nothing
            return x, trained or PixelScale(dtype=str(x.dtype))
        raise wrong("the array holds no image", found=str(list(x.shape)))
    dtype = str(x.dtype.newbyteorder("="))
    if x.dtype.kind == "f" and not isinstance(x, np.memmap):
        low, high = float(x.min()), float(x.max())
        if not max(-low, high) <= _LARGEST:  # also where one is NaN, which both pass on
            check_finite(x, path, field)
    else:
        low, high = value_range(x)
    if x.dtype.kind == "b":
        x = x.view(np.uint8)
    elif x.dtype.kind != "f":
        if low < 0 or high > 255:
            raise wrong(
                "integers beyond 0 to 255 are no bytes, and which value is white is not known",
                expected=NUMBERS,
                found=f"{dtype} from {low:,} to {high:,}",
                hint=f"floats keep the picture: {_as_floats(low, high, field)}",
            )
        if x.dtype != np.uint8 and not isinstance(x, np.memmap):
            x = x.astype(np.uint8)
    scale = PixelScale(1.0 if dtype == "bool" or x.dtype.kind == "f" else 255.0, float(low), float(high), dtype)
    if trained is not None:
        scale = replace(scale, white=white_as_trained(scale, trained, path=path, field=field))
    return x, scale


def white_as_trained(
    given: PixelScale, trained: PixelScale, *, path: object = None, field: str = "x", picture: bool = False
) -> float:
    """Return the value that counts as 1 in pixels that go into a net which was trained on others.

    Parameters
    ----------
    given : the pixels at hand.
    trained : those of the training set.
    picture : whether they come from a picture file, where white is 255 in any case.

    Raises
    ------
    DataError
        When the two cannot be the same kind of numbers, so that the net's answers would mean nothing: bytes where
        floats from -1 to 1 were trained on, floats up to 255 where they went up to 1, and the reverse.
    """
    other_scale = partial(
        DataError,
        "the pixels are on another scale than those of the training set",
        path=path,
        field=field,
        expected=f"pixels like those of the training set, {trained.text}",
        found=given.text,
    )
    as_floats = "make floats of them as those of the training were made"
    if given._are_bytes:
        if trained._look_like_bytes:
            return 1.0  # the floats were bytes that nobody divided
        if not trained._are_bytes and not trained._are_unit:
            signed = -1.02 <= trained.low < -0.9 and trained.high <= 1.02
            mend = as_floats + (f", perhaps  {field} / 127.5 - 1" if signed else "")
            if picture:
                numbers = "mean=0.5 std=0.5" if signed else "mean=... std=..."
                mend = f"train on bytes: what  data {{ normalize {numbers} }}  does to them is done to pictures too"
            raise other_scale(hint=mend)
        same = trained._are_bytes and not picture and given.high <= trained.high
        return trained.white if same else 255.0
    if given.dtype == "bool" and not (trained._are_unit or trained._look_like_bytes):
        raise other_scale(hint=as_floats)
    if given._look_like_bytes and trained._reach <= 8:
        raise other_scale(hint=f"{field} / 255" if trained._are_unit else "")
    if trained._look_like_bytes and given.low >= 0 and 0 < given.high <= 1:
        raise other_scale(hint=f"{field} * 255")
    if trained._are_unit and (given.low < -0.5 or given.high > 2):
        mend = "hand over pixels as in training; what `normalize` says is done to them"
        if trained._are_bytes and given.low >= 0 and given.high <= trained.high:
            mend = f"{field} / {_number(trained.white)}, which is white in the training set"
        raise other_scale(hint=mend)
    return given.white


def differs(given: PixelScale, trained: PixelScale, field: str) -> str:
    """Return a remark on two splits whose ranges differ although they may be meant so; "" where they do not."""
    less, more = sorted((given._reach, trained._reach))
    if more > 8 * less or stays_above(given, trained) or goes_below(given, trained):
        return f"{field} ({given.text}) and the training set ({trained.text}) differ in scale; are they made alike?"
    return ""


AS_IT_IS = "goes into the net as it is"  # in notes: that inputs are of another size than nets like is told


def goes_below(given: PixelScale, trained: PixelScale) -> bool:
    """Return whether pixels go well below 0, and those of the training never did."""
    return trained.low >= 0 and given.low / given.white < -0.2


def stays_above(given: PixelScale, trained: PixelScale) -> bool:
    """Return whether pixels never go below 0, and those of the training went well below."""
    return given.low >= 0 and trained.low / trained.white < -0.2


def remark(scale: PixelScale, field: str, normalized: bool) -> str:
    """Return what a person should know of the scale of a training set; "" where nothing is odd."""
    if scale.white == 255 and 0 < scale.high <= 1:
        return f"{field}: bytes of 0 and 1 are divided by 255, which leaves next to nothing; give bools or floats"
    if scale.white == 1 and scale._reach > 8 and not normalized:
        by = "255" if scale._look_like_bytes else _number(scale._reach)
        return f"{field}: {scale.text} {AS_IT_IS}; nets learn better near 0 to 1: {field} / {by}"
    return ""


def value_range(x: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest finite value of an array; of evenly spaced pieces of a mapped one."""
    looked_at: Iterable[np.ndarray]
    if isinstance(x, np.memmap):
        if not x.flags.forc:  # a view with its axes in another order
            return (0, 255) if x.dtype == np.uint8 else value_range(np.asarray(x[:: max(1, len(x) // _BLOCKS)]))
        flat = x.reshape(-1, order="A")
        starts = np.unique(np.linspace(0, max(0, len(flat) - _BLOCK), _BLOCKS).astype(np.int64))
        looked_at = (np.asarray(flat[start : start + _BLOCK]) for start in starts)
    else:
        looked_at = pieces(x)
    number = float if x.dtype.kind == "f" else int
    found = []
    for piece in looked_at:
        if x.dtype.kind == "f":
            piece = piece[np.isfinite(piece)]
        if piece.size:
            found += [number(piece.min()), number(piece.max())]
    return min(found, default=0), max(found, default=0)


def pieces(x: np.ndarray) -> Iterator[np.ndarray]:
    """Yield an array in pieces along its first axis, of PIECE_NBYTES or one sample: what works on them needs no more
    memory for a large array than for a small one."""
    rows = max(1, PIECE_NBYTES // max(1, x.nbytes // max(1, len(x))))
    for start in range(0, len(x), rows):
        yield x[start : start + rows]


def check_finite(values: np.ndarray, path: object, field: str) -> None:
    """Raise DataError naming the first value that is NaN, infinite or too large for float32."""
    start = 0
    for piece in pieces(values):
        with np.errstate(over="ignore"):
            finite = np.isfinite(piece.astype(np.float32, copy=False))
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
        start += len(piece)


def to_array(values: Any, path: object, field: str) -> np.ndarray:
    """Return what numpy makes of an array, of nested lists or of another library's array.

    DataError when it makes nothing of them, or would show values that are masked.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        place = [int(p) for p in np.argwhere(np.ma.getmaskarray(values))[0]]
        raise DataError(
            "a value is masked",
            path=path,
            field=f"{field}{place}",
            expected="values for all",
            hint=f"say what they are: {field}.filled(0)",
        )
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        why = str(error).split(". ")[0]
        raise DataError(
            f"this makes no array: {why}", path=path, field=field, expected="an array, or nested lists of equal lengths"
        ) from None


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e9 else f"{value:.4g}"


def _with_axes(x: np.ndarray, input_shape: Shape, wrong: Callable[..., DataError], field: str, one: bool) -> np.ndarray:
    """Return [N, H, W, C], or raise DataError with the mend that fits."""
    wanted, shape = tuple(input_shape), tuple(x.shape)
    grey = len(wanted) == 3 and wanted[-1] == 1
    if one and (shape == wanted or (grey and shape == wanted[:2])):
        return x.reshape(1, *wanted)
    if grey and x.ndim == 3:
        x = x[..., None]
    if x.shape[1:] == wanted:
        return x
    hint = _axes_hint(shape, wanted, field, one)
    if x.ndim != 1 + len(wanted):
        raise wrong(
            "the array has the wrong number of dimensions",
            expected=f"[N, {', '.join(map(str, wanted))}]: samples of {dims(wanted)}",
            found=str(list(shape)),
            hint=hint,
        )
    raise _other_size(x.shape[1:], wanted, wrong, hint)


def check_image_shape(shape: Sequence[int], wanted: Shape, *, path: object) -> None:
    """Raise DataError where images [H, W, C] do not have the size of the spec's input."""
    if tuple(shape) != tuple(wanted):
        raise _other_size(shape, wanted, partial(DataError, path=path, field="image size"))


def _other_size(shape: Sequence[int], wanted: Shape, wrong: Callable[..., DataError], hint: str = "") -> DataError:
    return wrong(
        "the images do not have the size of the spec's input",
        expected=f"{dims(wanted)}, as the spec's input says",
        found=dims(shape),
        hint=hint or f"input {dims(shape)}",
    )


def _axes_hint(shape: tuple[int, ...], wanted: Shape, field: str, one: bool) -> str:
    if len(wanted) != 3:
        return ""
    height, width, channels = wanted
    if one and shape == (channels, height, width):
        return f"channels come last: numpy.moveaxis({field}, 0, -1)"
    if len(shape) == 4 and shape[:3] == wanted:
        return f"samples come first: numpy.moveaxis({field}, -1, 0)"
    grey = f"input {height}x{width}x1, or numpy.repeat({field}"
    of_each = {  # shape of a sample -> the mend
        (channels, height, width): f"channels come last: numpy.moveaxis({field}, 1, -1)",
        (height * width * channels,): f"{field}.reshape(-1, {height}, {width}, {channels})",
        (height, width): f"the pictures have one channel: {grey}[..., None], {channels}, axis=-1)",
    }
    if channels == 3:
        of_each[height, width, 4] = f"leave out the fourth channel, transparency: {field}[..., :3]"
        of_each[height, width, 1] = f"{grey}, 3, axis=-1)"
    if shape[1:] in of_each:
        return of_each[shape[1:]]
    if len(shape) == 4 and shape[1] in (1, 3, 4) and shape[3] not in (1, 3, 4):
        return f"channels come last: numpy.moveaxis({field}, 1, -1), and  input {shape[2]}x{shape[3]}x{shape[1]}"
    return f"one picture is an array of one: {field}[None]" if shape == wanted else ""


def _as_floats(low: float, high: float, field: str) -> str:
    """Return how integers from ``low`` to ``high`` are written as floats."""
    if low < 0:
        return f"({field}.astype(numpy.float32) + {-low}) / {high - low}, if {low} is black and {high} white"
    if high > _DEPTHS[-1]:
        return f"({field} / WHITE).astype(numpy.float32), with the value that is white"
    white = next(depth for depth in _DEPTHS if high <= depth)
    return f"({field} / {white}).astype(numpy.float32), if {white} is white"
