from __future__ import annotations

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from cnnspec.errors import DataError
from cnnspec.model.settings import DataSettings, Normalize, Npz
from cnnspec.runtime.data import archive as archives
from cnnspec.runtime.data import dataset_of_arrays, open_data
from cnnspec.runtime.data import split as limits

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (20, 4, 3, 2), dtype=np.uint8)
Y = np.arange(20) % 4
SHAPE = (4, 3, 2)


def write(tmp_path, *, compressed=False, **arrays):
    path = tmp_path / "data.npz"
    (np.savez_compressed if compressed else np.savez)(path, **{"x_train": X, "y_train": Y, **arrays})
    return path


def open_npz(path, shape=SHAPE, classes=4, **more):
    return open_data(DataSettings(Npz(str(path)), **more), shape, classes)


def refused(*args, **more):
    with pytest.raises(DataError) as caught:
        open_npz(*args, **more)
    return caught.value


@pytest.mark.parametrize("compressed", [False, True])
def test_bytes_are_divided_by_255(tmp_path, compressed):
    data = open_npz(write(tmp_path, compressed=compressed, x_test=X[:5], y_test=Y[:5]))
    x, y = data.train.batch(np.array([3, 19]))
    np.testing.assert_allclose(x, X[[3, 19]] / 255, rtol=1e-6)
    assert list(y) == [3, 3] and y.dtype == np.int32
    assert (len(data.test), data.classes, data.notes) == (5, 4, ())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_are_used_as_they_are(tmp_path, dtype):
    x = (X.astype(np.float64) - 100).astype(dtype)
    data = open_npz(write(tmp_path, x_train=x))
    assert (data.train.batch(np.arange(20))[0] == x.astype(np.float32)).all()
    normed = open_npz(tmp_path / "data.npz", normalize=Normalize((1.0, 2.0), (2.0, 4.0)))
    np.testing.assert_allclose(
        normed.train.batch(np.arange(20))[0], (x.astype(np.float32) - [1, 2]) / [2, 4], rtol=1e-5, atol=1e-5
    )


def test_grey_images_need_no_channel_axis(tmp_path):
    data = open_npz(write(tmp_path, x_train=X[..., 0]), shape=(4, 3, 1))
    assert data.train.batch(np.arange(2))[0].shape == (2, 4, 3, 1)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_stored_array_is_mapped(tmp_path, monkeypatch, order):
    path = write(tmp_path, x_train=np.asarray(X, order=order))
    small = open_npz(path)
    monkeypatch.setattr(limits, "IN_MEMORY_NBYTES", 100)
    large = open_npz(path)
    assert isinstance(large.train.images, np.memmap)
    rows = np.array([7, 0, 19])
    assert (large.train.batch(rows)[0] == small.train.batch(rows)[0]).all()


def test_a_value_that_is_not_finite_is_found_at_once_or_when_read(tmp_path, monkeypatch):
    x = X.astype(np.float32)
    x[13, 1, 2, 0] = np.nan
    path = write(tmp_path, x_train=x)
    error = refused(path)
    assert (error.path, error.field, error.found) == (path, "x_train[13, 1, 2, 0]", "nan")
    x[13, 1, 2, 0] = 1
    write(tmp_path, x_train=x.astype(np.float64) * 1e300)
    assert "float32" in refused(path).expected
    monkeypatch.setattr(limits, "IN_MEMORY_NBYTES", 100)
    for value, dtype in ((np.inf, np.float32), (1e300, np.float64)):
        x = x.astype(dtype)
        x[13, 1, 2, 0] = value
        write(tmp_path, x_train=x)
        mapped = open_npz(path)
        with pytest.raises(DataError, match="sample 13"), np.errstate(over="ignore"):
            mapped.train.batch(np.array([2, 13]))


@pytest.mark.parametrize(
    ("arrays", "field", "found"),
    [
        ({"x_train": X.astype(np.int64) * 2}, "x_train", "int64 from 0 to 510"),
        ({"x_train": X.astype(np.complex64)}, "x_train", "complex64"),
        ({"y_train": Y.astype(np.float32)}, "y_train", "float32 [20]"),
        ({"y_train": np.eye(4, dtype=np.int64)[Y]}, "y_train", "int64 [20, 4]"),
        ({"y_train": Y[:19]}, "y_train", "19"),
        ({"x_train": X[:0], "y_train": Y[:0]}, "x_train", "[0, 4, 3, 2]"),
        ({"x_train": X[0]}, "x_train", "[4, 3, 2]"),
        ({"x_train": X[:, :3]}, "x_train", "3x3x2"),
        ({"y_train": np.where(np.arange(20) == 6, 9, Y)}, "y_train[6]", "9"),
        ({"y_train": np.where(np.arange(20) == 6, -1, Y)}, "y_train[6]", "-1"),
        ({"x_test": X}, "x_test", "x_test"),
        ({"x_train": np.array([{}] * 20)}, "x_train", "dtype object"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, arrays, field, found):
    path = write(tmp_path, **arrays)
    error = refused(path)
    assert (error.path, error.field, error.found) == (path, field, found)


def test_missing_array_and_missing_file(tmp_path):
    np.savez(tmp_path / "data.npz", X, Y)
    error = refused(tmp_path / "data.npz")
    assert error.field == "x_train" and error.found == "arr_0, arr_1" and "x_train=x" in error.hint
    np.savez(tmp_path / "data.npz", x_train=X, label=Y)
    assert refused(tmp_path / "data.npz").field == "y_train"
    assert "does not exist" in refused(tmp_path / "none.npz").message


@pytest.mark.parametrize("keep", [0, 10, 500, -30])
def test_cut_short(tmp_path, keep):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    error = refused(path)
    assert error.path == path and "not a whole .npz file" in error.message


def test_a_damaged_member(tmp_path):
    path = write(tmp_path)
    content = bytearray(path.read_bytes())
    content[400] ^= 0xFF  # a pixel: the archive's checksum tells
    path.write_bytes(content)
    assert "not a whole .npz file" in refused(path).message


def test_a_header_that_lies(tmp_path):
    write(tmp_path)
    path = tmp_path / "lies.npz"
    with zipfile.ZipFile(tmp_path / "data.npz") as good, zipfile.ZipFile(path, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name).replace(b"(20, 4, 3, 2)", b"(90, 4, 3, 2)"))
    error = refused(path)
    assert error.field == "x_train" and error.expected.startswith("2,160 bytes") and error.found == "480 bytes"
    with zipfile.ZipFile(path, "w") as bad:
        bad.writestr("x_train.npy", b"nonsense, not an array")
        bad.writestr("y_train.npy", b"nonsense, not an array")
    assert "not a NumPy array" in refused(path).message


def test_arrays_at_hand():
    data = dataset_of_arrays(X, Y, input_shape=SHAPE, val=0.25, test=(X[:4], Y[:4]))
    assert (len(data.train), len(data.val), len(data.test), data.classes) == (15, 5, 4, 4)
    targets = RNG.random((20, 3))
    numbers = dataset_of_arrays(X, targets, input_shape=SHAPE)
    assert numbers.train.batch(np.arange(2))[1].dtype == np.float32 and numbers.classes == 0
    with pytest.raises(DataError) as caught:
        dataset_of_arrays(X, Y, input_shape=(5, 3, 2))
    assert caught.value.field == "x_train"
    with pytest.raises(DataError, match="y_train"):
        dataset_of_arrays(X, Y, input_shape=SHAPE, classes=3)


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test"),
        ("X_train", "Y_train", "X_valid", "Y_valid", "X_test", "Y_test"),
        ("x_train", "y_train", "x_dev", "y_dev", "x_test", "y_test"),
        ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"),  # MedMNIST
    ],
)
def test_the_names_that_people_give_arrays(tmp_path, names):
    path = tmp_path / "data.npz"
    given = (X, Y[:, None].astype(np.uint8), X[:6], Y[:6, None], X[:3], Y[:3, None])  # MedMNIST's labels are [N, 1]
    np.savez(path, **dict(zip(names, given, strict=True)))
    data = open_npz(path)
    assert (len(data.train), len(data.val), len(data.test), data.notes) == (20, 6, 3, ())
    assert list(data.val.labels) == list(Y[:6]) and data.val.labels.dtype == np.int32


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("data", "target")])
def test_a_file_of_one_part_names_none(tmp_path, names):
    np.savez(tmp_path / "data.npz", **dict(zip(names, (X, Y), strict=True)))
    assert len(open_npz(tmp_path / "data.npz").train) == 20


def test_the_files_own_validation_set_wins_over_a_split_and_both_are_told(tmp_path):
    path = write(tmp_path, x_val=X[:4], y_val=Y[:4], x_test=X, y_test=Y)
    data = open_npz(path, val=0.25)
    assert (len(data.train), len(data.val)) == (20, 4)
    assert data.notes == ("split val=25% is not used: the data has a validation set of its own, 4 samples",)


def test_arrays_that_are_not_used_are_named(tmp_path):
    data = open_npz(write(tmp_path, x_test=X, y_test=Y, x_extra=X, ids=Y))
    (note,) = data.notes
    assert "not used: x_extra, ids" in note


# ---- files as strangers make them -----------------------------------------------------------------
def pack(path, content, *, method=zipfile.ZIP_STORED, name="x_train.npy", size=None, flags=0):
    """Write a zip of y_train and one member of any bytes, whose size, method and flags may lie."""
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("y_train.npy", "w") as member:
            np.lib.format.write_array(member, Y)
        archive.writestr(name, content, method)
        info = archive.getinfo(name)
        info.flag_bits |= flags
        if size is not None:
            info.file_size = size
    return path


def header(text, version=(1, 0)):
    width = 2 if version == (1, 0) else 4
    return b"\x93NUMPY" + bytes(version) + len(text).to_bytes(width, "little") + text.encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (-20, 4, 3, 2)}\n"), "shape of [-20"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (20.5,)}\n"), "not a NumPy array"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (0, 1180591620717411303424)}\n"), "not a whole"),
        (header("{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,)}\n"), "not a NumPy array"),
        (header("{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (0,)}\n"), "records"),
        (header("{'descr': [('\u00e9', '<f4')], 'fortran_order': False, 'shape': (0,)}\n", (3, 0)), "records"),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n"), "Python objects"),
        (header("{'descr': '<U0', 'fortran_order': False, 'shape': (20,)}\n"), "empty texts"),
        (header("{'descr': '<V2', 'fortran_order': False, 'shape': (0,)}\n"), "records"),
        (header("(" * 5000), "not a NumPy array"),
        (header("'''"), "not a NumPy array"),
        (header("", (9, 0)), "not a NumPy array"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "4,294,967,295 bytes of header"),
        (b"\x93NUM", "not a NumPy array"),
        (b"", "not a NumPy array"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': ()}\n") + b"\7", "number of dimensions"),
    ],
)
def test_odd_headers(tmp_path, content, words):
    assert words in str(refused(pack(tmp_path / "data.npz", content)))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_to_pack(tmp_path, method):
    error = refused(pack(tmp_path / "data.npz", bytes(1000), method=method))
    assert error.field == "x_train" and str(method) in error.found and "numpy.savez" in error.hint


def test_an_encrypted_member_and_one_of_a_size_that_lies(tmp_path):
    path = tmp_path / "data.npz"
    assert refused(pack(path, bytes(1000), flags=1)).found == "encrypted"
    image = io.BytesIO()
    np.lib.format.write_array(image, X)
    for size in (len(image.getvalue()) - 7, len(image.getvalue()) + 7, 2**40):
        refused(pack(path, image.getvalue(), size=size))
        refused(pack(path, image.getvalue(), size=size, method=zipfile.ZIP_DEFLATED))


def test_a_single_array_is_not_an_archive(tmp_path):
    np.save(tmp_path / "data.npy", X)
    assert "one array (.npy)" in refused(tmp_path / "data.npy").message


def test_what_unpacks_to_more_than_the_bound_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    x = np.zeros((200_000, *SHAPE))
    path = write(tmp_path, compressed=True, x_train=x, y_train=np.zeros(200_000, np.uint8))
    assert path.stat().st_size < 50_000 and x.nbytes > 38_000_000
    monkeypatch.setattr(limits, "IN_MEMORY_NBYTES", 1 << 16)
    tracemalloc.start()
    error = refused(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert error.field == "x_train" and "65,536 bytes" in error.expected and "numpy.savez" in error.hint
    assert peak < 4_000_000
    # the mend
    stored = tmp_path / "stored.npz"
    with zipfile.ZipFile(path) as packed, zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as archive:
        for name in packed.namelist():
            archive.writestr(name, packed.read(name))
    assert isinstance(open_npz(stored).train.images, np.memmap)
    # all arrays together: the second one does not fit behind the first
    monkeypatch.setattr(limits, "IN_MEMORY_NBYTES", X.nbytes + Y.nbytes + 100)
    assert refused(write(tmp_path, compressed=True, x_test=X, y_test=Y)).field == "x_test"


def test_a_list_of_members_longer_than_the_bound_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(300):
            archive.writestr(f"{i:0>200}", b"")
    assert "array is missing" in refused(path).message
    monkeypatch.setattr(archives, "CHUNK", 1 << 15)
    assert "not a whole .npz file" in refused(path).message
