"""NumPy archives: which arrays are images and labels of which part, under the names that people give them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ...errors import DataError
from ...ir.fields import Shape
from ...model.settings import DataSettings, Npz
from ...reading import named_path
from ...text import listed
from .archive import open_archive
from .arrays import Part, dataset_of_parts
from .registry import source
from .split import Dataset

# The first of a row is the name in the manual. Those of MedMNIST and of Keras's mnist.npz are among them; letters may
# be large or small.
PARTS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "dev"), "test": ("test", "testing")}
_IMAGES = ("x_{}", "{}_images", "{}_x", "images_{}", "{}_data", "data_{}")
_LABELS = ("y_{}", "{}_labels", "{}_y", "labels_{}", "{}_targets", "targets_{}")
# A file of one part names none.
_WHOLE = (("x", "images", "data"), ("y", "labels", "label", "targets", "target"))


@source(Npz)
def open_npz(settings: DataSettings, input_shape: Shape, classes: int | None, base: Path) -> Dataset:
    """Open an .npz file of x_train and y_train, perhaps of x_val, y_val, x_test and y_test too.

    DataError when the file is missing or damaged, and as :func:`choose_arrays` and :func:`dataset_of_parts`.
    """
    path = named_path(base, settings.source.path)
    with open_archive(path, "data: source npz") as archive:
        chosen = choose_arrays(archive.names, path)
        parts = {
            part: Part(archive.read(images), archive.read(labels), images, labels, path)
            for part, (images, labels) in chosen.items()
        }
    notes = []
    unused = [name for name in archive.names if not any(name in pair for pair in chosen.values())]
    if unused:
        notes.append(
            f"{path.name}: not used: {listed(unused)} (known are x_train, y_train, x_val, y_val, x_test, y_test)"
        )
    if "test" not in parts:
        notes.append(f"{path} holds no x_test; nothing will be tested")
    return dataset_of_parts(path.stem, parts, input_shape, classes, settings.normalize, notes=notes)


def choose_arrays(names: Sequence[str], path: Path) -> dict[str, tuple[str, str]]:
    """Return (images, labels) among the names of a file's arrays for each part that is there.

    DataError when there are no images or labels to train on, or a part has only one of the two.
    """
    by_name = {name.lower(): name for name in reversed(names)}
    chosen: dict[str, tuple[str, str]] = {}
    for part, words in PARTS.items():
        images = _first(by_name, (form.format(word) for form in _IMAGES for word in words))
        labels = _first(by_name, (form.format(word) for form in _LABELS for word in words))
        if part == "train" and images is None and labels is None:
            images, labels = (_first(by_name, forms) for forms in _WHOLE)
        if images is not None and labels is not None:
            chosen[part] = images, labels
        elif part == "train":
            raise DataError(
                "an array is missing",
                path=path,
                field="x_train" if images is None else "y_train",
                expected="x_train and y_train, and optionally x_val, y_val, x_test and y_test",
                found=", ".join(sorted(names)) or "no array",
                hint="name the arrays: numpy.savez(FILE, x_train=x, y_train=y)",
            )
        elif images is not None or labels is not None:
            message = f"x_{part} and y_{part} go together; only one is there"
            raise DataError(message, path=path, field=f"x_{part}", found=str(images or labels))
    return chosen


def _first(by_name: dict[str, str], forms: Iterable[str]) -> str | None:
    return next((by_name[form] for form in forms if form in by_name), None)
