"""Data sets in the four IDX files of MNIST: where they are looked for, and how they become splits."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...model.settings import DataSettings
from ...ops.base import Shape
from ...reading import named_path
from .idx import read_idx
from .split import ArraySplit, Dataset, check_image_shape, check_labels, normalizer_for

FASHION_CLASSES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
_DIGITS = tuple("0123456789")
_PARTS = {"train": "train", "test": "t10k"}
_KINDS = {"images": "idx3", "labels": "idx1"}


def open_fashion_mnist(settings: DataSettings, input_shape: Shape, classes: int | None, base: Path) -> Dataset:
    """Open Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)."""
    places = _places(settings.source.path, base, "fashion-mnist", DEBIAN_FASHION)
    hint = 'apt-get install dataset-fashion-mnist, or name the folder: source fashion_mnist "FOLDER"'
    folder = _find(places, "Fashion-MNIST", hint)
    return _open("fashion_mnist", folder, settings, input_shape, classes, FASHION_CLASSES)


def open_mnist(settings: DataSettings, input_shape: Shape, classes: int | None, base: Path) -> Dataset:
    """Open MNIST from the folder of the spec, or ``$CNNSPEC_DATA/mnist``."""
    places = _places(settings.source.path, base, "mnist", None)
    hint = 'put the four IDX files into a folder and name it: source mnist "FOLDER"'
    folder = _find(places, "MNIST", hint)
    return _open("mnist", folder, settings, input_shape, classes, _DIGITS)


def open_idx(settings: DataSettings, input_shape: Shape, classes: int | None, base: Path) -> Dataset:
    """Open any data set in IDX files; the test files may be absent."""
    folder = named_path(base, settings.source.path)
    if not folder.is_dir():
        raise DataError("the folder does not exist", path=folder, field="data: source idx")
    return _open("idx", folder, settings, input_shape, classes, None)


def _places(named: str, base: Path, subfolder: str, system: Path | None) -> list[Path]:
    if named:
        return [named_path(base, named)]
    places = []
    if os.environ.get("CNNSPEC_DATA"):
        root = named_path(Path(), os.environ["CNNSPEC_DATA"])
        places += [root / subfolder, root]
    return places + ([system] if system else [])


def _find(places: list[Path], title: str, hint: str) -> Path:
    for folder in places:
        if _locate(folder, "train", "images"):
            return folder
    searched = ", ".join(map(str, places)) or "nowhere: $CNNSPEC_DATA is not set"
    raise DataError(
        f"{title} was not found",
        field="data: source",
        expected="train-images-idx3-ubyte[.gz] and its three companions",
        found=f"no such file; searched {searched}",
        hint=hint,
    )


def _locate(folder: Path, part: str, kind: str) -> Path | None:
    stem = f"{_PARTS[part]}-{kind}"
    for name in (f"{stem}-{_KINDS[kind]}-ubyte", f"{stem}.{_KINDS[kind]}-ubyte", stem):
        for suffix in ("", ".gz"):
            if (folder / (name + suffix)).is_file():
                return folder / (name + suffix)
    return None


def _open(
    name: str,
    folder: Path,
    settings: DataSettings,
    input_shape: Shape,
    classes: int | None,
    class_names: tuple[str, ...] | None,
) -> Dataset:
    digest = hashlib.sha256()
    train = _read_part(folder, "train", input_shape, digest)
    test = None
    if class_names is not None or any(_locate(folder, "test", kind) for kind in _KINDS):
        test = _read_part(folder, "test", input_shape, digest)
    parts = [part for part in (train, test) if part is not None]
    if class_names is None:
        known = classes or 1 + max(int(labels.max()) for _, labels, _ in parts)
        class_names = tuple(map(str, range(known)))
    for _, labels, file in parts:
        check_labels(labels, len(class_names), path=file, field="labels")
    normalizer = normalizer_for(settings.normalize, input_shape[-1])
    splits = [ArraySplit(images, labels, normalizer, origin=file) for images, labels, file in parts]
    return Dataset(
        name,
        splits[0],
        None,
        splits[1] if test is not None else None,
        class_names,
        digest.hexdigest(),
        normalizer,
        () if test is not None else (f"{folder} holds no test files (t10k-...); nothing will be tested",),
    )


def _read_part(
    folder: Path, part: str, input_shape: Shape, digest: hashlib._Hash
) -> tuple[np.ndarray, np.ndarray, Path]:
    files: dict[str, Path] = {}
    for kind in _KINDS:
        file = _locate(folder, part, kind)
        if file is None:
            raise DataError(
                f"the file of {part} {kind} is missing",
                path=folder,
                expected=f"{_PARTS[part]}-{kind}-{_KINDS[kind]}-ubyte, plain or .gz",
            )
        files[kind] = file
    images = read_idx(files["images"], (3, 4), "images")
    labels = read_idx(files["labels"], (1,), "labels")
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
    check_image_shape(images.shape[1:], input_shape, path=files["images"])
    for array, file in ((images, files["images"]), (labels, files["labels"])):
        if isinstance(array, np.memmap):
            stat = file.stat()
            digest.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}".encode())
        else:
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array).data)
    return images, np.asarray(labels).astype(np.int32), files["labels"]
