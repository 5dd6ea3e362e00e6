"""Image folders, one folder a class: decoded once where they fit in memory, else batch by batch."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ...ir.fields import Shape
from ...model.settings import DataSettings, Folders
from ...reading import named_path
from ...text import some
from . import split as limits
from .decode import Findings, check_all, decode_all
from .image import Decoding, check_channels, decoding_of
from .registry import source
from .split import ArraySplit, Dataset, Normalizer, Split, normalizer_for
from .tree import Classes, check_filled, look

TEST_SHARE = 0.2


class FolderSplit:
    """Images that are decoded when a batch asks for them."""

    prefetch = True

    def __init__(
        self,
        paths: Sequence[Path],
        labels: np.ndarray,
        input_shape: Shape,
        decoding: Decoding,
        normalizer: Normalizer,
    ) -> None:
        self.paths, self.labels = paths, labels
        self.input_shape, self.decoding, self.normalizer = input_shape, decoding, normalizer

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (x, y) of the images at these positions; see :class:`Split`."""
        chosen = [self.paths[i] for i in indices]
        pixels = decode_all(chosen, self.input_shape, self.decoding)
        return self.normalizer(pixels), self.labels[indices]

    def subset(self, indices: np.ndarray) -> FolderSplit:
        """Return the split of the images at these positions."""
        chosen = [self.paths[i] for i in indices]
        return FolderSplit(chosen, self.labels[indices], self.input_shape, self.decoding, self.normalizer)

    def origin_of(self, index: int) -> tuple[int, Path | None]:
        """Return (place, file) of an image; see :class:`Split`."""
        return index, self.paths[index]


@source(Folders)
def open_folders(settings: DataSettings, input_shape: Shape, classes: int | None, base: Path) -> Dataset:
    """Open ``root/CLASS/*`` or ``root/train/CLASS/*`` with ``root/test/CLASS/*`` (and ``root/val/CLASS/*``).

    Where no folder is a part, a fifth of each class is the test set: the files whose names' sha256 come first.

    Raises
    ------
    DataError
        When :func:`~.tree.look` refuses the folder, a class has no picture, an image cannot be read, or the number of
        classes is not that of the net.
    """
    root = named_path(base, settings.source.path)
    tree = look(root)
    check_filled(tree)
    check_channels(input_shape, root)
    class_names, listed, notes = tree.class_names, dict(tree.parts), list(tree.notes)
    if classes is not None and classes != len(class_names):
        listing = ", ".join(class_names[:12]) + (", ..." if len(class_names) > 12 else "")
        raise DataError(
            "the number of class folders is not the number of the net's outputs",
            path=root,
            field="classes",
            expected=f"{classes} folders",
            found=f"{len(class_names)}: {listing}",
            hint=f"write  classes {len(class_names)}  near the top of the spec, and  dense classes  as the last layer",
        )
    if not tree.folders:
        listed["train"], listed["test"] = divide(listed["train"], root)
        tested = sum(map(len, listed["test"].values()))
        notes.append(f"no test folder: a fifth of each class, {some(tested, 'image')}, is the test set")
        single = [name for name in class_names if name not in listed["test"]]
        if single:
            notes.append(f"one picture only, so none to test on: {', '.join(single[:8])}")
    elif "test" not in listed:
        notes.append("no test folder beside the others: nothing is tested at the end")
    decode = _decoder(root, listed, input_shape, settings, notes)
    splits: dict[str, Split] = {}
    digest = hashlib.sha256()
    for part, by_class in listed.items():
        if by_class:
            splits[part] = decode(part, by_class, class_names, digest)
    return Dataset(
        root.name,
        splits["train"],
        splits.get("val"),
        splits.get("test"),
        class_names,
        digest.hexdigest(),
        normalizer_for(settings.normalize, input_shape[-1]),
        tuple(notes),
    )


def divide(by_class: Classes, root: Path) -> tuple[Classes, Classes]:
    """Divide each class 80/20 by the sha256 of its paths below the root; of two pictures, one is for testing."""
    train, test = {}, {}
    for name, paths in by_class.items():
        ranked = sorted(paths, key=lambda p: hashlib.sha256(os.fsencode(p.relative_to(root).as_posix())).digest())
        count = max(1, round(TEST_SHARE * len(paths))) if len(paths) > 1 else 0
        train[name] = sorted(ranked[count:])
        if count:
            test[name] = sorted(ranked[:count])
    return train, test


def _decoder(
    root: Path, listed: dict[str, Classes], input_shape: Shape, settings: DataSettings, notes: list[str]
) -> Callable[..., Split]:
    """Choose, for all parts alike, between decoding now and decoding batch by batch; add what is odd to the notes."""
    normalizer = normalizer_for(settings.normalize, input_shape[-1])
    decoding = decoding_of(settings)
    findings = Findings(decoding)
    everything = [p for by_class in listed.values() for paths in by_class.values() for p in paths]
    streamed = len(everything) * math.prod(input_shape) > limits.IN_MEMORY_NBYTES
    if streamed:
        check_all(everything, input_shape, decoding, findings)
    else:
        decoded = decode_all(everything, input_shape, decoding, findings)
        row_of = {path: row for row, path in enumerate(everything)}
    notes += findings.notes(root)

    def make(part: str, by_class: dict[str, list[Path]], class_names: tuple[str, ...], digest: Any) -> Split:
        number = {name: i for i, name in enumerate(class_names)}
        paths = [p for name in by_class for p in by_class[name]]
        labels = np.array([number[name] for name in by_class for _ in by_class[name]], np.int32)
        digest.update(f"{part} {class_names}".encode())
        digest.update(labels.tobytes())
        if streamed:
            if decoding != Decoding(decoding.resize):
                digest.update(repr(decoding).encode())
            for p in paths:
                stat = p.stat()
                digest.update(os.fsencode(f"{p.name} {stat.st_size} {stat.st_mtime_ns};"))
            return FolderSplit(paths, labels, input_shape, decoding, normalizer)
        rows = np.array([row_of[p] for p in paths])
        digest.update(np.ascontiguousarray(decoded[rows]).data)
        return ArraySplit(decoded, labels, normalizer, rows, root, everything)

    return make
