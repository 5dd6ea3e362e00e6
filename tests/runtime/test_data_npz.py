from __future__ import annotations

import zipfile

import numpy as np
import pytest

from cnnspec.errors import DataError
from cnnspec.model.settings import DataSettings, Normalize, Npz
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
    x[13, 1, 2, 0] = np.inf
    write(tmp_path, x_train=x)
    monkeypatch.setattr(limits, "IN_MEMORY_NBYTES", 100)
    mapped = open_npz(path)
    with pytest.raises(DataError, match="sample 13"):
        mapped.train.batch(np.array([2, 13]))


@pytest.mark.parametrize(
    ("arrays", "field", "found"),
    [
        ({"x_train": X.astype(np.int64)}, "x_train", "int64"),
        ({"y_train": Y.astype(np.float32)}, "y_train", "float32 [20]"),
        ({"y_train": Y[:, None]}, "y_train", "int64 [20, 1]"),
        ({"y_train": Y[:19]}, "y_train", "19"),
        ({"x_train": X[:0], "y_train": Y[:0]}, "x_train", "[0, 4, 3, 2]"),
        ({"x_train": X[0]}, "x_train", "[4, 3, 2]"),
        ({"x_train": X[:, :3]}, "image size", "3x3x2"),
        ({"y_train": np.where(np.arange(20) == 6, 9, Y)}, "y_train[6]", "9"),
        ({"y_train": np.where(np.arange(20) == 6, -1, Y)}, "y_train[6]", "-1"),
        ({"x_test": X}, "x_test", ""),
        ({"x_train": np.array([{}] * 20)}, "x_train", "dtype object"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, arrays, field, found):
    path = write(tmp_path, **arrays)
    error = refused(path)
    assert (error.path, error.field, error.found) == (path, field, found)


def test_missing_array_and_missing_file(tmp_path):
    np.savez(tmp_path / "data.npz", images=X, labels=Y)
    error = refused(tmp_path / "data.npz")
    assert error.field == "x_train" and error.found == "images, labels"
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
    data = dataset_of_arrays(X, Y, input_shape=SHAPE, val=0.25, x_test=X[:4], y_test=Y[:4])
    assert (len(data.train), len(data.val), len(data.test), data.classes) == (15, 5, 4, 4)
    targets = RNG.random((20, 3))
    numbers = dataset_of_arrays(X, targets, input_shape=SHAPE)
    assert numbers.train.batch(np.arange(2))[1].dtype == np.float32 and numbers.classes == 0
    with pytest.raises(DataError) as caught:
        dataset_of_arrays(X, Y, input_shape=(5, 3, 2))
    assert caught.value.field == "image size"
    with pytest.raises(DataError, match="y_train"):
        dataset_of_arrays(X, Y, input_shape=SHAPE, classes=3)
