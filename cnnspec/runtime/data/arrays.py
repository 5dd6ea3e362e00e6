"""Arrays become splits: arrays at hand in Python, and the arrays of files (npz, csv, IDX)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...ir.fields import Shape
from ...model.settings import Normalize
from .labels import as_labels, class_numbers, count_classes
from .normalize import normalizer_for
from .pixels import PixelScale, as_pixels, differs, pieces, remark
from .split import ArraySplit, Dataset, with_validation

Pair = tuple[Any, Any]  # images and labels


@dataclass(frozen=True)
class Part:
    """One split as it was given: images and labels, their names, and the files they come from.

    Attributes
    ----------
    path : the file of the images, and of the labels unless these have another.
    labels_path : the file of labels that have one of their own.
    """

    x: Any
    y: Any
    x_name: str = "images"
    y_name: str = "labels"
    path: Path | None = None
    labels_path: Path | None = None

    @property
    def labels_at(self) -> dict[str, Any]:
        """Where the labels are, as the functions of :mod:`.labels` take it."""
        return {"path": self.labels_path or self.path, "field": self.y_name}


def dataset_of_parts(
    name: str,
    parts: Mapping[str, Part],
    input_shape: Shape,
    classes: int | None,
    normalize: Normalize | None,
    *,
    trained: PixelScale | None = None,
    first: int = 0,
    from_one: str = "",
    notes: Sequence[str] = (),
    class_names: Sequence[str] = (),
    sha256: str = "",
) -> Dataset:
    """Return the data set of its parts ``train`` and perhaps ``val`` and ``test``.

    Parameters
    ----------
    classes : number of classes; one more than the largest label when None.
    normalize : as the spec's ``normalize``.
    trained : the scale of the pixels that the net was trained on, where this is data to measure it on; else that
        of ``train`` is what the other parts are held against.
    first : the label of the first class.
    from_one : the mend for labels that count from 1; see :func:`class_numbers`.
    notes : what is to be told of the file.
    class_names : a name for each class; the labels themselves unless given.
    sha256 : the fingerprint; computed of the values unless given.

    Raises
    ------
    DataError
        When shapes, dtypes, lengths, labels or values do not fit the spec or each other; see
        :func:`as_pixels` and :func:`as_labels`.
    """
    told = list(notes)
    pixels: dict[str, np.ndarray] = {}
    scales: dict[str, PixelScale] = {}
    labels: dict[str, np.ndarray] = {}
    for key, part in parts.items():
        usual = trained or scales.get("train")
        x, scale = as_pixels(part.x, input_shape, path=part.path, field=part.x_name, trained=usual)
        told.append(differs(scale, usual, part.x_name) if usual else remark(scale, part.x_name, normalize is not None))
        pixels[key], scales[key] = x, scale
        labels[key] = as_labels(part.y, len(x), images=part.x_name, **part.labels_at)
    numbered = {key: y for key, y in labels.items() if y.ndim == 1}  # the others are targets for mse
    known = 0
    if numbered:
        known = classes or max(count_classes(y, first, **parts[key].labels_at) for key, y in numbered.items())
    for key, y in numbered.items():
        labels[key] = class_numbers(y, known, first=first, from_one=from_one, **parts[key].labels_at)
    splits, digest = {}, hashlib.sha256()
    for key, x in pixels.items():
        normalizer = normalizer_for(normalize, input_shape[-1], scales[key].white)
        splits[key] = ArraySplit(x, labels[key], normalizer, origin=parts[key].path)
        if not sha256:
            take_in(digest, x, parts[key].path, f"{x.shape} {x.dtype}")
            digest.update(labels[key].tobytes())
    return Dataset(
        name,
        splits["train"],
        splits.get("val"),
        splits.get("test"),
        tuple(class_names or map(str, range(first, first + known))),
        sha256 or digest.hexdigest(),
        tuple(filter(None, told)),
        scales["train"],
    )


def take_in(digest: hashlib._Hash, x: np.ndarray, path: Path | None, head: str) -> None:
    """Add an array to a sha256: ``head`` and all values; of a mapped array its file's name, size and time instead."""
    if isinstance(x, np.memmap) and path is not None:
        digest.update(stamp(path))
        return
    digest.update(head.encode())
    for piece in pieces(x):
        digest.update(np.ascontiguousarray(piece).data)


def stamp(path: Path) -> bytes:
    """Return what tells that a file has changed: its name, its size, and when it was written, in ns."""
    stat = path.stat()
    return os.fsencode(f"{path.name} {stat.st_size} {stat.st_mtime_ns}")


def dataset_of_arrays(
    x: Any,
    y: Any,
    *,
    validation: Pair | None = None,
    test: Pair | None = None,
    input_shape: Shape,
    classes: int | None = None,
    val: float = 0.0,
    normalize: Normalize | None = None,
    seed: int = 1,
    trained: PixelScale | None = None,
) -> Dataset:
    """Return a data set of arrays.

    Parameters
    ----------
    x : pixels [N, H, W, C], or [N, H, W] where C is 1; bytes are divided by 255, floats are used as they are.
        :func:`as_pixels` states the rule.
    y : integers [N] or [N, 1], classes counted from 0; or floats [N, F], targets for ``loss mse``.
    validation, test : (x, y) of these splits; where one of the two is None, there is no such split.
    val : share of x that is held out for validation where ``validation`` is not given.
    seed : fixes which samples are held out.
    classes, normalize, trained : as :func:`dataset_of_parts` takes them, which also says what is a DataError.
    """
    parts = {
        key: Part(*pair, *(("x", "y") if trained is not None else (f"x_{key}", f"y_{key}")))
        for key, pair in (("train", (x, y)), ("val", validation), ("test", test))
        if pair and all(half is not None for half in pair)
    }
    data = dataset_of_parts("arrays", parts, input_shape, classes, normalize, trained=trained)
    return with_validation(data, val, seed)
