"""The text of a spec from its file: one that is missing, too large, unreadable or not UTF-8 is told so."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ..errors import DataError, Diagnostic, SpecError, did_you_mean
from ..reading import open_file
from ..source import Source, Span
from .guards import MAX_BYTES, too_large

_LONE_RETURN = re.compile("\r(?!\n)")  # ends the lines of old Macs


def read_source(path: Path) -> Source:
    """Return the text of a spec file; too large, unreadable and non-UTF-8 files are told apart."""
    name = str(path)
    if os.path.isdir(path):
        raise DataError("this is a folder, not a spec", path=path, hint="name a .cnn file")
    if not os.path.exists(path) and os.access(path.parent, os.X_OK):
        raise DataError(
            "there is no such file",
            path=path,
            hint="standard input is /dev/stdin" if name == "-" else _other_specs(path),
        )
    with open_file(path, missing="there is no such file", pipe=True) as file:
        data = file.read(MAX_BYTES + 1)
        size = max(len(data), os.fstat(file.fileno()).st_size)  # a pipe has no size of its own
    if size > MAX_BYTES:
        raise too_large(name, size, data[:80].decode("utf-8", "replace").split("\n")[0])
    return replace(decode(name, data), files=FolderFiles(path.parent) if path.is_file() else None)


class FolderFiles:
    """The specs in a folder and below, each read once: what was read stays, whatever becomes of the file.

    A link that leads out of the folder is refused.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, Source] = {}

    def read(self, path: str) -> Source:
        if path not in self._read:
            self._read[path] = self._source(path)
        return self._read[path]

    def _source(self, path: str) -> Source:
        file = self.folder / path
        root, real = os.path.realpath(self.folder), os.path.realpath(file)
        if os.path.commonpath([root, real]) != root:
            raise DataError("it is a link that leads out of the folder", path=file, hint="copy the file itself there")
        if not os.path.lexists(file):
            names = [p.name for p in islice(self.folder.glob("*.cnn"), 500)]
            near = did_you_mean(path, names)
            raise DataError("there is no such file", path=file, hint=f"did you mean `{near}`?" if near else "")
        with open_file(real, limit=MAX_BYTES) as opened:
            return decode(str(file), opened.read(MAX_BYTES + 1))


def decode(name: str, data: bytes) -> Source:
    """Return the text of a spec from its bytes. Raises SpecError at the first byte that is not UTF-8.

    Lines may end in a line feed, in a carriage return or in both; a carriage return alone is read as a line feed, so
    that places stay as they are; :func:`cnnspec.mend.encode` writes it back.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        readable = _LONE_RETURN.sub("\n", data[:start].decode("utf-8", "replace"))
        rest = re.split("[\r\n]", data[start:].decode("latin-1"), maxsplit=1)[0]
        source = Source(name, readable + "".join(c if c.isprintable() else "?" for c in rest))
        here = Span(source, len(readable), len(readable) + 1)
        label = f"byte 0x{data[start]:02X} at offset {start} is not UTF-8"
        hint = "save the file as UTF-8 in your editor"
        raise SpecError([Diagnostic("encoding", "the file is not UTF-8", here, label, hint=hint)]) from None
    return Source(name, _LONE_RETURN.sub("\n", text))


def _other_specs(path: Path) -> str:
    try:
        names = [p.name for p in path.resolve().parent.glob("*.cnn")]
    except (OSError, ValueError):  # ValueError: a name with a NUL
        names = []
    stem = path.name.removesuffix(".cnn")  # all share the suffix: it makes none of them near
    stems = [name.removesuffix(".cnn") for name in names]
    near = stem if stem in stems else did_you_mean(stem, stems)
    if near:
        return f"did you mean {path.parent / near}.cnn?"
    return "cnnspec new digits  writes a first spec" if not names else f"here are: {', '.join(sorted(names)[:8])}"
