"""Many image files become pixels: in threads, with their oddities gathered into a few notes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...ir.fields import Shape
from ...text import listed, some
from .image import REMARKS, Picture, check_header, load_picture, read_picture
from .levels import USUAL_WHITE, Decoding, UnknownLevels, UnreadableImage, suggest_levels

_DECODERS = min(4, os.cpu_count() or 1)
_SAMPLE = 64  # pictures that are looked at where not all are decoded beforehand
_DARK = 0.25  # of white: pictures of more than 8 bits a channel that never exceed it are told


def decode_all(
    paths: Sequence[Path], input_shape: Shape, decoding: Decoding, findings: Findings | None = None
) -> np.ndarray:
    """Return the pixels uint8[N, H, W, C] of many files; DataError names the unreadable ones.

    Pillow releases the interpreter's lock while it decodes, so threads help. ``findings`` is told of each picture.
    """
    pixels = np.empty((len(paths), *input_shape), np.uint8)

    def decode(i: int) -> None:
        picture = read_picture(paths[i], input_shape, decoding)
        pixels[i] = picture.pixels
        if findings is not None:
            findings.add(paths[i], picture)

    _for_each(paths, decode)
    return pixels


def load_each(paths: Sequence[Path], input_shape: Shape, findings: Findings) -> list[np.ndarray | DataError]:
    """Return the pixels uint8[H, W, C] of each file, or the error that names it; ``findings`` says how it is read."""

    def load(path: Path) -> np.ndarray | DataError:
        try:
            picture = load_picture(path, input_shape, findings.decoding)
        except DataError as error:
            return error
        findings.add(path, picture)
        return picture.pixels

    with ThreadPoolExecutor(_DECODERS, "cnnspec-decode") as pool:
        return list(pool.map(load, paths))


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
    def attempt(i: int) -> UnreadableImage | None:
        try:
            act(i)
        except UnreadableImage as error:
            return error
        return None

    with ThreadPoolExecutor(_DECODERS, "cnnspec-decode") as pool:
        found = pool.map(attempt, range(len(paths)))
        failures = sorted(((paths[i], why) for i, why in enumerate(found) if why), key=lambda failure: failure[0])
    if not failures:
        return
    path, why = failures[0]
    wrong = partial(DataError, path=path, field="image")
    levels = [why for _, why in failures if isinstance(why, UnknownLevels)]
    if len(levels) == len(failures):
        kinds = sorted({level.kind for level in levels})
        low, high = min(level.low for level in levels), max(level.high for level in levels)
        raise wrong(
            f"nothing says which of the {kinds[0] if len(kinds) == 1 else 'numbers'} in a picture is black and which "
            "is white",
            expected="0 to " + " or ".join(f"{USUAL_WHITE[kind]:,.10g} for {kind}" for kind in kinds),
            found=f"{low:g} to {high:g}, in {some(len(levels), 'picture')}",
            hint=f"write  {suggest_levels(low, high)}  behind  source folders",
        )
    further = listed((p.name for p, _ in failures[1:]), 5)
    raise wrong(
        f"cannot be read as an image: {why}",
        expected=f"{len(paths):,} readable images",
        found=f"{len(paths) - len(failures):,} readable, {len(failures):,} not" + (further and f"; also {further}"),
        hint="replace the files, or move them elsewhere" if further else "replace the file, or move it elsewhere",
    )
