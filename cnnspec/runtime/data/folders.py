"""Image folders, one folder a class: decoded once where they fit in memory, else batch by batch."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...ir.fields import Shape
from ...model.settings import DataSettings, Folders
from ...reading import named_path
from ...text import listed, some
from . import split as limits
from .arrays import stamp
from .decode import Findings, check_all, decode_all, decode_some
from .image import Decoding, check_channels, decoding_of
from .normalize import Normalizer, normalizer_for
from .registry import source
from .split import ArraySplit, Dataset, Split, batch_of
from .tree import Classes, check_filled, look

TEST_SHARE = 0.2


@dataclass(eq=False)
class FolderSplit:
    """Images that are decoded when a batch asks for them."""

    paths: Sequence[Path]
    labels: np.ndarray  # int32[N]
    shape: Shape  # (H, W, C)
    decoding: Decoding
    normalizer: Normalizer
    prefetch = True

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (x, y) of the images at these positions; see :class:`Split`."""
        return batch_of(self, indices)

    def fill(self, indices: np.ndarray, x: np.ndarray) -> None:
        """Write the images at these positions to x; see :class:`Split`. DataError names one that is unreadable."""
        pixels = np.empty(x.shape, np.uint8)
        decode_some([self.paths[i] for i in indices.tolist()], pixels, self.decoding)
        self.normalizer.take(pixels, None, x)

    def subset(self, indices: np.ndarray) -> FolderSplit:
        """Return the split of the images at these positions."""
        return replace(self, paths=[self.paths[i] for i in indices], labels=self.labels[indices])

    def origin_of(self, index: int) -> tuple[int, Path | None]:
        """Return (place, file) of an image; see :class:`Split`."""
        return index, self.paths[index]


@source(Folders)
def open_folders(settings: DataSettings, input_shape: Shape, classes: int | None, base: Path) -> Dataset:
    """Open ``root/CLASS/*`` or ``root/train/CLASS/*`` with ``root/test/CLASS/*`` (and ``root/val/CLASS/*``).

    Where no folder is a part, a fifth of each class is the test set: the files whose names' sha256 come first.

    DataError when :func:`~.tree.look` refuses the folder, a class has no picture, an image cannot be read, or the
    number of classes is not that of the net.
    """
    root = named_path(base, settings.source.path)
    tree = look(root)
    check_filled(tree)
    check_channels(input_shape, root)
    class_names, parts, notes = tree.class_names, dict(tree.parts), list(tree.notes)
    if classes is not None and classes != len(class_names):
        raise DataError(
            "the number of class folders is not the number of the net's outputs",
            path=root,
            field="classes",
            expected=f"{classes} folders",
            found=f"{len(class_names)}: {listed(class_names, 12)}",
            hint=f"write  classes {len(class_names)}  near the top of the spec, and  dense classes  as the last layer",
        )
    if not tree.folders:
        parts["train"], parts["test"] = divide(parts["train"], root)
        tested = sum(map(len, parts["test"].values()))
        notes.append(f"no test folder: a fifth of each class, {some(tested, 'image')}, is the test set")
        single = [name for name in class_names if name not in parts["test"]]
        if single:
            notes.append(f"one picture only, so none to test on: {listed(single)}")
    elif "test" not in parts:
        notes.append("no test folder beside the others: nothing is tested at the end")
    splits, sha256 = _splits(root, parts, class_names, input_shape, settings, notes)
    return Dataset(
        root.name,
        splits["train"],
        splits.get("val"),
        splits.get("test"),
        class_names,
        sha256,
        tuple(notes),
        draft=settings.source.draft,
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


def _splits(
    root: Path,
    parts: Mapping[str, Classes],
    class_names: Sequence[str],
    input_shape: Shape,
    settings: DataSettings,
    notes: list[str],
) -> tuple[dict[str, Split], str]:
    """Return (a split of each part, their sha256), decoded now or batch by batch; add what is odd to the notes."""
    normalizer, decoding = normalizer_for(settings.normalize, input_shape[-1]), decoding_of(settings)
    everything = [p for by_class in parts.values() for paths in by_class.values() for p in paths]
    streamed = len(everything) * math.prod(input_shape) > limits.IN_MEMORY_NBYTES
    findings = Findings(decoding)
    pixels = np.empty((0, *input_shape), np.uint8)
    if streamed:
        check_all(everything, input_shape, decoding, findings)
    else:
        pixels = decode_all(everything, input_shape, decoding, findings)
    notes += findings.notes(root)
    splits: dict[str, Split] = {}
    digest = hashlib.sha256()
    start = 0
    for part, by_class in parts.items():
        if not by_class:
            continue
        counts = [len(by_class.get(name, ())) for name in class_names]
        labels = np.repeat(np.arange(len(class_names), dtype=np.int32), counts)
        stop = start + len(labels)
        digest.update(f"{part} {tuple(class_names)}".encode())
        digest.update(labels.tobytes())
        if streamed:
            if replace(decoding, draft=False) != Decoding(decoding.resize):
                digest.update(repr(decoding).encode())
            if decoding.draft:
                digest.update(b"draft")
            for path in everything[start:stop]:
                digest.update(stamp(path) + b";")
            splits[part] = FolderSplit(everything[start:stop], labels, input_shape, decoding, normalizer)
        else:
            digest.update(pixels[start:stop].data)
            splits[part] = ArraySplit(pixels, labels, normalizer, np.arange(start, stop), root, everything)
        start = stop
    return splits, digest.hexdigest()
