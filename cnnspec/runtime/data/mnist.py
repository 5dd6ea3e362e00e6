"""Data sets in the four IDX files of MNIST: where they are looked for, and how they become splits."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...ir.fields import Shape, dims
from ...model.settings import DataSettings, FashionMnist, Idx, Mnist
from ...reading import named_path
from .idx import read_idx
from .labels import class_numbers, count_classes
from .pixels import PixelScale, pieces, remark, value_range
from .registry import source
from .split import ArraySplit, Dataset, check_image_shape, normalizer_for

FASHION_CLASSES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
_DIGITS = tuple("0123456789")
_PARTS = {"train": ("train",), "test": ("t10k", "test")}
_KINDS = {"images": ("idx3-ubyte",), "labels": ("idx1-ubyte", "idx2-int")}
STORED_BY_COLUMN = "the pictures of EMNIST are stored column by column; transpose=yes behind the path turns them"
_QMNIST_COLUMNS = 8  # of its labels: the class, then who wrote it and where it is in NIST's collection


@source(FashionMnist)
def open_fashion_mnist(settings: DataSettings, input_shape: Shape, classes: int | None, base: Path) -> Dataset:
    """Open Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)."""
    places = _places(settings.source.path, base, "fashion-mnist", DEBIAN_FASHION)
    hint = 'apt-get install dataset-fashion-mnist, or name the folder: source fashion_mnist "FOLDER"'
    found = _find(places, bool(settings.source.path), "Fashion-MNIST", hint)
    return _open("fashion_mnist", *found, settings, input_shape, classes, FASHION_CLASSES)


@source(Mnist)
def open_mnist(settings: DataSettings, input_shape: Shape, classes: int | None, base: Path) -> Dataset:
    """Open MNIST from the folder of the spec, or ``$CNNSPEC_DATA/mnist``."""
    places = _places(settings.source.path, base, "mnist", None)
    hint = 'put the four IDX files into a folder and name it: source mnist "FOLDER"'
    found = _find(places, bool(settings.source.path), "MNIST", hint)
    return _open("mnist", *found, settings, input_shape, classes, _DIGITS)


@source(Idx)
def open_idx(settings: DataSettings, input_shape: Shape, classes: int | None, base: Path) -> Dataset:
    """Open any data set in IDX files, of a folder or of what their names begin with; the test files may be absent."""
    named = named_path(base, settings.source.path)
    found = _named(named)
    if found is None and not named.is_dir():
        raise DataError("the folder does not exist", path=named, field="data: source idx")
    return _open("idx", *(found or (named, "")), settings, input_shape, classes, None)


def _places(named: str, base: Path, subfolder: str, system: Path | None) -> list[Path]:
    if named:
        return [named_path(base, named)]
    places = []
    if os.environ.get("CNNSPEC_DATA"):
        root = named_path(Path(), os.environ["CNNSPEC_DATA"])
        places += [root / subfolder, root]
    return places + ([system] if system else [])


def _find(places: list[Path], named: bool, title: str, hint: str) -> tuple[Path, str]:
    """Return (folder, beginning of its files' names) of the first place that has the files.

    Only where the spec names the place may the names begin with anything: what lies in a folder of all data sets as
    ``emnist-digits-train-images...`` is not the MNIST that is looked for.
    """
    for place in places:
        found = _named(place) if named else (place, "") if _locate(place, "", "train", "images") else None
        if found is not None:
            return found
    searched = ", ".join(map(str, places)) or "nowhere: $CNNSPEC_DATA is not set"
    raise DataError(
        f"{title} was not found",
        field="data: source",
        expected="train-images-idx3-ubyte[.gz] and its three companions",
        found=f"no such file; searched {searched}",
        hint=hint,
    )


def _named(place: Path) -> tuple[Path, str] | None:
    """Return (folder, beginning of its files' names) for a folder, or for what the names in a folder begin with."""
    if place.is_dir():
        prefix = _prefix(place)
        return (place, prefix) if prefix is not None else None
    return next(
        ((place.parent, p) for p in (f"{place.name}-", place.name) if _locate(place.parent, p, "train", "images")), None
    )


def _prefix(folder: Path) -> str | None:
    """Return what the names of a folder's files begin with, as ``qmnist-``; None where there are no such files.

    Raises
    ------
    DataError
        When there are several data sets, as in the folder of EMNIST.
    """
    if _locate(folder, "", "train", "images"):
        return ""
    word = "train-images"
    begun = {p.name.split(word)[0] for p in folder.iterdir() if word in p.name}
    found = sorted(prefix for prefix in begun if _locate(folder, prefix, "train", "images"))
    if len(found) > 1:
        raise DataError(
            "the folder holds several data sets",
            path=folder,
            field="data: source",
            expected="one, or the beginning of its files' names",
            found=", ".join(prefix.rstrip("-_.") for prefix in found),
            hint=f'source idx "{folder / found[0].rstrip("-_.")}"',
        )
    return found[0] if found else None


def _locate(folder: Path, prefix: str, part: str, kind: str) -> Path | None:
    for word in _PARTS[part]:
        stem = f"{prefix}{word}-{kind}"
        for ending in (*(f"{sign}{form}" for form in _KINDS[kind] for sign in "-."), ""):
            for suffix in ("", ".gz"):
                if (folder / (stem + ending + suffix)).exists():
                    return folder / (stem + ending + suffix)
    return None


def _open(
    name: str,
    folder: Path,
    prefix: str,
    settings: DataSettings,
    input_shape: Shape,
    classes: int | None,
    class_names: tuple[str, ...] | None,
) -> Dataset:
    digest = hashlib.sha256()
    transpose, first = getattr(settings.source, "transpose", False), getattr(settings.source, "first", 0)
    train = _read_part(folder, prefix, "train", input_shape, transpose, digest)
    test = None
    if class_names is not None or any(_locate(folder, prefix, "test", kind) for kind in _KINDS):
        test = _read_part(folder, prefix, "test", input_shape, transpose, digest)
    parts = [part for part in (train, test) if part is not None]
    if class_names is None:
        known = classes or count_classes(((labels, file, "labels") for _, labels, file in parts), first)
        class_names = tuple(map(str, range(first, first + known)))
    normalizer = normalizer_for(settings.normalize, input_shape[-1])
    splits = []
    for images, labels, file in parts:
        numbers = class_numbers(
            labels, len(class_names), path=file, field="labels", first=first, from_one="first=1 behind the path says so"
        )
        splits.append(ArraySplit(images, numbers, normalizer, origin=file))
    low, high = value_range(train[0])
    scale = PixelScale(255.0, low, high)
    notes = [remark(scale, "images", settings.normalize is not None)]
    if test is None:
        notes.append(f"{folder} holds no test files (t10k-...); nothing will be tested")
    if not transpose and "emnist" in str(folder / prefix).lower() and name != "fashion_mnist":
        notes.append(STORED_BY_COLUMN)
    return Dataset(
        name,
        splits[0],
        None,
        splits[1] if test is not None else None,
        class_names,
        digest.hexdigest(),
        normalizer,
        tuple(filter(None, notes)),
        scale,
    )


def _read_part(
    folder: Path, prefix: str, part: str, input_shape: Shape, transpose: bool, digest: hashlib._Hash
) -> tuple[np.ndarray, np.ndarray, Path]:
    files: dict[str, Path] = {}
    for kind in _KINDS:
        file = _locate(folder, prefix, part, kind)
        if file is None:
            raise DataError(
                f"the file of {part} {kind} is missing",
                path=folder,
                expected=f"{prefix}{_PARTS[part][0]}-{kind}-{_KINDS[kind][0]}, plain or .gz",
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
    if labels.dtype.kind not in "iu":
        raise DataError("labels must be whole numbers", path=files["labels"], field="labels", found=f"{labels.dtype}")
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
    if len(images) != len(labels):
        raise DataError(
            "images and labels differ in number",
            path=files["labels"],
            field="labels",
            expected=f"{len(images):,}, one for each image of {files['images'].name}",
            found=f"{len(labels):,}",
        )
    if not len(images):
        raise DataError("the file holds no image", path=files["images"], field="images")
    if images.ndim == 3:
        images = images[..., None]
    if transpose:
        images = images.swapaxes(1, 2)
    check_image_shape(images.shape[1:], input_shape, path=files["images"])
    for array, file in ((images, files["images"]), (labels, files["labels"])):
        if isinstance(array, np.memmap):
            stat = file.stat()
            digest.update(os.fsencode(f"{file.name} {stat.st_size} {stat.st_mtime_ns}"))
        else:
            digest.update(repr(array.shape).encode())
            for piece in pieces(array):
                digest.update(np.ascontiguousarray(piece).data)
    return images, np.asarray(labels), files["labels"]
