"""What counts as white, which arrays are pictures, and which pixels a trained net can be asked about."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from cnnspec.errors import DataError
from cnnspec.runtime.data import dataset_of_arrays, pixels
from cnnspec.runtime.data.pixels import PixelScale, as_pixels, differs, white_as_trained

RNG = np.random.default_rng(0)
SHAPE = (4, 3, 2)
X = RNG.integers(0, 256, (20, *SHAPE), dtype=np.uint8)
X[0, 0, 0] = 0, 255


def refused(x: object, shape: tuple[int, ...] = SHAPE, **more: object) -> DataError:
    with pytest.raises(DataError) as caught:
        as_pixels(x, shape, **more)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(
    ("x", "white", "text"),
    [
        (X, 255, "uint8 from 0 to 255"),
        (X.astype(np.int64), 255, "int64 from 0 to 255"),
        (X.astype(">u2"), 255, "uint16 from 0 to 255"),
        (X.tolist(), 255, "int64 from 0 to 255"),
        (X > 127, 1, "bool from 0 to 1"),
        (X.astype(np.float16), 1, "float16 from 0 to 255"),
        ((X / 255).astype(">f4"), 1, "float32 from 0 to 1"),
    ],
    ids=str,
)
def test_what_counts_as_white(x: object, white: float, text: str) -> None:
    values, scale = as_pixels(x, SHAPE)
    assert (scale.white, scale.text) == (white, text)
    assert (values == np.asarray(x)).all()
    assert values.dtype == np.uint8 or values.dtype.kind == "f"


@pytest.mark.parametrize(
    ("x", "mend"),
    [
        (X.astype(np.uint16) * 257, "(x / 65535).astype(numpy.float32), if 65535 is white"),
        (X.astype(np.uint16) * 16, "(x / 4095).astype(numpy.float32), if 4095 is white"),
        (X.astype(np.int16) * 4, "(x / 1023).astype(numpy.float32), if 1023 is white"),
        (X.view(np.int8), "(x.astype(numpy.float32) + 128) / 255, if -128 is black and 127 white"),
        (X.astype(np.int64) << 40, "(x / WHITE).astype(numpy.float32)"),
    ],
)
def test_integers_that_are_no_bytes_are_refused_with_a_mend_that_keeps_the_picture(x: np.ndarray, mend: str) -> None:
    if x.dtype == np.int8:
        x = x.copy()
        x[0, 0, 0] = -128, 127
    error = refused(x)
    assert mend in error.hint and "floats keep the picture" in error.hint
    code = error.hint.split(": ")[1].split(", if")[0].split(", with")[0].replace("WHITE", "(255 << 40)")
    mended, scale = as_pixels(eval(code, {"x": x, "numpy": np}), SHAPE)  # the advice, taken as it stands
    assert mended.dtype == np.float32 and 0 <= scale.low < scale.high <= 1
    assert len(np.unique(mended)) == len(np.unique(x))


@pytest.mark.parametrize(
    ("x", "shape", "mend"),
    [
        (np.moveaxis(X, -1, 1), SHAPE, "numpy.moveaxis(x, 1, -1)"),
        (np.moveaxis(X, 0, -1), SHAPE, "numpy.moveaxis(x, -1, 0)"),
        (X.reshape(20, -1), SHAPE, "x.reshape(-1, 4, 3, 2)"),
        (X[0], SHAPE, "x[None]"),
        (np.concatenate([X, X], axis=-1)[:, :, :, :4], (4, 3, 3), "x[..., :3]"),
        (X[..., :1], (4, 3, 3), "numpy.repeat(x, 3, axis=-1)"),
        (X[..., 0], (4, 3, 3), "numpy.repeat(x[..., None], 3, axis=-1)"),
    ],
    ids=["channels first", "samples last", "flat", "one", "alpha", "grey", "grey without axis"],
)
def test_axes_in_another_order_come_with_the_mend(x: np.ndarray, shape: tuple[int, ...], mend: str) -> None:
    error = refused(x, shape)
    assert mend in error.hint
    mended, _ = as_pixels(eval(mend, {"x": x, "numpy": np}), shape)
    assert mended.shape[1:] == shape
    if shape == SHAPE:
        assert (mended == (X[:1] if len(mended) == 1 else X)).all()


def test_channels_first_of_another_size_names_both_mends() -> None:
    error = refused(np.zeros((5, 3, 32, 28), np.uint8), (28, 28, 3))
    assert "numpy.moveaxis(x, 1, -1)" in error.hint and "input 32x28x3" in error.hint


@pytest.mark.parametrize("x", [X.astype(np.complex64), X.astype(str), X.astype(object), np.zeros((20, 4), "M8[s]")])
def test_what_is_no_number(x: np.ndarray) -> None:
    assert refused(x).found == str(x.dtype)


def test_ragged_lists_and_empty_arrays() -> None:
    assert "equal lengths" in refused([[1, 2], [3]]).expected
    assert refused(X[:0]).message == "the array holds no image"
    assert as_pixels(X[:0], SHAPE, one=True)[0].shape == (0, *SHAPE)  # a prediction of nothing


def test_masked_values_are_not_shown() -> None:
    masked = np.ma.masked_array(X, X > 400)
    assert as_pixels(masked, SHAPE)[1].white == 255
    masked[3, 2, 1, 0] = np.ma.masked
    error = refused(masked)
    assert error.field == "x[3, 2, 1, 0]" and "x.filled(0)" in error.hint


def test_an_array_of_another_library_that_does_not_want_to_be_one() -> None:
    class Tensor:
        def __array__(self, *args: object, **more: object) -> np.ndarray:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach() instead.")

    assert "requires grad" in refused(Tensor()).message


def test_one_picture_where_it_may_be_one() -> None:
    assert as_pixels(X[0], SHAPE, one=True)[0].shape == (1, *SHAPE)
    grey = (4, 3, 1)
    for x, n in ((X[0, ..., 0], 1), (X[0, ..., :1], 1), (X[..., 0], 20), (X[..., :1], 20)):
        assert as_pixels(x, grey, one=True)[0].shape == (n, *grey)
    assert "numpy.moveaxis(x, 0, -1)" in refused(np.moveaxis(X[0], -1, 0), one=True).hint


def test_a_large_array_is_judged_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    x = X.astype(np.float32)
    x[17, 2, 1, 1] = np.nan
    monkeypatch.setattr(pixels, "PIECE_NBYTES", 3 * x[0].nbytes)
    assert refused(x).field == "x[17, 2, 1, 1]"
    x[17, 2, 1, 1] = 999
    assert as_pixels(x, SHAPE)[1].high == 999


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, bool])
def test_a_mapped_array_is_sampled_and_stays_mapped(tmp_path: Path, order: str, dtype: type) -> None:
    x = np.asarray(X.astype(dtype), order=order)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    values, scale = as_pixels(mapped, SHAPE)
    assert isinstance(values, np.memmap)
    assert scale == as_pixels(x, SHAPE)[1]


def test_integers_of_a_mapped_array_are_judged_when_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = X.astype(np.uint16)
    x[13, 1, 1, 1] = 300
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    monkeypatch.setattr(pixels, "value_range", lambda _: (0, 255))  # as where the sample does not meet the value
    data = dataset_of_arrays(mapped, np.arange(20) % 2, input_shape=SHAPE)
    np.testing.assert_allclose(data.train.batch(np.array([3]))[0], X[[3]] / 255, rtol=1e-6)
    with pytest.raises(DataError, match="sample 13") as caught:
        data.train.batch(np.array([2, 13]))
    assert caught.value.found == "300"


# ---- the scale of the training set ------------------------------------------------------------------
BYTES = PixelScale()
UNIT = PixelScale(1, 0, 1, "float32")
SIGNED = PixelScale(1, -1, 1, "float32")
STANDARD = PixelScale(1, -0.42, 2.82, "float32")
RAW = PixelScale(1, 0, 255, "float64")
DIGITS = PixelScale(16, 0, 16, "uint8")


@pytest.mark.parametrize(
    ("given", "trained", "white"),
    [
        (BYTES, BYTES, 255),
        (BYTES, UNIT, 255),
        (BYTES, RAW, 1),  # bytes that nobody divided, then as now
        (BYTES, DIGITS, 255),
        (DIGITS, DIGITS, 16),
        (PixelScale(255, 0, 12, "uint8"), DIGITS, 16),
        (UNIT, BYTES, 1),
        (UNIT, DIGITS, 1),
        (UNIT, UNIT, 1),
        (SIGNED, SIGNED, 1),
        (PixelScale(1, 0, 0.5, "float32"), SIGNED, 1),
        (PixelScale(1, -4, 9, "float32"), STANDARD, 1),
        (RAW, RAW, 1),
        (PixelScale(1, 0, 0, "float32"), RAW, 1),  # a black picture
        (PixelScale(1, 0, 1, "bool"), BYTES, 1),
        (BYTES, PixelScale(1, 0, 1, "bool"), 255),
    ],
)
def test_pixels_that_a_net_can_be_asked_about(given: PixelScale, trained: PixelScale, white: float) -> None:
    assert white_as_trained(given, trained) == white


@pytest.mark.parametrize(
    ("given", "trained", "mend"),
    [
        (BYTES, SIGNED, "make floats"),
        (BYTES, STANDARD, "make floats"),
        (RAW, BYTES, "x / 255"),
        (RAW, UNIT, "x / 255"),
        (RAW, SIGNED, ""),
        (UNIT, RAW, "x * 255"),
        (PixelScale(1, 0, 16, "float64"), DIGITS, "x / 16"),  # as scikit-learn has them
        (PixelScale(1, 0, 40, "float64"), BYTES, "x / 255"),
        (SIGNED, BYTES, "normalize"),
        (STANDARD, UNIT, "normalize"),
    ],
)
def test_pixels_on_another_scale_are_refused(given: PixelScale, trained: PixelScale, mend: str) -> None:
    with pytest.raises(DataError, match="another scale") as caught:
        white_as_trained(given, trained)
    assert (caught.value.found, mend in caught.value.hint) == (given.text, True)
    assert trained.text in caught.value.expected


def test_a_picture_file_is_white_at_255_also_for_a_net_of_digits() -> None:
    dark = PixelScale(255, 0, 12, "uint8")
    assert (white_as_trained(dark, DIGITS), white_as_trained(dark, DIGITS, picture=True)) == (16, 255)


def test_as_pixels_follows_the_training_set() -> None:
    assert as_pixels(X, SHAPE, trained=RAW)[1].white == 1
    assert "another scale" in refused(X, trained=SIGNED).message
    assert "x / 255" in refused(X.astype(float), trained=BYTES).hint


def test_a_scale_survives_json_and_anything_else_is_none() -> None:
    assert PixelScale.from_dict(asdict(STANDARD)) == STANDARD
    bad: list[object] = [None, 3, [], {}, {"white": "x"}, {**asdict(STANDARD), "white": 0}]
    bad += [{**asdict(STANDARD), "low": float("nan")}, {**asdict(STANDARD), "high": True}]
    assert [PixelScale.from_dict(content) for content in bad] == [None] * len(bad)


# ---- parts of one data set --------------------------------------------------------------------------
Y = np.arange(20) % 2


def test_a_test_set_on_another_scale_is_refused() -> None:
    for x, x_test in ((X, X.astype(np.float32)), (X / 255, X.astype(np.float64)), (X / 127.5 - 1, X)):
        with pytest.raises(DataError, match="another scale") as caught:
            dataset_of_arrays(x, Y, test=(x_test, Y), input_shape=SHAPE)
        assert caught.value.field == "x_test"


def test_a_test_set_of_another_dtype_on_the_same_scale_is_read_alike() -> None:
    for x, x_test in ((X, X / 255), (X / 255, X), (X.astype(np.float32), X)):
        data = dataset_of_arrays(x, Y, test=(x_test, Y), input_shape=SHAPE)
        every = np.arange(20)
        assert data.test is not None and data.scale.dtype == str(x.dtype)
        np.testing.assert_allclose(data.test.batch(every)[0], data.train.batch(every)[0], rtol=1e-6, atol=1e-7)


def test_ranges_that_may_be_meant_so_are_told() -> None:
    assert "differ in scale" in differs(UNIT, STANDARD, "x_test")
    assert "differ in scale" in differs(PixelScale(1, -90, 90, "float32"), STANDARD, "x_test")
    assert differs(PixelScale(1, -0.42, 2.5, "float32"), STANDARD, "x_test") == ""
    data = dataset_of_arrays((X - 128.0) / 60, Y, test=(X / 255, Y), input_shape=SHAPE)
    assert "x_test (float64 from 0 to 1)" in data.notes[0]


def test_a_training_set_that_is_not_near_0_to_1_is_told() -> None:
    def notes(x: np.ndarray) -> tuple[str, ...]:
        return dataset_of_arrays(x, Y, input_shape=SHAPE).notes

    assert notes(X) == notes(X / 255) == notes(X > 9) == notes(X / 127.5 - 1) == ()
    assert "x_train / 255" in notes(X.astype(float))[0]
    assert "bytes of 0 and 1" in notes((X > 9).astype(np.uint8))[0]


def test_bools_and_positive_floats_for_a_net_of_signed_ones() -> None:
    trained = PixelScale(1.0, -1.0, 1.0, "float32")
    assert "another scale" in str(refused(X > 127, trained=trained))
    given = PixelScale(1.0, 0.0, 1.0, "float32")
    assert white_as_trained(given, trained) == 1
    assert pixels.stays_above(given, trained) and not pixels.stays_above(trained, given)


def test_all_that_is_taken_is_named_where_a_dtype_is_not() -> None:
    assert "integers from 0 to 255, bools" in str(refused(X.astype(str)))
