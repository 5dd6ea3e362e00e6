"""The content of a folder of pictures: its parts, its classes and their pictures, and the files that are left out."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...reading import cannot_read
from ...text import listed, some
from .image import image_suffixes

Classes = dict[str, list[Path]]  # class name -> its pictures, both sorted by name

PARTS = {"train": "training", "val": "validation", "test": "test"}  # and what messages call them
_PART = re.compile(r"(?:(train|training)|(val|valid|validation)|(test|testing))(?:set|data)?")
_SYSTEM = ("__macosx", "@eadir")  # written by macOS into archives, by Synology beside pictures


@dataclass(frozen=True)
class Tree:
    """A folder of pictures, looked at; no picture is opened.

    Attributes
    ----------
    folders : the folder of each part that is one, by ``train``, ``val`` and ``test``; empty where there are none.
    parts : the pictures of each part by class; ``train`` is always there, with all classes, the others where they
        hold a picture.
    notes : remarks for a person: how parts were recognised, and the files that are left out.
    """

    root: Path
    folders: Mapping[str, Path]
    parts: Mapping[str, Classes]
    notes: tuple[str, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.parts["train"])


def title_of(folder: Path) -> str:
    """Return the name of a folder, and ``.`` or ``/`` for those without one."""
    return folder.name or str(folder)


def part_of(name: str) -> str | None:
    """Return which part a folder's name stands for, ``train``, ``val`` or ``test``; None for any other name.

    Upper case counts as lower: ``train``, ``Training``, ``train_set``; ``val``, ``valid``, ``validation``; ``test``,
    ``Testing``, ``test-data``.
    """
    found = _PART.fullmatch(re.sub(r"[-_ ]", "", name.casefold()))
    return tuple(PARTS)[(found.lastindex or 1) - 1] if found else None


def look(root: Path) -> Tree:
    """Look at ``root/CLASS/*``, or at ``root/train/CLASS/*`` with folders of the same kind for ``val`` and ``test``.

    Pictures in folders below a class folder are of that class. Links are followed.

    Raises
    ------
    DataError
        When the folder is missing or may not be read, there are fewer than two classes, or it is not clear which
        folder is which part.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise DataError("the folder does not exist", path=root, field="data: source folders", found=found)
    left = _LeftOut(root)
    notes: list[str] = []
    folders, loose = _entries(root, left)
    parts, others = _parts(root, folders, notes)
    if "train" in parts:
        if others:
            used = " and ".join(folder.name for folder in parts.values())
            notes.append(f"{title_of(root)}: left out, beside {used}: {_names_of(others)}")
        left.add("picture", "outside of the class folders", *loose)
        train = _Part(parts["train"], left)
    else:
        train = _Part(root, left, (others, loose))
    _check_classes(train)
    pictures = {"train": train.classes}
    _tell_classes(train, notes)
    for part in ("val", "test"):
        if part in parts and (matched := _match(_Part(parts[part], left), train.classes, notes)):
            pictures[part] = matched
    return Tree(root, parts, pictures, (*notes, *left.notes()))


def check_filled(tree: Tree) -> None:
    """Raise DataError naming the first class that has no picture to train on."""
    root = tree.folders.get("train", tree.root)
    empty = next((root / name for name, pictures in tree.parts["train"].items() if not pictures), None)
    if empty is None:
        return
    left = _LeftOut(empty)
    _below(empty, left)
    others = left.kinds["file", "not named as an image"]
    mend = "put pictures of the class into it (JPEG, PNG, ...)"
    if others and all(path.suffix.lower() in (".heic", ".heif") for path in others):
        mend = "HEIC is not read: save its pictures as JPEG"
    raise DataError(
        "the class folder holds no image",
        path=empty,
        field="class",
        expected="at least one image file",
        found=f"{some(len(others), 'file')} of other kinds, such as {others[0].name}" if others else "an empty folder",
        hint=f"{mend}, or move it out of {title_of(root)}",
    )


def pictures_below(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the pictures of a folder and of the folders in it, sorted, and notes on what is left out.

    DataError when a folder may not be read.
    """
    left = _LeftOut(folder)
    pictures, _ = _below(folder, left)
    return pictures, left.notes()


class _LeftOut:
    """Files and folders that are left out, by kind and reason."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kinds = defaultdict[tuple[str, str], list[Path]](list)

    def add(self, thing: str, why: str, *paths: Path) -> None:
        if paths:
            self.kinds[thing, why] += paths

    def notes(self) -> list[str]:
        return [
            f"{title_of(self.root)}: left out {some(len(paths), thing)} {why}".rstrip()
            + f", such as {os.path.relpath(min(paths), self.root)}"
            for (thing, why), paths in self.kinds.items()
        ]


class _Part:
    """A folder of class folders."""

    def __init__(self, folder: Path, left: _LeftOut, entries: tuple[list[Path], list[Path]] | None = None) -> None:
        self.folder = folder
        self.class_folders, self.loose = entries or _entries(folder, left)
        self.classes: Classes = {}
        self.inside: dict[str, tuple[str, ...]] = {}  # names of the folders in each class folder
        left.add("picture", "outside of the class folders", *self.loose)
        for class_folder in self.class_folders:
            name = class_folder.name
            self.classes[name], inside = _below(class_folder, left)
            _check_no_parts_inside(class_folder, inside)
            self.inside[name] = tuple(folder.name for folder in inside)


def _entries(folder: Path, left: _LeftOut) -> tuple[list[Path], list[Path]]:
    """Return (folders, pictures) of a folder, both sorted; what is neither is counted as left out."""
    folders, pictures = [], []
    suffixes = image_suffixes()
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise cannot_read(folder, error, "folder") from None
    for entry in entries:
        name = entry.name
        hidden = name.startswith(".")
        named_as_image = os.path.splitext(name)[1].lower() in suffixes
        if _is_folder(entry):
            if hidden:
                left.add("hidden folder", "", folder / name)
            elif name.casefold() in _SYSTEM:
                left.add("folder", "that a system made, not a person", folder / name)
            else:
                folders.append(folder / name)
        elif entry.is_symlink() and not os.path.exists(entry.path):
            left.add("broken link", "", folder / name)
        elif not named_as_image:
            if not hidden:
                left.add("file", "not named as an image", folder / name)
        elif hidden:
            left.add("hidden file", "", folder / name)
        elif not entry.is_file():
            left.add("special file", "named as an image", folder / name)
        else:
            pictures.append(folder / name)
    return folders, pictures


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say
        return False


def _below(folder: Path, left: _LeftOut) -> tuple[list[Path], list[Path]]:
    """Return (pictures, folders directly inside) of a folder, the former with those of the folders in it.

    Each folder is entered once, however many links lead to it.
    """
    inside, pictures = _entries(folder, left)
    waiting, met = list(inside), {_place(folder)}
    while waiting:
        current = waiting.pop()
        if _place(current) in met:
            left.add("link", "to a folder that is read already", current)
            continue
        met.add(_place(current))
        folders, found = _entries(current, left)
        waiting += folders
        pictures += found
    return (sorted(pictures) if inside else pictures), inside


def _place(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _parts(root: Path, folders: Sequence[Path], notes: list[str]) -> tuple[dict[str, Path], list[Path]]:
    """Return (the folder of each part, the other folders); no parts where the folders of the root are the classes."""
    wrong = partial(DataError, path=root, field="folders")
    chosen: dict[str, Path] = {}
    for part in PARTS:
        named = [folder for folder in folders if part_of(folder.name) == part]
        likely = [folder for folder in named if _folders_in(folder)] or named
        if len(likely) > 1:
            raise wrong(
                f"{len(likely)} folders could be the {part} part",
                expected="one of each part",
                found=", ".join(folder.name for folder in likely),
                hint="give all but one of them names of another kind, such as spare: those are left out",
            )
        if likely:
            chosen[part] = likely[0]
    with_classes = {part: folder for part, folder in chosen.items() if _folders_in(folder)}
    if "train" in chosen and "train" not in with_classes and len(chosen) > 1:
        _, loose = _entries(chosen["train"], _LeftOut(root))
        raise wrong(
            "the pictures to train on lie in no class folder",
            path=chosen["train"],
            expected=f"one folder for each class, as {chosen['train'].name}/cat/1.jpg",
            found=f"{some(len(loose), 'picture')} and no folder",
            hint="make a folder for each class, and move its pictures there",
        )
    parts = chosen if "train" in with_classes else with_classes
    others = [folder for folder in folders if folder not in parts.values()]
    single = [folder.name for folder in chosen.values() if folder in others]
    notes += [f"{name} holds no class folders, and is read as a class of its own" for name in single]
    if parts and "train" not in parts and not others:
        expected = "train, with one folder for each class"
        raise wrong("there is no folder to train on", expected=expected, found=_names_of(folders))
    if parts and any(parts.get(part) != root / part for part in ("train", *parts)):
        told = [f"{title} set {parts[part].name}" for part, title in PARTS.items() if part in parts]
        if "train" not in parts:
            told.insert(0, f"training set {_names_of(others)}")
        notes.append(f"{title_of(root)}: {'; '.join(told)}")
    return parts, others


def _folders_in(folder: Path) -> list[Path]:
    return _entries(folder, _LeftOut(folder))[0]


def _check_no_parts_inside(class_folder: Path, folders: Sequence[Path]) -> None:
    inside = {part_of(folder.name): folder.name for folder in folders}
    train, other = inside.get("train"), inside.get("test", inside.get("val"))
    if not train or not other:
        return
    wrong = partial(DataError, field="folders", found=f"{class_folder.name}/{train} and {class_folder.name}/{other}")
    if _folders_in(class_folder / train):  # a folder around it all, or images beside labels
        raise wrong(
            "the parts lie one folder deeper",
            path=class_folder.parent,
            expected=f"{train} and {other}, with one folder for each class",
            hint=f"name the folder inside: {class_folder}",
        )
    raise wrong(
        "the parts lie inside the class folders",
        path=class_folder,
        expected=f"{train}/{class_folder.name} and {other}/{class_folder.name}",
        hint="make the parts the outer folders and the classes the inner ones",
    )


def _check_classes(train: _Part) -> None:
    if len(train.classes) < 2:
        deeper = _classes_below(train.class_folders)
        loose = f"{some(len(train.loose), 'picture')} and " if train.loose else ""
        raise DataError(
            "classes are folders, and there must be two or more",
            path=train.folder,
            field="classes",
            expected="one folder for each class",
            found=loose + (", ".join(train.classes) or "no folder"),
            hint=f"the classes seem to be in the folder inside: {deeper}" if deeper else "",
        )


def _classes_below(folders: Sequence[Path]) -> Path | None:
    """Return the first folder of two folders or more, where each folder around it holds but one, as archives do."""
    around = None
    while len(folders) == 1:
        around = folders[0]
        folders = _folders_in(around)
    return around if folders else None


def _tell_classes(train: _Part, notes: list[str]) -> None:
    """Note the class folders that a person may have meant otherwise."""
    with_folders = [folder for folder in train.class_folders if train.inside[folder.name]]
    deeper = [path for folder in with_folders for path in train.classes[folder.name] if path.parent != folder]
    if deeper:
        notes.append(
            f"{some(len(deeper), 'picture')} in folders below a class folder count for that class, such as "
            f"{os.path.relpath(deeper[0], train.folder)}"
        )

    def alike(key: Callable[[Path], Any]) -> dict[Any, str]:
        """The names of the class folders that share a key, two or more."""
        groups = defaultdict[Any, list[Path]](list)
        for folder in train.class_folders:
            groups[key(folder)].append(folder)
        return {key: _names_of(folders) for key, folders in groups.items() if len(folders) > 1}

    for names in alike(lambda folder: folder.name.casefold()).values():
        notes.append(f"classes whose names differ only in upper and lower case: {names}")
    for names in alike(_place).values():
        notes.append(f"classes that are one and the same folder, by links: {names}")
    for inner, names in alike(lambda folder: train.inside[folder.name]).items():
        if len(inner) > 1:
            notes.append(
                f"{names} are read as classes, though they hold folders of the same names ({listed(inner)}): "
                "if those are the classes, name the outer folders train, val and test"
            )


def _match(other: _Part, known: Mapping[str, object], notes: list[str]) -> Classes:
    """Return the pictures of a part under the classes that are trained."""
    part, matched, strange = other.folder.name, defaultdict[str, list[Path]](list), Classes()
    for name, paths in other.classes.items():
        alike = [name] if name in known else [k for k in known if k.casefold() == name.casefold()]
        if len(alike) == 1:
            matched[alike[0]] = sorted(matched[alike[0]] + paths)
            if alike[0] != name:
                notes.append(f"{part}/{name} is taken for the class {alike[0]}")
        elif paths:
            strange[name] = paths
    if strange:
        number = some(sum(map(len, strange.values())), "picture")
        notes.append(f"{part}: left out {number} of classes that have no training images: {listed(strange)}")
    found = {name: matched[name] for name in known if matched[name]}
    if len(found) < len(known):
        lacking = listed(name for name in known if name not in found) if found else "a class, and is not used"
        notes.append(f"{part} holds no picture of {lacking}")
    return found


def _names_of(folders: Iterable[Path]) -> str:
    return listed(folder.name for folder in folders)
