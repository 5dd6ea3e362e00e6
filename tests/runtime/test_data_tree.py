"""Folders as people have them: what is recognised, what is read, what is left out with a word."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnspec.errors import DataError
from cnnspec.model.settings import DataSettings, Folders
from cnnspec.runtime.data import open_data
from cnnspec.runtime.data.tree import look, part_of, pictures_below


def put(root, *names, n=2):
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            Image.new("L", (4, 4), 10 * i).save(root / name / f"{i}.png")
    return root


def numbers(tree):
    return {part: {name: len(found) for name, found in classes.items()} for part, classes in tree.parts.items()}


def told(tree, *words):
    return any(all(word in note for word in words) for note in tree.notes)


def refused(root):
    with pytest.raises(DataError) as caught:
        look(root)
    return caught.value


def open_folder(root, val=0.0, seed=1):
    return open_data(DataSettings(Folders(str(root)), val), (4, 4, 1), None, seed=seed)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *((name, "train") for name in ("train", "Train", "TRAINING", "training_set", "train-data")),
        *((name, "val") for name in ("val", "Val", "valid", "validation", "Validation Set")),
        *((name, "test") for name in ("test", "Test", "testing", "test_data")),
        *((name, None) for name in ("trains", "value", "contest", "tested", "cat", "")),
    ],
)
def test_names_of_parts(name, part):
    assert part_of(name) == part


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "valid", "Testing"), ("training", "Val", "TEST")]
)
def test_parts_are_recognised_under_the_names_that_people_give(tmp_path, names):
    for name, n in zip(names, (5, 3, 2), strict=True):
        put(tmp_path / name, "a", "b", n=n)
    tree = look(tmp_path)
    assert numbers(tree) == {part: {"a": n, "b": n} for part, n in (("train", 5), ("val", 3), ("test", 2))}
    assert told(tree, *names) == (names != ("train", "val", "test"))
    data = open_folder(tmp_path)
    assert (len(data.train), len(data.val), len(data.test)) == (10, 6, 4)


def test_a_validation_folder_wins_over_split_and_the_run_says_so(tmp_path):
    for part, n in (("train", 10), ("val", 3)):
        put(tmp_path / part, "a", "b", n=n)
    data = open_folder(tmp_path, val=0.5)
    assert (len(data.train), len(data.val)) == (20, 6)
    assert any("split val=50% is not used" in note for note in data.notes)
    assert data.test is None and any("no test folder" in note for note in data.notes)


def test_class_folders_beside_a_test_folder(tmp_path):
    put(tmp_path, "a", "b", "test/a", "test/b")
    tree = look(tmp_path)
    assert numbers(tree) == {"train": {"a": 2, "b": 2}, "test": {"a": 2, "b": 2}}
    assert told(tree, "training set a, b", "test set test")


def test_folders_that_are_named_as_parts_and_hold_no_classes(tmp_path):
    put(tmp_path / "vehicles", "bus", "train")
    tree = look(tmp_path / "vehicles")
    assert tree.class_names == ("bus", "train") and told(tree, "train", "a class of its own")
    put(tmp_path / "flat", "train", "test")
    error = refused(tmp_path / "flat")
    assert error.path == tmp_path / "flat" / "train" and error.found == "2 pictures and no folder"
    put(tmp_path / "unlabelled", "train/a", "train/b", "test")
    tree = look(tmp_path / "unlabelled")
    assert list(tree.parts) == ["train"] and told(tree, "test", "not used")
    assert told(tree, "left out 2 pictures outside of the class folders")
    put(tmp_path / "untrained", "val/a", "test/a")
    assert "no folder to train on" in refused(tmp_path / "untrained").message


def test_two_folders_for_one_part(tmp_path):
    put(tmp_path, "train/a", "train/b", "val/a", "valid/b")
    error = refused(tmp_path)
    assert error.found == "val, valid" and "left out" in error.hint


def test_parts_inside_class_folders(tmp_path):
    put(tmp_path, "a/train", "a/test", "b/train", "b/test")
    error = refused(tmp_path)
    assert error.expected == "train/a and test/a"


def test_pictures_below_class_folders_are_of_that_class(tmp_path):
    put(tmp_path, "a", "a/more/still", "b", n=3)
    tree = look(tmp_path)
    assert numbers(tree) == {"train": {"a": 6, "b": 3}}
    assert told(tree, "3 pictures in folders below a class folder", os.path.join("a", "more", "still"))
    data = open_folder(tmp_path)
    assert data.class_counts == {"train": (5, 2), "test": (1, 1)}
    assert len(pictures_below(tmp_path)[0]) == 9


def test_what_is_left_out_is_told(tmp_path):
    put(tmp_path, "a", "b", "__MACOSX/a", ".ipynb_checkpoints", "a/.ipynb_checkpoints")
    Image.new("L", (4, 4)).save(tmp_path / "loose.png")
    (tmp_path / "a" / "._0.png").write_bytes(b"resources of a Mac")
    (tmp_path / "b" / "gone.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "b" / "self").symlink_to(tmp_path / "b" / "self")
    os.mkfifo(tmp_path / "b" / "pipe.png")
    tree = look(tmp_path)
    assert numbers(tree) == {"train": {"a": 2, "b": 2}}
    for words in (
        ("1 picture outside of the class folders", "loose.png"),
        ("1 folder that a system made", "__MACOSX"),
        ("2 hidden folders", ".ipynb_checkpoints"),
        ("1 hidden file", "._0.png"),
        ("2 broken links", "gone.png"),
        ("1 special file", "pipe.png"),
    ):
        assert told(tree, "left out", *words), words
    found, notes = pictures_below(tmp_path)
    assert {p.relative_to(tmp_path).as_posix() for p in found} == {
        "loose.png",
        *(f"{c}/{i}.png" for c in "ab" for i in (0, 1)),
    }
    assert any("1 special file" in note for note in notes) and any("2 hidden folders" in note for note in notes)


def test_folders_beside_the_parts_are_told(tmp_path):
    put(tmp_path, "train/a", "train/b", "test/a", "test/b", "extra")
    assert told(look(tmp_path), "left out, beside train and test: extra")


def test_classes_that_differ_among_the_parts(tmp_path):
    put(tmp_path, "train/a", "train/b", "train/c", "val/A", "val/b", "test/a", "test/b", "test/c", "test/d")
    tree = look(tmp_path)
    assert numbers(tree)["val"] == {"a": 2, "b": 2} and numbers(tree)["test"] == {"a": 2, "b": 2, "c": 2}
    assert told(tree, "val/A is taken for the class a")
    assert told(tree, "val holds no picture of c")
    assert told(tree, "test: left out 2 pictures of classes that have no training images: d")
    assert open_folder(tmp_path).class_counts["val"] == (2, 2, 0)


def test_links_are_followed_once(tmp_path):
    put(tmp_path, "data/a", "store/b")
    (tmp_path / "data" / "b").symlink_to(tmp_path / "store" / "b")
    (tmp_path / "data" / "a" / "loop").symlink_to(tmp_path / "data" / "a")
    tree = look(tmp_path / "data")
    assert numbers(tree) == {"train": {"a": 2, "b": 2}}
    assert told(tree, "1 link to a folder that is read already", "loop")
    (tmp_path / "data" / "c").symlink_to(tmp_path / "store" / "b")
    assert told(look(tmp_path / "data"), "one and the same folder", "b, c")


def test_classes_that_are_easily_mistaken(tmp_path):
    put(tmp_path / "cases", "Dog", "dog")
    if len(list((tmp_path / "cases").iterdir())) == 2:  # the file system tells them apart
        assert told(look(tmp_path / "cases"), "upper and lower case", "Dog, dog")
    put(tmp_path / "folds", "fold1/a", "fold1/b", "fold2/a", "fold2/b")
    assert told(look(tmp_path / "folds"), "fold1, fold2", "a, b")


def test_a_folder_around_the_folder_is_named(tmp_path):
    put(tmp_path, "flowers/daisy", "flowers/rose", "__MACOSX")
    error = refused(tmp_path)
    assert str(tmp_path / "flowers") in error.hint


def test_a_class_without_pictures_in_a_part_is_told(tmp_path):
    put(tmp_path, "train/a", "train/b", "val/a")
    (tmp_path / "val" / "b").mkdir()
    assert told(look(tmp_path), "val holds no picture of b")
    (tmp_path / "test").mkdir()
    assert told(look(tmp_path), "test holds no picture of a class")


def test_the_only_picture_of_a_class_is_trained_on(tmp_path):
    put(tmp_path, "a", "b", n=10)
    put(tmp_path, "c", n=1)
    data = open_folder(tmp_path, val=0.2)
    assert data.class_counts == {"train": (7, 6, 1), "val": (1, 2, 0), "test": (2, 2, 0)}
    assert any("none to test on: c" in note for note in data.notes)
    assert any("not held out for validation: c" in note for note in data.notes)


def test_a_test_set_of_flat_folders_is_the_same_as_ever(tmp_path):
    """The pictures whose sha256 of CLASS/NAME come first; runs of before rest on it."""
    import hashlib

    put(tmp_path, "a", "b", n=10)
    data = open_folder(tmp_path)
    for label, name in enumerate("ab"):
        ranked = sorted(range(10), key=lambda i: hashlib.sha256(f"{name}/{i}.png".encode()).digest())
        x, y = data.test.batch(np.arange(len(data.test)))
        values = sorted(np.round(x[y == label, 0, 0, 0] * 25.5).astype(int))
        assert values == sorted(ranked[:2])


def test_an_unreadable_folder_is_named(tmp_path, monkeypatch):
    put(tmp_path, "a", "b")

    def locked(folder):
        if Path(folder).name == "b":
            raise PermissionError(13, "Permission denied")
        return real(folder)

    real = os.scandir
    monkeypatch.setattr(os, "scandir", locked)
    assert refused(tmp_path).path == tmp_path / "b"


def test_notes_on_the_folder_one_stands_in_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnspec.runtime.data.tree import pictures_below

    (tmp_path / "notes.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    [note] = pictures_below(Path())[1]
    assert note.startswith(".: left out 1 file")


@pytest.mark.parametrize("around", [("a",), ("a", "b"), ("images",)])
def test_folders_around_the_folder_are_named_down_to_the_classes(tmp_path: Path, around: tuple[str, ...]) -> None:
    inner = tmp_path.joinpath(*around)
    put(inner, *(("train/cat", "train/dog", "test/cat") if around == ("images",) else ("cat", "dog")))
    if around == ("images",):
        (tmp_path / "labels" / "train").mkdir(parents=True)
    hint = refused(tmp_path).hint
    assert hint.endswith(str(inner))
    look(Path(hint.partition(": ")[2]))  # the mend mends


def test_pictures_of_a_telephone_are_told_to_be_saved_as_jpeg(tmp_path: Path) -> None:
    put(tmp_path, "cat", "dog")
    for picture in (tmp_path / "dog").iterdir():
        picture.rename(picture.with_suffix(".HEIC"))
    with pytest.raises(DataError, match="HEIC is not read: save its pictures as JPEG"):
        open_folder(tmp_path)
