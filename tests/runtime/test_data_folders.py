from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cnnspec.errors import DataError
from cnnspec.model.settings import DataSettings, Folders
from cnnspec.runtime.data import decode, open_data
from cnnspec.runtime.data import split as limits
from cnnspec.runtime.data.image import load_picture
from cnnspec.runtime.data.levels import Decoding

SHAPE = (6, 8, 3)


def picture(value, size=(8, 6)):
    image = Image.new("RGB", size, (value, 100, 255 - value))
    image.putpixel((size[0] - 1, size[1] - 1), (0, 0, 0))
    return image


def write(root, classes=("cat", "dog"), n=10, size=(8, 6)):
    for c, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(n):
            picture(c * 100 + i, size).save(root / name / f"{i}.png")
    return root


def open_folders(root, shape=SHAPE, classes=None, resize="crop"):
    return open_data(DataSettings(Folders(str(root), resize)), shape, classes)


def load_image(path, shape, resize="crop"):
    return load_picture(path, shape, Decoding(resize)).pixels


def refused(*args, **more):
    with pytest.raises(DataError) as caught:
        open_folders(*args, **more)
    return caught.value


def every(split):
    return split.batch(np.arange(len(split)))


def test_classes_are_folders_and_a_fifth_of_each_is_for_testing(tmp_path):
    data = open_folders(write(tmp_path))
    assert data.class_names == ("cat", "dog") and (len(data.train), len(data.test)) == (16, 4)
    assert sorted(every(data.test)[1]) == [0, 0, 1, 1]
    x, y = every(data.train)
    red = np.round(x[:, 0, 0, 0] * 255).astype(int)
    assert (red // 100 == y).all()
    assert len(set(red) | set(np.round(every(data.test)[0][:, 0, 0, 0] * 255).astype(int))) == 20
    assert "a fifth" in data.notes[0]
    again = open_folders(tmp_path)
    assert again.fingerprint == data.fingerprint and (every(again.train)[0] == x).all()


def test_train_test_and_val_folders(tmp_path):
    for part, n in (("train", 5), ("test", 3), ("val", 2)):
        write(tmp_path / part, n=n)
    data = open_folders(tmp_path, classes=2)
    assert (len(data.train), len(data.test), len(data.val), data.notes) == (10, 6, 4, ())


def test_streamed_images_are_the_same(tmp_path, monkeypatch):
    write(tmp_path, size=(11, 9))
    decoded = open_folders(tmp_path)
    monkeypatch.setattr(limits, "IN_MEMORY_NBYTES", 100)
    streamed = open_folders(tmp_path)
    assert streamed.train.prefetch and not decoded.train.prefetch
    rows = np.array([3, 0, 15, 3])
    for a, b in zip(decoded.train.batch(rows), streamed.train.batch(rows), strict=True):
        assert (a == b).all()
    part = streamed.train.subset(np.array([4, 2]))
    assert (part.batch(np.array([1]))[0] == decoded.train.batch(np.array([2]))[0]).all()


@pytest.mark.parametrize("limit", [100, 1 << 30])
def test_an_unreadable_image_among_many(tmp_path, monkeypatch, limit):
    write(tmp_path, n=30)
    monkeypatch.setattr(limits, "IN_MEMORY_NBYTES", limit)
    (tmp_path / "cat" / "7.png").write_bytes(b"this is no picture")
    error = refused(tmp_path)
    assert error.path == tmp_path / "cat" / "7.png" and error.field == "image"
    assert error.found == "59 readable, 1 not" and error.expected == "60 readable images"
    (tmp_path / "dog" / "3.png").write_bytes(b"")
    assert refused(tmp_path).found == "58 readable, 2 not; also 3.png"


def test_an_image_that_is_cut_short_is_named_when_it_is_read(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    write(tmp_path)
    file = tmp_path / "cat" / "5.png"
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[:2000])
    assert refused(tmp_path).path == file
    monkeypatch.setattr(limits, "IN_MEMORY_NBYTES", 100)
    assert refused(tmp_path).path == file  # of few pictures all are looked at
    monkeypatch.setattr(decode, "_SAMPLE", 1)
    data = open_folders(tmp_path)
    with pytest.raises(DataError) as caught:
        for split in (data.train, data.test):
            every(split)
    assert caught.value.path == file and "cannot be read as an image" in caught.value.message


def test_empty_class_folder(tmp_path):
    write(tmp_path)
    (tmp_path / "bird").mkdir()
    error = refused(tmp_path)
    assert error.path == tmp_path / "bird" and error.found == "an empty folder"
    (tmp_path / "bird" / "readme.txt").write_text("none yet")
    assert refused(tmp_path).found == "1 file of other kinds, such as readme.txt"
    assert "remove" not in error.hint and "put pictures" in error.hint


def test_files_that_are_no_images_are_told(tmp_path):
    write(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("")
    (tmp_path / "cat" / ".hidden.png").write_text("")
    notes = open_folders(tmp_path).notes
    assert any("left out 1 file " in note and "notes.txt" in note for note in notes)


def test_folders_that_do_not_fit(tmp_path):
    assert "does not exist" in refused(tmp_path / "nothing").message
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file").found == "a file"
    assert "two or more" in refused(tmp_path).message
    write(tmp_path / "data")
    error = refused(tmp_path / "data", classes=10)
    assert (error.expected, error.found) == ("10 folders", "2: cat, dog")
    assert "classes 2 " in error.hint and "dense classes" in error.hint
    assert refused(tmp_path / "data", shape=(6, 8, 4)).field == "channels"


def half(left, right, size):
    """A picture whose left half has one grey and whose right half another."""
    image = Image.new("L", size, left)
    image.paste(right, (size[0] // 2, 0, size[0], size[1]))
    return image


def test_resize_rules(tmp_path):
    file = tmp_path / "wide.png"
    half(40, 200, (80, 20)).save(file)

    def load(rule):
        return load_image(file, (20, 20, 1), rule)[..., 0]

    stretched, cropped, fitted = load("stretch"), load("crop"), load("fit")
    assert (stretched[:, 2] == 40).all() and (stretched[:, 17] == 200).all()
    assert (cropped[:, 8] == 40).all() and (cropped[:, 11] == 200).all()
    assert (fitted[:7] == 0).all() and (fitted[13:] == 0).all()
    assert (fitted[8:12, 2] == 40).all() and (fitted[8:12, 17] == 200).all()


def test_exif_orientation_is_applied(tmp_path):
    file = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    half(40, 200, (32, 32)).save(file, exif=exif, quality=95)
    pixels = load_image(file, (32, 32, 1))[..., 0].astype(int)
    assert abs(pixels[:, 4] - 200).max() < 8 and abs(pixels[:, 28] - 40).max() < 8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_gives_bytes(tmp_path, mode, channels):
    file = tmp_path / ("x.tif" if mode in ("CMYK", "I;16") else "x.png")
    if mode == "I;16":
        Image.fromarray(np.full((6, 8), 0x8040, np.uint16)).save(file)
    else:
        Image.new("L", (8, 6), 255).convert(mode).save(file)
    pixels = load_image(file, (6, 8, channels))
    assert pixels.dtype == np.uint8 and pixels.shape == (6, 8, channels)
    assert (pixels == (0x80 if mode == "I;16" else 255)).all()


def test_a_missing_or_broken_image_is_named(tmp_path):
    with pytest.raises(DataError, match="does not exist") as caught:
        load_image(tmp_path / "a.png", SHAPE)
    assert caught.value.path == tmp_path / "a.png"
