"""Data sources: ``open_data`` turns the ``data`` section of a spec into splits that training reads."""

from __future__ import annotations

from pathlib import Path

from ...by_type import import_modules
from ...errors import DataError
from ...ir.fields import Shape
from ...model.model import Model
from ...model.settings import DataSettings, fitting_source
from ..run_folder import base_of
from .arrays import Pair, dataset_of_arrays
from .pixels import PixelScale
from .registry import READERS
from .split import Dataset, with_validation

import_modules(__name__)


def open_data(
    settings: DataSettings | None,
    input_shape: Shape,
    classes: int | None = None,
    base: Path | str = ".",
    *,
    seed: int = 1,
    spec: str | None = None,
) -> Dataset:
    """Open the data of a spec.

    Parameters
    ----------
    settings : the ``data`` section.
    input_shape : (H, W, C) of the spec's input; images have it, or are resized as the source says.
    classes : outputs of the net, or None when they follow from the data.
    base : the folder that relative paths start from: that of the spec.
    seed : fixes which samples are held out for validation.
    spec : the name of the spec's file, for messages.

    Raises
    ------
    DataError
        When files are missing, damaged or do not fit the spec.
    """
    if settings is None:
        raise DataError(
            "the spec has no data section",
            path=spec,
            field="data",
            expected="a source of images",
            hint=f"add  data {{ source {fitting_source(input_shape)} }}  or another: see  cnnspec layers source",
        )
    opened = READERS.of(settings.source)(settings, input_shape, classes, Path(base))
    return with_validation(opened, settings.val, seed)


def data_of(model: Model, base: Path | None = None) -> Dataset:
    """Open the data that a spec names; relative paths start from ``base``, the folder of the spec when None.

    DataError as :func:`open_data`.
    """
    return open_data(
        model.data,
        model.input_shape,
        model.label_count,
        base if base is not None else base_of(model),
        seed=model.train.seed,
        spec=model.source.name,
    )


def dataset_for(
    model: Model,
    x: object,
    y: object,
    *,
    validation: Pair | None = None,
    test: Pair | None = None,
    trained: PixelScale | None = None,
) -> Dataset:
    """Return the data set of arrays, and of pairs (x, y) of them, as a spec reads them.

    DataError as :func:`dataset_of_arrays`, and where x comes without y.
    """
    if y is None:
        raise DataError("x was given without y", field="y", expected="one label for each image")
    settings = model.data
    return dataset_of_arrays(
        x,
        y,
        validation=validation,
        test=test,
        input_shape=model.input_shape,
        classes=model.label_count,
        val=settings.val if settings is not None and validation is None else 0.0,
        normalize=settings.normalize if settings is not None else None,
        seed=model.train.seed,
        trained=trained,
    )


__all__ = ["Dataset", "data_of", "dataset_for", "dataset_of_arrays", "open_data"]
