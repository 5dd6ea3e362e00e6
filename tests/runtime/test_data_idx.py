from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from cnnspec.errors import DataError
from cnnspec.model.settings import DataSettings, FashionMnist, Idx, Mnist, Normalize
from cnnspec.runtime.data import mnist, open_data
from cnnspec.runtime.data import split as limits
from cnnspec.runtime.data.idx import read_idx

SHAPE = (4, 3, 1)


def idx(array, *, dims=None, magic=None):
    """The bytes of an IDX file of unsigned bytes; ``dims`` and ``magic`` may lie."""
    array = np.asarray(array, np.uint8)
    dims = array.shape if dims is None else dims
    magic = 0x0800 + len(dims) if magic is None else magic
    return struct.pack(f">I{len(dims)}I", magic, *dims) + array.tobytes()


def write(folder, *, n_train=30, n_test=10, zipped=False, part="both"):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for stem, n in (("train", n_train), ("t10k", n_test)):
        if part not in ("both", stem):
            continue
        images = rng.integers(0, 256, (n, 4, 3))
        for name, array in (
            (f"{stem}-images-idx3-ubyte", images),
            (f"{stem}-labels-idx1-ubyte", np.arange(n) % 10),
        ):
            content = idx(array)
            if zipped:
                (folder / (name + ".gz")).write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return folder


def open_idx(folder, shape=SHAPE, classes=10, **more):
    return open_data(DataSettings(Idx(str(folder)), **more), shape, classes)


def refused(call, *args, **more):
    with pytest.raises(DataError) as caught:
        call(*args, **more)
    return caught.value


@pytest.mark.parametrize("zipped", [False, True])
def test_pixels_and_labels(tmp_path, zipped):
    data = open_idx(write(tmp_path, zipped=zipped))
    raw = np.random.default_rng(0).integers(0, 256, (30, 4, 3))
    x, y = data.train.batch(np.array([29, 3]))
    assert x.dtype == np.float32 and x.shape == (2, 4, 3, 1) and x.flags.c_contiguous
    np.testing.assert_allclose(x[..., 0], raw[[29, 3]] / 255, rtol=1e-6)
    assert y.dtype == np.int32 and list(y) == [9, 3]
    assert (len(data.train), len(data.test), data.val, data.classes) == (30, 10, None, 10)


def test_gz_and_plain_are_the_same_data_and_a_changed_pixel_is_not(tmp_path):
    plain = open_idx(write(tmp_path / "a"))
    assert plain.fingerprint == open_idx(write(tmp_path / "b", zipped=True)).fingerprint
    file = tmp_path / "a" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1] + b"\x07")
    assert plain.fingerprint != open_idx(tmp_path / "a").fingerprint


def test_a_large_plain_file_is_mapped_and_gives_the_same_batches(tmp_path, monkeypatch):
    small = open_idx(write(tmp_path))
    monkeypatch.setattr(limits, "IN_MEMORY_NBYTES", 100)
    large = open_idx(tmp_path)
    assert isinstance(large.train.images, np.memmap) and large.train.prefetch and not small.train.prefetch
    rows = np.array([5, 5, 29, 0])
    assert (large.train.batch(rows)[0] == small.train.batch(rows)[0]).all()


def test_a_large_gz_file_says_how_to_unpack_it(tmp_path, monkeypatch):
    write(tmp_path, zipped=True)
    monkeypatch.setattr(limits, "IN_MEMORY_NBYTES", 100)
    error = refused(open_idx, tmp_path)
    assert "gunzip" in error.hint and "360 bytes" in error.found


def test_normalisation(tmp_path):
    data = open_idx(write(tmp_path), normalize=Normalize((0.5,), (0.25,)))
    plain = open_idx(tmp_path)
    every = np.arange(30)
    np.testing.assert_allclose(
        data.train.batch(every)[0], (plain.train.batch(every)[0] - 0.5) / 0.25, rtol=1e-5, atol=1e-6
    )
    error = refused(open_idx, tmp_path, normalize=Normalize((0.5, 0.5, 0.5), (1.0,)))
    assert (error.field, error.expected, error.found) == (
        "data: normalize mean",
        "1 or 1 numbers",
        "3 numbers",
    )
    assert refused(open_idx, tmp_path, normalize=Normalize((0.5,), (0.0,))).field == "data: normalize std"


@pytest.mark.parametrize("zipped", [False, True])
def test_a_header_that_promises_more_than_the_file_holds(tmp_path, zipped):
    write(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    content = idx(np.zeros((30, 4, 3)), dims=(60000, 4, 3))
    file.write_bytes(gzip.compress(content) if zipped else content)
    error = refused(open_idx, tmp_path)
    assert error.path == file and "promises more" in error.message
    assert error.expected.startswith("720,016 bytes") and error.found == "376 bytes"


def test_a_header_of_petabytes_allocates_nothing(tmp_path):
    file = tmp_path / "x.gz"
    file.write_bytes(gzip.compress(idx(np.zeros((1, 1, 1)), dims=(2**32 - 1,) * 3)))
    assert "would not fit in memory" in refused(read_idx, file, (3,), "images").message


def test_surplus_bytes(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(idx(np.zeros((2, 4, 3))) + b"!")
    error = refused(read_idx, file, (3,), "images")
    assert "more than its header says" in error.message and error.found == "41 bytes"
    file.write_bytes(gzip.compress(idx(np.zeros((2, 4, 3))) + b"!"))
    assert refused(read_idx, file, (3,), "images").found == "more than 40 bytes"


def test_cut_short_gzip(tmp_path):
    file = tmp_path / "x.gz"
    file.write_bytes(gzip.compress(idx(np.random.default_rng(0).integers(0, 256, (50, 4, 3))))[:200])
    assert "gzip file is cut short" in refused(read_idx, file, (3,), "images").message
    whole = bytearray(gzip.compress(idx(np.zeros((50, 4, 3)))))
    whole[14] ^= 0xFF
    file.write_bytes(whole)
    assert "damaged" in refused(read_idx, file, (3,), "images").message


def test_wrong_magic_empty_and_missing(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(idx(np.zeros((2, 4, 3))))
    error = refused(read_idx, file, (1,), "labels")
    assert (error.field, error.found) == ("magic number", "0x00000803") and "0x00000801" in error.expected
    file.write_bytes(b"\x89PNG....")
    assert refused(read_idx, file, (3,), "images").found == "0x89504e47"
    file.write_bytes(b"")
    assert "empty" in refused(read_idx, file, (3,), "images").message
    file.write_bytes(b"\0\0\x08\x03\0\0")
    assert refused(read_idx, file, (3,), "images").expected == "16 bytes of header"
    assert "does not exist" in refused(read_idx, tmp_path / "y", (3,), "images").message
    assert "not a regular file" in refused(read_idx, tmp_path, (3,), "images").message


def test_labels_out_of_range_name_file_index_value_and_range(tmp_path):
    write(tmp_path)
    labels = np.arange(30) % 10
    labels[17] = 11
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    error = refused(open_idx, tmp_path)
    assert (error.path.name, error.field, error.found) == ("train-labels-idx1-ubyte", "labels[17]", "11")
    assert error.expected == "0 to 9, one of 10 classes" and "12 outputs" in error.hint
    assert open_idx(tmp_path, classes=None).classes == 12


def test_images_and_labels_differ_in_number(tmp_path):
    write(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(29)))
    error = refused(open_idx, tmp_path)
    assert error.field == "labels" and error.found == "29" and error.expected.startswith("30")


def test_image_size_against_the_input(tmp_path):
    error = refused(open_idx, write(tmp_path), shape=(28, 28, 1))
    assert error.field == "image size" and error.found == "4x3x1" and error.expected.startswith("28x28x1")
    assert error.hint == "input 4x3x1"


def test_no_image_and_wrong_type(tmp_path):
    write(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(struct.pack(">4I", 0x0D03, 1, 4, 3) + np.zeros(12, ">f4").tobytes())
    assert "bytes" in refused(open_idx, tmp_path).message
    file.write_bytes(idx(np.zeros((0, 4, 3))))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(0)))
    assert "no image" in refused(open_idx, tmp_path).message


def test_colour_images_have_four_dimensions(tmp_path):
    write(tmp_path, part="train")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((30, 4, 3, 3))))
    assert open_idx(tmp_path, shape=(4, 3, 3)).train.batch(np.arange(2))[0].shape == (2, 4, 3, 3)


def test_idx_without_test_files_says_so_and_half_a_test_set_is_refused(tmp_path):
    data = open_idx(write(tmp_path, part="train"))
    assert data.test is None and "nothing will be tested" in data.notes[0]
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(3)))
    assert "test images is missing" in refused(open_idx, tmp_path).message
    assert "does not exist" in refused(open_idx, tmp_path / "nothing").message


def test_where_fashion_mnist_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "DEBIAN_FASHION", tmp_path / "debian")
    monkeypatch.delenv("CNNSPEC_DATA", raising=False)
    settings = DataSettings(FashionMnist())
    error = refused(open_data, settings, SHAPE, 10)
    assert str(tmp_path / "debian") in error.found and "apt-get install dataset-fashion-mnist" in error.hint
    monkeypatch.setenv("CNNSPEC_DATA", str(tmp_path / "data"))
    error = refused(open_data, settings, SHAPE, 10)
    assert str(tmp_path / "data" / "fashion-mnist") in error.found
    write(tmp_path / "debian", n_train=11)
    assert len(open_data(settings, SHAPE, 10).train) == 11
    write(tmp_path / "data", n_train=12)
    assert len(open_data(settings, SHAPE, 10).train) == 12
    write(tmp_path / "data" / "fashion-mnist", n_train=13)
    assert len(open_data(settings, SHAPE, 10).train) == 13
    write(tmp_path / "here", n_train=14)
    found = open_data(DataSettings(FashionMnist("here")), SHAPE, 10, tmp_path)
    assert len(found.train) == 14 and found.class_names[-1] == "ankle boot"
    error = refused(open_data, DataSettings(FashionMnist("elsewhere")), SHAPE, 10, tmp_path)
    assert str(tmp_path / "elsewhere") in error.found


def test_where_mnist_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("CNNSPEC_DATA", raising=False)
    error = refused(open_data, DataSettings(Mnist()), SHAPE, 10)
    assert "$CNNSPEC_DATA is not set" in error.found
    monkeypatch.setenv("CNNSPEC_DATA", str(tmp_path))
    folder = write(tmp_path / "mnist", zipped=True)
    assert len(open_data(DataSettings(Mnist()), SHAPE, 10).train) == 30
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    assert "train labels is missing" in refused(open_data, DataSettings(Mnist()), SHAPE, 10).message


# ---- EMNIST, QMNIST ---------------------------------------------------------------------------------
def write_emnist(folder, prefix, labels, test="test"):
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(1).integers(0, 256, (len(labels), 4, 3))
    for stem in ("train", test):
        (folder / f"{prefix}{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{prefix}{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return images


def test_the_letters_of_emnist_are_turned_and_counted_from_1(tmp_path):
    letters = np.arange(52) % 26 + 1
    images = write_emnist(tmp_path / "gzip", "emnist-letters-", letters)
    settings = DataSettings(Idx(str(tmp_path / "gzip"), transpose=True, first=1))
    data = open_data(settings, (3, 4, 1), 26)
    x, y = data.train.batch(np.array([0, 51]))
    np.testing.assert_allclose(x[..., 0], images[[0, 51]].transpose(0, 2, 1) / 255, rtol=1e-6)
    assert list(y) == [0, 25] and data.class_names[0] == "1" and data.class_names[-1] == "26"
    assert len(data.test) == 52 and data.notes == ()
    assert open_data(settings, (3, 4, 1), None).classes == 26
    # without the two words: what they are for is told
    error = refused(open_data, DataSettings(Idx(str(tmp_path / "gzip"))), SHAPE, 26)
    assert error.found == "26 (2 such labels)" and "first=1" in error.hint
    data = open_data(DataSettings(Idx(str(tmp_path / "gzip"), first=1)), SHAPE, 26)
    assert any("transpose=yes" in note for note in data.notes)


def test_a_folder_of_several_data_sets_asks_for_one(tmp_path):
    for prefix in ("emnist-digits-", "emnist-mnist-"):
        write_emnist(tmp_path, prefix, np.arange(20) % 10)
    error = refused(open_data, DataSettings(Idx(str(tmp_path))), SHAPE, 10)
    assert error.found == "emnist-digits, emnist-mnist" and error.hint.endswith('emnist-digits"')
    for name in ("emnist-mnist", "emnist-mnist-"):
        assert len(open_data(DataSettings(Idx(str(tmp_path / name))), SHAPE, 10).test) == 20
    assert "does not exist" in refused(open_data, DataSettings(Idx(str(tmp_path / "emnist-x"))), SHAPE, 10).message
    data = open_data(DataSettings(Mnist(str(tmp_path / "emnist-mnist"), transpose=True)), (3, 4, 1), 10)
    assert len(data.train) == 20 and data.notes == ()


@pytest.mark.parametrize("source", [Mnist, FashionMnist])
def test_another_data_set_in_the_folder_of_all_is_not_taken_for_mnist(tmp_path, monkeypatch, source):
    monkeypatch.setattr(mnist, "DEBIAN_FASHION", tmp_path / "none")
    monkeypatch.setenv("CNNSPEC_DATA", str(tmp_path))
    write_emnist(tmp_path, "emnist-digits-", np.arange(20) % 10)
    assert "was not found" in refused(open_data, DataSettings(source()), SHAPE, 10).message


def test_transposed_pictures_of_a_mapped_file(tmp_path, monkeypatch):
    settings = DataSettings(Idx(str(write(tmp_path)), transpose=True))
    small = open_data(settings, (3, 4, 1), 10)
    monkeypatch.setattr(limits, "IN_MEMORY_NBYTES", 100)
    large = open_data(settings, (3, 4, 1), 10)
    assert isinstance(large.train.images, np.memmap)
    rows = np.array([9, 2])
    assert (large.train.batch(rows)[0] == small.train.batch(rows)[0]).all()
    assert refused(open_data, settings, SHAPE, 10).found == "3x4x1"


@pytest.mark.parametrize("source", [Mnist, Idx])
def test_the_labels_of_qmnist_are_the_first_of_eight_columns(tmp_path, source):
    images = np.random.default_rng(2).integers(0, 256, (30, 4, 3))
    labels = (np.arange(240) * 1000).reshape(30, 8).astype(">i4")
    labels[:, 0] = np.arange(30) % 10
    for part in ("train", "test"):
        (tmp_path / f"qmnist-{part}-images-idx3-ubyte").write_bytes(idx(images))
        content = struct.pack(">3I", 0x0C02, 30, 8) + labels.tobytes()
        (tmp_path / f"qmnist-{part}-labels-idx2-int.gz").write_bytes(gzip.compress(content))
    data = open_data(DataSettings(source(str(tmp_path))), SHAPE, 10)
    assert list(data.train.labels) == list(np.arange(30) % 10) and len(data.test) == 30
    (tmp_path / "qmnist-train-labels-idx2-int.gz").unlink()
    (tmp_path / "qmnist-train-labels-idx2-int").write_bytes(struct.pack(">3I", 0x0C02, 60, 4) + labels.tobytes())
    assert refused(open_data, DataSettings(source(str(tmp_path))), SHAPE, 10).found == "60x4"


def test_labels_of_four_bytes_are_judged_in_four_bytes(tmp_path):
    write(tmp_path, part="train")
    file = tmp_path / "train-labels-idx1-ubyte"
    labels = np.arange(30) % 10
    labels[4] = 2**31 - 1
    file.write_bytes(struct.pack(">2I", 0x0C01, 30) + labels.astype(">i4").tobytes())
    assert refused(open_idx, tmp_path).found == "2147483647"
    assert "too large" in refused(open_idx, tmp_path, classes=None).message
    file.write_bytes(struct.pack(">2I", 0x0D01, 30) + labels.astype(">f4").tobytes())
    assert "whole numbers" in refused(open_idx, tmp_path).message
