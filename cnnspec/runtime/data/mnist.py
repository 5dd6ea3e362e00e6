"""Data sets in the four IDX files of MNIST: where they are looked for, and how they become splits.

The place of a data set is what the paths of its files begin with: ``FOLDER/``, or ``FOLDER/emnist-digits-``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...ir.fields import Shape, dims
from ...model.settings import DataSettings, FashionMnist, Idx, Mnist
from ...reading import named_path
from .arrays import Part, dataset_of_parts, take_in
from .idx import read_idx
from .pixels import check_image_shape
from .registry import source
from .split import Dataset

FASHION_CLASSES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
_PARTS = {"train": ("train",), "test": ("t10k", "test")}
_KINDS = {"images": ("idx3-ubyte",), "labels": ("idx1-ubyte", "idx2-int")}
_FIRST = "train-images"
FROM_ONE = "first=1 behind the path says so"
STORED_BY_COLUMN = "the pictures of EMNIST are stored column by column; transpose=yes behind the path turns them"
_QMNIST_COLUMNS = 8  # of its labels: the class, then who wrote it and where it is in NIST's collection


@source(FashionMnist)
def open_fashion_mnist(settings: DataSettings, input_shape: Shape, classes: int | None, base: Path) -> Dataset:
    """Open Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)."""
    hint = 'apt-get install dataset-fashion-mnist, or name the folder: source fashion_mnist "FOLDER"'
    place = _find(settings.source.path, base, "Fashion-MNIST", [DEBIAN_FASHION], hint)
    return _open(place, settings, input_shape, 10, FASHION_CLASSES)


@source(Mnist)
def open_mnist(settings: DataSettings, input_shape: Shape, classes: int | None, base: Path) -> Dataset:
    """Open MNIST from the folder of the spec, or ``$CNNSPEC_DATA/mnist``."""
    hint = 'put the four IDX files into a folder and name it: source mnist "FOLDER"'
    place = _find(settings.source.path, base, "MNIST", [], hint)
    return _open(place, settings, input_shape, 10, "0123456789")


@source(Idx)
def open_idx(settings: DataSettings, input_shape: Shape, classes: int | None, base: Path) -> Dataset:
    """Open any data set in IDX files, of a folder or of what their names begin with; the test files may be absent."""
    named = named_path(base, settings.source.path)
    place = _place(named)
    if place is None and not named.is_dir():
        raise DataError("the folder does not exist", path=named, field="data: source idx")
    return _open(place or f"{named}/", settings, input_shape, classes)


def _find(named: str, base: Path, title: str, system: Sequence[Path], hint: str) -> str:
    """Return the place of a data set: that which the spec names, else the first that has the files.

    Only where the spec names the place may the names begin with anything: what lies in a folder of all data sets as
    ``emnist-digits-train-images...`` is not the MNIST that is looked for.
    """
    if named:
        folders = [named_path(base, named)]
        place = _place(folders[0])
    else:
        shared = os.environ.get("CNNSPEC_DATA")
        root = named_path(Path(), shared or "")
        folders = [*((root / title.lower(), root) if shared else ()), *system]
        place = next((f"{folder}/" for folder in folders if _locate(f"{folder}/", "train", "images")), None)
    if place is None:
        searched = ", ".join(map(str, folders)) or "nowhere: $CNNSPEC_DATA is not set"
        raise DataError(
            f"{title} was not found",
            field="data: source",
            expected="train-images-idx3-ubyte[.gz] and its three companions",
            found=f"no such file; searched {searched}",
            hint=hint,
        )
    return place


def _place(named: Path) -> str | None:
    """Return the place that a folder is, or what the names in a folder begin with; None where no such files are.

    DataError when there are several data sets, as in the folder of EMNIST.
    """
    folder = named.is_dir()
    begun = [f"{named}-", str(named)]
    if folder:
        begun = sorted({f"{named}/{p.name.split(_FIRST)[0]}" for p in named.iterdir() if _FIRST in p.name})
    found = [place for place in begun if _locate(place, "train", "images")]
    if folder and len(found) > 1 and found[0] != f"{named}/":
        choices = [Path(place.rstrip("-_.")) for place in found]
        raise DataError(
            "the folder holds several data sets",
            path=named,
            field="data: source",
            expected="one, or the beginning of its files' names",
            found=", ".join(choice.name for choice in choices),
            hint=f'source idx "{choices[0]}"',
        )
    return found[0] if found else None


def _locate(place: str, part: str, kind: str) -> Path | None:
    endings = (*(f"{sign}{form}" for form in _KINDS[kind] for sign in "-."), "")
    names = product(_PARTS[part], endings, ("", ".gz"))
    files = (Path(f"{place}{word}-{kind}{ending}{suffix}") for word, ending, suffix in names)
    return next(filter(Path.exists, files), None)


def _open(
    place: str, settings: DataSettings, input_shape: Shape, classes: int | None, class_names: Sequence[str] = ()
) -> Dataset:
    name, digest = settings.source.word, hashlib.sha256()
    transpose = getattr(settings.source, "transpose", False)
    parts = {"train": _read_part(place, "train", input_shape, transpose, digest)}
    notes = []
    if class_names or any(_locate(place, "test", kind) for kind in _KINDS):
        parts["test"] = _read_part(place, "test", input_shape, transpose, digest)
    else:
        notes.append(f"{Path(place + 't10k').parent} holds no test files (t10k-...); nothing will be tested")
    if not transpose and "emnist" in place.lower() and name != "fashion_mnist":
        notes.append(STORED_BY_COLUMN)
    return dataset_of_parts(
        name,
        parts,
        input_shape,
        classes,
        settings.normalize,
        first=getattr(settings.source, "first", 0),
        from_one=FROM_ONE,
        notes=notes,
        class_names=class_names,
        sha256=digest.hexdigest(),
    )


def _read_part(place: str, part: str, input_shape: Shape, transpose: bool, digest: hashlib._Hash) -> Part:
    files: dict[str, Path] = {}
    for kind in _KINDS:
        file = _locate(place, part, kind)
        if file is None:
            missing = Path(f"{place}{_PARTS[part][0]}-{kind}-{_KINDS[kind][0]}")
            raise DataError(
                f"the file of {part} {kind} is missing", path=missing.parent, expected=f"{missing.name}, plain or .gz"
            )
        files[kind] = file
    images = read_idx(files["images"], (3, 4), "images")
    labels = read_idx(files["labels"], (1, 2), "labels")
    if images.dtype != np.uint8:
        raise DataError(
            "pixels must be bytes",
            path=files["images"],
            field="images",
            expected="IDX type 0x08, unsigned bytes",
            found=f"values of type {images.dtype}",
        )
    if labels.ndim == 2:
        if labels.shape[1] != _QMNIST_COLUMNS:
            raise DataError(
                "the labels have a second dimension that is not QMNIST's",
                path=files["labels"],
                field="labels",
                expected=f"N labels, or N x {_QMNIST_COLUMNS} with the class first",
                found=dims(labels.shape),
            )
        labels = labels[:, 0]
    if images.ndim == 3:
        images = images[..., None]
    if transpose:
        images = images.swapaxes(1, 2)
    check_image_shape(images.shape[1:], input_shape, path=files["images"])
    take_in(digest, images, files["images"], repr(images.shape))
    take_in(digest, labels, files["labels"], repr(labels.shape))
    return Part(images, labels, path=files["images"], labels_path=files["labels"])
