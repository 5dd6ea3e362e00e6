"""Splits that hand out normalised batches, and the data set that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ...errors import DataError
from ...ir.fields import Shape
from ...text import listed, some
from ..rng import keyed
from .normalize import Normalizer
from .pixels import PICTURES, PixelScale

IN_MEMORY_NBYTES = 1 << 30  # larger data is read batch by batch


class Split(Protocol):
    """One part of a data set."""

    labels: np.ndarray  # int32[N], or float32[N, F] targets
    normalizer: Normalizer  # that batches have passed
    prefetch: bool  # True where a batch costs so much that threads should make the next ones meanwhile

    def __len__(self) -> int: ...

    @property
    def shape(self) -> Shape:
        """(H, W, C) of a sample."""

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (x float32[n, H, W, C] normalised, y int32[n]) of the samples at these positions."""

    def fill(self, indices: np.ndarray, x: np.ndarray) -> None:
        """Write the samples at these positions, normalised, to x float32[n, H, W, C]. Threads may do so at a time."""

    def subset(self, indices: np.ndarray) -> Split:
        """Return the split that holds just the samples at these positions, in that order."""

    def origin_of(self, index: int) -> tuple[int, Path | None]:
        """Return (row, file) of a sample: its row in its array, or its place in the split and its file."""


def batch_of(split: Split, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (x, y) of the samples of a split at these positions, in arrays of their own."""
    x = np.empty((len(indices), *split.shape), np.float32)
    split.fill(indices, x)
    return x, split.labels[indices]


@dataclass(eq=False)
class ArraySplit:
    """Samples of one array, in memory or memory-mapped.

    Attributes
    ----------
    images : uint8 or floats [M, H, W, C].
    labels : int32[N], or float32[N, F] targets for mse.
    normalizer : applied to each batch.
    rows : the rows of ``images`` that belong to the split, in order; all when None.
    origin : what the array came from, for messages.
    files : the file of each row of ``images``, where images were files.
    """

    images: np.ndarray
    labels: np.ndarray
    normalizer: Normalizer
    rows: np.ndarray | None = None
    origin: object = None
    files: Sequence[Path] | None = None

    def __post_init__(self) -> None:
        # Measured for 64 images of 28x28: a gather takes 20 us, handing it to a thread 85 us.
        self.prefetch = isinstance(self.images, np.memmap)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> Shape:
        return tuple(self.images.shape[1:])

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (x, y) of the samples at these positions; see :class:`Split`."""
        return batch_of(self, indices)

    def fill(self, indices: np.ndarray, x: np.ndarray) -> None:
        """Write the samples at these positions to x; see :class:`Split`."""
        rows = indices if self.rows is None else self.rows[indices]
        self.normalizer.take(self.images, rows, x)
        if self.prefetch and self.images.dtype != np.uint8:
            self._check(x, rows)

    def _check(self, x: np.ndarray, rows: np.ndarray) -> None:
        """Judge the values of a mapped array as they are read; before that only a sample of them was."""
        floats = self.images.dtype.kind not in "iu"
        pixels = x if floats else self.images[rows]
        wrong = np.argwhere(~np.isfinite(x) if floats else (pixels < 0) | (pixels > 255))
        if len(wrong):
            at = (rows[wrong[0][0]], *wrong[0][1:])
            raise DataError(
                "a value is not finite" if floats else "an integer is no pixel",
                path=self.origin,
                field=f"x, sample {int(at[0])}",
                expected="numbers that float32 can hold" if floats else "0 to 255",
                found=str(self.images[at]),
            )

    def subset(self, indices: np.ndarray) -> ArraySplit:
        """Return the split of the samples at these positions."""
        rows = indices if self.rows is None else self.rows[indices]
        return replace(self, labels=self.labels[indices], rows=rows)

    def origin_of(self, index: int) -> tuple[int, Path | None]:
        """Return (row, file) of a sample; see :class:`Split`."""
        row = index if self.rows is None else int(self.rows[index])
        return (row, None) if self.files is None else (index, self.files[row])


@dataclass(frozen=True)
class Dataset:
    """A data set, ready to train on.

    Attributes
    ----------
    train, val, test : its splits; ``val`` and ``test`` may be None.
    class_names : a name for each class; empty where targets are numbers.
    fingerprint : sha256 of the data: of all values where they fit in memory, else of names, sizes and
        modification times.
    notes : what a person should know, such as files that were left out.
    scale : which numbers the pixels of ``train`` are; a run remembers them, and later pixels are held against them.
    draft : whether large JPEGs are decoded at a part of their size.
    """

    name: str
    train: Split
    val: Split | None
    test: Split | None
    class_names: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()
    scale: PixelScale = PICTURES
    draft: bool = False

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def class_counts(self) -> dict[str, tuple[int, ...]]:
        """Return {"train": samples of each class, in the order of ``class_names``, ...} for the splits that are
        there; empty where targets are numbers."""
        parts = {"train": self.train, "val": self.val, "test": self.test}
        return {
            name: tuple(map(int, np.bincount(part.labels, minlength=self.classes)))
            for name, part in parts.items()
            if part is not None and part.labels.ndim == 1
        }


def with_validation(data: Dataset, share: float, seed: int) -> Dataset:
    """Return the data set with a share of its training samples held out for validation, fixed by the seed.

    A validation set of the data's own stays as it is, and the share is told not to be used.

    Raises
    ------
    DataError
        When the share leaves one part empty.
    """
    if share <= 0:
        return data
    if data.val is not None:
        own = f"the data has a validation set of its own, {some(len(data.val), 'sample')}"
        return replace(data, notes=(*data.notes, f"split val={100 * share:g}% is not used: {own}"))
    rest, held = hold_out(data.train, share, seed)
    notes = list(data.notes)
    if data.train.labels.ndim == 1:
        there, counts = np.unique(data.train.labels, return_counts=True)
        single = [data.class_names[i] if i < data.classes else str(i) for i in there[counts == 1]]
        if single:
            notes.append(f"one training sample only, which is not held out for validation: {listed(single)}")
        if len(held) > len(data.train) * share + len(there) / 2:
            notes.append(
                f"split val={100 * share:g}% holds out {len(held):,} of {len(data.train):,} samples, "
                "as each class needs one at least"
            )
    return replace(data, train=rest, val=held, notes=tuple(notes))


def hold_out(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Divide a split into the rest and a share of it, each class represented alike, fixed by the seed.

    A class of two samples or more has one on each side at least; the only sample of a class is in the rest.
    """
    order = keyed(seed, "val").permutation(len(split))
    if split.labels.ndim == 1:  # grouped by class, so that evenly spread picks are stratified
        order = order[np.argsort(split.labels[order], kind="stable")]
    steps = np.floor(np.arange(len(split) + 1) * share)
    picked = steps[1:] != steps[:-1]
    in_parts = bool(picked.any() and not picked.all())
    divisible = len(split) > 1
    if split.labels.ndim == 1:
        _, starts, counts = np.unique(split.labels[order], return_index=True, return_counts=True)
        divisible = bool((counts > 1).any())
        for start, count in zip(starts, counts, strict=True) if in_parts else ():
            of_class = picked[start : start + count]
            if of_class.all():
                of_class[0] = False
            elif count > 1 and not of_class.any():
                of_class[0] = True
    if not in_parts or not picked.any():
        least = -(-100 // max(1, len(split)))
        raise DataError(
            f"a share of {100 * share:g}% leaves one part of {some(len(split), 'sample')} empty",
            field="data: split val",
            expected="a share that leaves at least one sample on each side"
            if divisible
            else "a class of two samples or more: the only one of a class is trained on",
            found=f"{int(picked.sum())} of {some(len(split), 'sample')} for validation",
            hint=f"split val={least}%" if divisible and share * len(split) < 1 else "",
        )
    return split.subset(np.sort(order[~picked])), split.subset(np.sort(order[picked]))
