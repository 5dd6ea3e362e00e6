"""The record of their training that weights carry: its classes, its data and their scale, and the epoch.

The record lies in the manifest of a run and, since weights travel alone, in the metadata of its checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..model.model import Model
from ..text import percent, shorten
from .data.image import decoding_of
from .data.normalize import normalizer_for
from .data.pixels import PixelScale, differs, white_as_trained
from .data.split import Dataset
from .inputs import samples_of
from .run_folder import MANIFEST, RunFolder
from .tensors import read_text

ARRAYS = "arrays"  # the name of data handed over in Python, whose classes have numbers only
LISTED = 20  # class names that a message lists


@dataclass(frozen=True)
class TrainedOn:
    """The data that a net was trained on.

    Attributes
    ----------
    name : of the data set.
    class_names : in the order of the net's outputs; empty where targets were numbers.
    fingerprint : sha256 of the data (Dataset.fingerprint).
    scale : which numbers the pixels of its training set were; None where unknown.
    normalize : mean and std that were subtracted and divided by, of each channel or one of all; None where unknown.
    brightness : mean of the images, from 0 (all at the least value) to 1 (all at the largest); None where unknown.
    draft : whether large JPEGs were decoded at a part of their size.
    """

    name: str = ""
    class_names: tuple[str, ...] = ()
    fingerprint: str = ""
    scale: PixelScale | None = None
    brightness: float | None = None
    normalize: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    draft: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready values; :meth:`from_dict` reads them."""
        return {
            "class_names": list(self.class_names),
            "sha256": self.fingerprint,
            "name": self.name,
            "scale": asdict(self.scale) if self.scale is not None else None,
            "brightness": self.brightness,
            "normalize": dict(zip(("mean", "std"), map(list, self.normalize), strict=True)) if self.normalize else None,
            "draft": self.draft,
        }

    @classmethod
    def from_dict(cls, content: object) -> TrainedOn | None:
        """Return the record that a file holds; None where it holds none, and without the entries that make no sense."""
        if not isinstance(content, Mapping):
            return None
        names, light = content.get("class_names"), content.get("brightness")
        return cls(
            str(content.get("name", "")),
            tuple(map(str, names)) if isinstance(names, list) else (),
            str(content.get("sha256", "")),
            PixelScale.from_dict(content.get("scale")),
            float(light) if isinstance(light, (int, float)) and 0 <= light <= 1 else None,
            _normalize_of(content.get("normalize")),
            content.get("draft") is True,
        )


def trained_on(data: Dataset) -> TrainedOn:
    """Return the record of a data set that a net is about to be trained on."""
    normalizer = data.train.normalizer
    return TrainedOn(
        data.name,
        data.class_names,
        data.fingerprint,
        data.scale,
        brightness_of(data),
        (tuple(normalizer.mean), tuple(normalizer.std)),
        data.draft,
    )


def class_names_of(model: Model, trained: TrainedOn | None) -> tuple[str, ...]:
    """Return the names of the classes in the order of the outputs: those of the training, else their numbers.

    Empty where targets are numbers or the output is an image.
    """
    known, outputs = trained.class_names if trained is not None else (), model.output_shape
    if len(outputs) != 1 or (not known and model.train.loss.word == "mse"):
        return ()
    return known if len(known) == outputs[0] else tuple(map(str, range(outputs[0])))


def _normalize_of(content: object) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and std of a record; None where it holds no numbers for them."""

    def numbers(name: str) -> tuple[float, ...]:
        found = content.get(name) if isinstance(content, Mapping) else None
        fits = isinstance(found, list) and all(isinstance(n, (int, float)) for n in found)
        return tuple(map(float, found or ())) if fits else ()

    mean, std = numbers("mean"), numbers("std")
    return (mean, std) if mean and std else None


def brightness_of(data: Dataset) -> float | None:
    """Return the mean of some training images on the way from their least value, 0, to their largest, 1."""
    normalizer = data.train.normalizer
    mean, std = (np.asarray(numbers, np.float32) for numbers in (normalizer.mean, normalizer.std))
    pixels = samples_of(data.train)[0] * std + mean
    low, high = float(pixels.min()), float(pixels.max())
    return round((float(pixels.mean(dtype=np.float64)) - low) / (high - low), 3) if high > low else None


def kept_names(record: TrainedOn, before: TrainedOn | None) -> TrainedOn:
    """Return the record of arrays with the class names of the training before, as arrays have numbers only."""
    named = before is not None and record.name == ARRAYS and len(before.class_names) == len(record.class_names)
    return replace(record, class_names=before.class_names) if before is not None and named else record


def other_scale(record: TrainedOn, before: TrainedOn | None) -> list[str]:
    """Return a note where a net goes on with pixels that it would refuse to predict."""
    if before is None or before.scale is None or record.scale is None:
        return []
    try:
        white_as_trained(record.scale, before.scale)
    except DataError:
        now = record.scale.text
        return [f"the net was trained on {before.scale.text}, and goes on with {now}: are they made alike?"]
    return []


def compare_spec(trained: TrainedOn | None, model: Model) -> list[str]:
    """Return notes where the spec reads or normalises images otherwise than the training of the weights did."""
    if trained is None:
        return []
    notes = []
    if trained.draft != decoding_of(model.data).draft:
        then, now = ("draft=yes", "draft=no") if trained.draft else ("draft=no", "draft=yes")
        notes.append(f"the weights were trained on JPEGs decoded with {then}, and the spec says {now}")
    if trained.normalize is not None:
        normalizer = normalizer_for(model.data.normalize if model.data is not None else None, model.input_shape[-1])
        then, now = _written(*trained.normalize), _written(normalizer.mean, normalizer.std)
        if now != then:
            notes.append(f"the weights were trained on images normalised by {then}, and the spec says {now}")
    return notes


def _written(*numbers: tuple[float, ...]) -> str:
    """Return mean and std as a spec writes them, one number where all channels have the same."""
    texts = [[f"{v:.6g}" for v in (values[:1] if len(set(values)) == 1 else values)] for values in numbers]
    mean, std = (t[0] if len(t) == 1 else f"[{', '.join(t)}]" for t in texts)
    return f"mean={mean} std={std}"


def compare_data(trained: TrainedOn | None, data: Dataset) -> list[str]:
    """Return notes on how data differs from that of the training.

    Raises
    ------
    DataError
        When its classes have other names or another order, so that the net's outputs would be taken for other
        classes; or when its pixels are of another scale.
    """
    if trained is None:
        return []
    known, found = trained.class_names, data.class_names
    if known and found and known != found and trained.name != ARRAYS:
        raise DataError(
            "the classes of the data are not those that the net was trained on",
            path=data.name,
            field="class names",
            expected=listing(known),
            found=listing(found),
            hint="give the class folders the names of the training, or train anew",
        )
    if trained.fingerprint == data.fingerprint:
        return []
    notes = []
    if trained.name == data.name and trained.fingerprint:
        notes.append(f"{data.name} has changed since the net was trained on it")
    elif trained.name and trained.name not in (data.name, ARRAYS):
        notes.append(f"the net was trained on {trained.name}, and {data.name} is other data")
    if trained.scale is not None:
        white = white_as_trained(data.scale, trained.scale, path=data.name)
        if white != data.scale.white and data.scale.white in (1, 255):  # the white of other sources is their own
            raise DataError(
                "the images are of another scale than those of the training",
                path=data.name,
                field="pixels",
                expected=trained.scale.text,
                found=data.scale.text,
                hint="make them as those of the training were made, or train anew",
            )
        notes += filter(None, [differs(data.scale, trained.scale, data.name)])
    return notes


def listing(names: Sequence[str]) -> str:
    """Return the names of classes, the first of them where there are many."""
    more = f", ... ({len(names):,} classes)" if len(names) > LISTED else ""
    return ", ".join(shorten(name, 40) for name in names[:LISTED]) + more


@dataclass(frozen=True)
class WeightsUsed:
    """The file of the weights that a command or a net uses, and where in a training they stood.

    Attributes
    ----------
    kind : ``best`` or ``last`` of a run, ``file`` for bare weights.
    epoch : finished epochs they have seen; None for bare weights.
    metric, value : by which they are the best.
    trained : the data they were trained on; None where the file and the run do not say.
    """

    file: Path
    kind: str
    epoch: int | None = None
    step: int = 0
    metric: str = ""
    value: float = float("nan")
    trained: TrainedOn | None = None

    def __str__(self) -> str:
        if self.kind == "best":
            value = percent(self.value) if self.metric.endswith("accuracy") else f"{self.value:.4f}"
            return f"{self.file.name} (best epoch, {self.epoch}: {self.metric} {value})"
        if self.kind == "last":
            within = f"step {self.step} of epoch {(self.epoch or 0) + 1}" if self.step else f"last epoch, {self.epoch}"
            return f"{self.file.name} ({within if self.epoch or self.step else 'untrained'})"
        return str(self.file)

    def as_dict(self) -> dict[str, Any]:
        """Return file, kind and epoch of the weights as JSON-ready values."""
        return {"file": str(self.file), "kind": self.kind, "epoch": self.epoch}


def weights_used(file: Path) -> WeightsUsed:
    """Return where the weights of a file come from, by its own metadata and the manifest beside it.

    DataError as :func:`read_text`.
    """
    content = read_text(file) or {}
    trained = TrainedOn.from_dict(content.get("data"))
    if trained is None and (file.parent / MANIFEST).is_file():
        trained = TrainedOn.from_dict(RunFolder(file.parent).trained_on)
    best, progress = content.get("best"), content.get("progress")
    if isinstance(best, Mapping) and isinstance(best.get("epoch"), int) and isinstance(best.get("value"), float):
        return WeightsUsed(file, "best", best["epoch"], 0, str(best.get("metric")), best["value"], trained)
    if isinstance(progress, Mapping) and isinstance(progress.get("epoch"), int):
        step = progress.get("step")
        step = step if isinstance(step, int) else 0
        return WeightsUsed(file, "last", progress["epoch"] - 1, step, trained=trained)
    return WeightsUsed(file, "file", trained=trained)
