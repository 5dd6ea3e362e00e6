"""Many image files become pixels: in threads, with their oddities gathered into a few notes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...ir.fields import Shape
from ...text import listed, some
from .ahead import NBYTES, PICTURES, THREADS, in_order
from .image import REMARKS, Picture, check_header, load_picture, read_picture
from .levels import USUAL_WHITE, Decoding, UnknownLevels, UnreadableImage, suggest_levels

_SAMPLE = 64  # pictures that are looked at where not all are decoded beforehand
_DARK = 0.25  # of white: pictures of more than 8 bits a channel that never exceed it are told


def decode_all(
    paths: Sequence[Path], input_shape: Shape, decoding: Decoding, findings: Findings | None = None
) -> np.ndarray:
    """Return the pixels uint8[N, H, W, C] of many files, by threads; DataError names the unreadable ones.

    ``findings`` is told of each picture.
    """
    pixels = np.empty((len(paths), *input_shape), np.uint8)

    def decode(i: int) -> None:
        picture = read_picture(paths[i], input_shape, decoding)
        pixels[i] = picture.pixels
        if findings is not None:
            findings.add(paths[i], picture)

    _for_each(paths, decode)
    return pixels


def decode_some(paths: Sequence[Path], pixels: np.ndarray, decoding: Decoding) -> None:
    """Write the pixels of a few files to uint8[n, H, W, C], by this thread; DataError names the first unreadable."""
    for path, place in zip(paths, pixels, strict=True):
        try:
            place[...] = read_picture(path, pixels.shape[1:], decoding).pixels
        except UnreadableImage as error:
            raise _unreadable([(path, error)], None) from None


def load_each(
    paths: Sequence[Path], input_shape: Shape, findings: Findings
) -> Generator[np.ndarray | DataError, None, None]:
    """Yield the pixels uint8[H, W, C] of each file, or the error that names it; some are read ahead by threads.

    ``findings`` says how they are read.
    """

    def load(part: range) -> list[np.ndarray | DataError]:
        found: list[np.ndarray | DataError] = []
        for i in part:
            try:
                picture = load_picture(paths[i], input_shape, findings.decoding)
            except DataError as error:
                found.append(error)
            else:
                findings.add(paths[i], picture)
                found.append(picture.pixels)
        return found

    most = max(1, min(2 * THREADS, NBYTES // (PICTURES * math.prod(input_shape))))
    with closing(in_order((partial(load, part) for part in _parts(len(paths))), most)) as parts:
        for part in parts:
            yield from part


def check_all(paths: Sequence[Path], input_shape: Shape, decoding: Decoding, findings: Findings) -> None:
    """Look at the headers of all files, and at the pixels of some, spread evenly; DataError names the unreadable."""
    _for_each(paths, lambda i: check_header(paths[i]))
    chosen = np.unique(np.linspace(0, len(paths) - 1, _SAMPLE).astype(int))
    findings.looked_at = len(chosen)
    decode_all([paths[i] for i in chosen], input_shape, decoding, findings)


class Findings:
    """Oddities of the pictures of a data set."""

    def __init__(self, decoding: Decoding) -> None:
        self.decoding = decoding
        self.looked_at: int | None = None  # where not all were
        self.more: list[str] = []  # notes of what was left out before
        self.odd: dict[str, list[Path]] = {}
        self.deep: dict[str, list[float]] = {}  # largest number of each picture of more than 8 bits a channel, by kind

    def add(self, path: Path, picture: Picture) -> None:
        """Take in one picture; may be called from many threads."""
        for remark in picture.remarks:
            self.odd.setdefault(remark, []).append(path)
        if picture.kind:
            self.deep.setdefault(picture.kind, []).append(picture.high)

    def notes(self, root: Path | None = None) -> list[str]:
        """Return what a person should know, one note for each kind, with paths as they are or below ``root``."""
        among = f"of {self.looked_at} that were looked at, " if self.looked_at is not None else ""
        notes = list(self.more)
        for key, paths in sorted(self.odd.items()):
            example = min(paths) if root is None else os.path.relpath(min(paths), root)
            notes.append(f"{among}{some(len(paths), 'picture')} with {REMARKS[key]}, such as {example}")
        if self.decoding.black is None and self.decoding.white is None:
            notes += [among + _dark(kind, highs) for kind, highs in self.deep.items() if _dark(kind, highs)]
        return notes


def _dark(kind: str, highs: Sequence[float]) -> str:
    """Return what tells that no number of pictures comes near white; "" where one does."""
    high, white = max(highs), USUAL_WHITE[kind]
    if not 0 < high <= _DARK * white:
        return ""
    mend = suggest_levels(0, high) if white > 1 else f"white={high:.2g}"
    return (
        f"{some(len(highs), 'picture')} of {kind} with no number above {high:,.10g} of {white:,.10g}, which look dark: "
        f"if {mend[6:]} is white, write  {mend}  behind  source folders"
    )


def _for_each(paths: Sequence[Path], act: Callable[[int], None]) -> None:
    """Act on each file by threads; DataError tells of all that are unreadable."""
    failures: list[tuple[Path, UnreadableImage]] = []

    def attempt(part: range) -> None:
        for i in part:
            try:
                act(i)
            except UnreadableImage as error:
                failures.append((paths[i], error))

    with closing(in_order((partial(attempt, part) for part in _parts(len(paths))), 2 * THREADS)) as done:
        for _ in done:
            pass
    if failures:
        raise _unreadable(sorted(failures, key=lambda failure: failure[0]), len(paths))


def _parts(count: int) -> Iterator[range]:
    """Yield the numbers of ``count`` pictures, as many at a time as a thread takes."""
    part = max(1, min(PICTURES, -(-count // THREADS)))
    return (range(start, min(start + part, count)) for start in range(0, count, part))


def _unreadable(failures: Sequence[tuple[Path, UnreadableImage]], count: int | None) -> DataError:
    """Return the error for the unreadable ones of ``count`` pictures; None where they are read one by one."""
    path, why = failures[0]
    wrong = partial(DataError, path=path, field="image")
    levels = [why for _, why in failures if isinstance(why, UnknownLevels)]
    if len(levels) == len(failures):
        kinds = sorted({level.kind for level in levels})
        low, high = min(level.low for level in levels), max(level.high for level in levels)
        return wrong(
            f"nothing says which of the {kinds[0] if len(kinds) == 1 else 'numbers'} in a picture is black and which "
            "is white",
            expected="0 to " + " or ".join(f"{USUAL_WHITE[kind]:,.10g} for {kind}" for kind in kinds),
            found=f"{low:g} to {high:g}, in {some(len(levels), 'picture')}",
            hint=f"write  {suggest_levels(low, high)}  behind  source folders",
        )
    further = listed((p.name for p, _ in failures[1:]), 5)
    return wrong(
        f"cannot be read as an image: {why}",
        expected="a readable image" if count is None else f"{count:,} readable images",
        found=""
        if count is None
        else f"{count - len(failures):,} readable, {len(failures):,} not" + (further and f"; also {further}"),
        hint="replace the files, or move them elsewhere" if further else "replace the file, or move it elsewhere",
    )
