"""Arrays at hand, for the Python front: ``dataset_of_arrays(x, y)`` takes what an .npz file may hold."""

from __future__ import annotations

import hashlib

import numpy as np

from ...model.settings import Normalize
from ...ops.base import Shape
from .npz import check_arrays, white_of
from .split import ArraySplit, Dataset, check_labels, normalizer_for, with_validation


def dataset_of_arrays(
    x: np.ndarray,
    y: np.ndarray,
    *,
    input_shape: Shape,
    classes: int | None = None,
    x_val: np.ndarray | None = None,
    y_val: np.ndarray | None = None,
    x_test: np.ndarray | None = None,
    y_test: np.ndarray | None = None,
    val: float = 0.0,
    normalize: Normalize | None = None,
    seed: int = 1,
) -> Dataset:
    """Return a data set of arrays.

    Parameters
    ----------
    x : uint8[N, H, W, C] (divided by 255) or floats (used as they are); [N, H, W] where C is 1.
    y : integers [N], classes counted from 0; or float32[N, F], targets for ``loss mse``.
    classes : number of classes; one more than the largest label when None.
    val : share of x that is held out for validation where ``x_val`` is not given.
    normalize : as the spec's ``normalize``.
    seed : fixes which samples are held out.

    Raises
    ------
    DataError
        When shapes, dtypes, lengths, labels or values do not fit; see data/npz.py.
    """
    given = {"train": (x, y), "val": (x_val, y_val), "test": (x_test, y_test)}
    digest = hashlib.sha256()
    splits: dict[str, ArraySplit] = {}
    for part, (images, labels) in given.items():
        if images is None or labels is None:
            continue
        images, labels = check_arrays(np.asarray(images), np.asarray(labels), part, input_shape, None)
        if labels.ndim == 1:
            if classes is None:
                classes = int(labels.max()) + 1
            check_labels(labels, classes, path=None, field=f"y_{part}")
        digest.update(f"{part} {images.shape} {images.dtype} {labels.shape}".encode())
        digest.update(np.ascontiguousarray(images).data)
        digest.update(labels.tobytes())
        normalizer = normalizer_for(normalize, input_shape[-1], white_of(images))
        splits[part] = ArraySplit(images, labels, normalizer, origin="arrays")
    opened = Dataset(
        "arrays",
        splits["train"],
        splits.get("val"),
        splits.get("test"),
        tuple(map(str, range(classes or 0))),
        digest.hexdigest(),
        normalizer_for(normalize, input_shape[-1]),
    )
    return with_validation(opened, val, seed)
