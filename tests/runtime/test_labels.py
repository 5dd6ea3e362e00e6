"""Labels are judged in the dtype that they have, and every value is shown as it stands in the data."""

from __future__ import annotations

import numpy as np
import pytest

from cnnspec.compiler import Compiler
from cnnspec.errors import DataError
from cnnspec.runtime.data import dataset_of_arrays
from cnnspec.runtime.data.labels import as_labels, class_numbers, count_classes
from cnnspec.runtime.evaluate import target_dtype

X = np.zeros((8, 2, 2, 1), np.uint8)
Y = np.arange(8) % 4


def refused(y: object, classes: int | None = 4) -> DataError:
    with pytest.raises(DataError) as caught:
        dataset_of_arrays(X, y, input_shape=(2, 2, 1), classes=classes)
    return caught.value


def at_five(value: object, dtype: object) -> np.ndarray:
    y = Y.astype(dtype)  # type: ignore[call-overload]
    y[5] = value
    return y


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, ">i4", np.uint64, np.int64])
@pytest.mark.parametrize("shape", [(8,), (8, 1)])
def test_whole_numbers_are_labels(dtype: object, shape: tuple[int, ...]) -> None:
    data = dataset_of_arrays(X, Y.astype(dtype).reshape(shape), input_shape=(2, 2, 1))  # type: ignore[call-overload]
    assert data.train.labels.dtype == np.int32 and list(data.train.labels) == list(Y) and data.classes == 4


def test_bools_are_two_classes() -> None:
    assert dataset_of_arrays(X, Y > 1, input_shape=(2, 2, 1)).classes == 2


@pytest.mark.parametrize("classes", [4, None])
@pytest.mark.parametrize(
    ("value", "dtype", "found"),
    [
        (2**32 + 3, np.int64, "4294967299"),  # 3 as an int32
        (2**32, np.uint64, "4294967296"),  # 0 as an int32
        (2**63 + 1, np.uint64, "9223372036854775809"),
        (2**31, np.uint32, "2147483648"),
        (-1, np.int8, "-1"),
        (-(2**63), np.int64, "-9223372036854775808"),  # a NaN as an int64
    ],
)
def test_a_label_out_of_range_is_shown_as_it_stands(classes: int | None, value: int, dtype: object, found: str) -> None:
    error = refused(at_five(value, dtype), classes)
    assert (error.field, error.found) == ("y_train[5]", found)
    assert "outputs" not in error.hint  # nobody has four billion classes
    assert ("NaN" in error.hint) == (value == -(2**63))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_in_one_row_are_refused_with_both_mends_and_nan_with_its_place(dtype: type) -> None:
    error = refused(Y.astype(dtype))
    assert "y_train.astype(numpy.int64)" in error.hint and "y_train[:, None]" in error.hint
    error = refused(at_five(np.nan, dtype))
    assert (error.field, error.found) == ("y_train[5]", "nan")


@pytest.mark.parametrize(
    "y", [np.eye(4, dtype=int)[Y], np.eye(4, dtype=bool)[Y], np.array(list("dacb"))[Y], np.array(list(Y), object)]
)
def test_the_mend_for_one_hot_labels_texts_and_objects(y: np.ndarray) -> None:
    mend = next(word for word in refused(y).hint.split(" ") if "y_train" in word).removesuffix(",")
    if "unique" in refused(y).hint:
        mend = refused(y).hint.split(": ")[1]
    mended = eval(mend, {"y_train": y, "numpy": np})  # the advice, taken as it stands
    assert dataset_of_arrays(X, mended, input_shape=(2, 2, 1), classes=4).classes == 4


@pytest.mark.parametrize(("y", "mend"), [(Y + 1, "y_train - 1"), (Y % 2 * 2 - 1, "(y_train + 1) // 2")])
def test_labels_that_do_not_count_from_0(y: np.ndarray, mend: str) -> None:
    error = refused(y)
    assert error.hint == f"labels count from 0: {mend}"
    mended = eval(mend, {"y_train": y})
    assert int(dataset_of_arrays(X, mended, input_shape=(2, 2, 1), classes=4).train.labels.min()) == 0


def test_one_label_too_large_names_the_outputs_that_would_do() -> None:
    assert "6 outputs" in refused(at_five(5, np.int64)).hint


def test_several_labels_a_sample_are_no_class_numbers() -> None:
    assert "loss mse" in refused(np.ones((8, 3), int)).hint


def test_targets_stay_floats_of_both_shapes() -> None:
    for shape in ((8, 1), (8, 3)):
        assert dataset_of_arrays(X, np.ones(shape), input_shape=(2, 2, 1)).train.labels.shape == shape


def test_classes_that_count_from_another_number() -> None:
    y = np.arange(8, dtype=np.uint8) % 4 + 1
    assert list(class_numbers(y, 4, path=None, field="y", first=1)) == list(Y)
    assert count_classes(y, first=1) == 4
    y[2] = 0  # as a byte, 0 - 1 would be 255
    with pytest.raises(DataError) as caught:
        class_numbers(y, 4, path=None, field="y", first=1)
    assert (caught.value.field, caught.value.found, caught.value.expected[:6]) == ("y[2]", "0", "1 to 4")


def test_labels_below_0_are_refused_where_no_spec_says_how_many_classes() -> None:
    assert refused(np.full(8, -3), None).expected == "0 to 0, one of 1 classes"


def test_what_is_no_row_of_labels() -> None:
    assert "int64 []" in refused(3).found
    assert refused(Y[:7]).message == "x_train and y_train differ in length"
    with pytest.raises(DataError, match="makes no array"):
        as_labels([[1, 2], [3]], 2)


@pytest.mark.parametrize(
    ("y", "mend"), [(np.eye(4)[Y], "y.argmax(axis=1)"), (Y[:, None] * 1.0, "y[:, 0].astype(numpy.int64)")]
)
def test_floats_that_are_class_numbers_in_disguise_come_with_the_mend(y: np.ndarray, mend: str) -> None:
    model = Compiler.from_text("input 2x2x1\nflatten -> dense 4\n").model
    with pytest.raises(DataError) as caught:
        target_dtype(model, dataset_of_arrays(X, y, input_shape=(2, 2, 1)).train)
    assert mend in caught.value.hint
    mended = eval(mend, {"y": y, "numpy": np})
    assert target_dtype(model, dataset_of_arrays(X, mended, input_shape=(2, 2, 1)).train) == "i32"
    other = dataset_of_arrays(X, y + 0.5, input_shape=(2, 2, 1)).train
    with pytest.raises(DataError, match="loss mse"):
        target_dtype(model, other)


@pytest.mark.parametrize("values", [(0, 10, 20, 30), (-3, -1, 1, 3)])
def test_as_many_numbers_as_classes_are_numbered_by_the_mend(values: tuple[int, ...]) -> None:
    y = np.array(values)[Y]
    assert "numpy.unique(y_train, return_inverse=True)[1]" in refused(y).hint
    dataset_of_arrays(X, np.unique(y, return_inverse=True)[1], input_shape=(2, 2, 1), classes=4)


def test_floats_that_are_no_class_numbers_are_not_cut_by_the_mend() -> None:
    assert "int64" not in refused(Y + 0.5).hint
