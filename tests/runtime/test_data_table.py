"""Tables of pixels: Kaggle's digit files, those of MNIST, and what is no table."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from cnnspec.errors import DataError
from cnnspec.model.settings import Csv, DataSettings
from cnnspec.runtime.data import Dataset, open_data, table
from cnnspec.runtime.data import split as limits

RNG = np.random.default_rng(0)
SHAPE = (4, 3, 1)
X = RNG.integers(0, 256, (20, 4, 3, 1))
Y = np.arange(20) % 4
HEADER = ["label", *(f"pixel{i}" for i in range(12))]


def text(
    x: np.ndarray = X, y: object = Y, header: list[str] | None = HEADER, sep: str = ",", at: int = 0, end: str = "\n"
) -> str:
    rows = [list(map(str, row)) for row in x.reshape(len(x), -1).tolist()]
    if y is not None:
        for row, label in zip(rows, np.asarray(y).tolist(), strict=True):
            row.insert(at, str(label))
    return "".join(sep.join(row) + end for row in ([header] if header else []) + rows)


def open_csv(path: Path, shape: tuple[int, ...] = SHAPE, classes: int | None = 4, **more: object) -> Dataset:
    return open_data(DataSettings(Csv(str(path), **more)), shape, classes)  # type: ignore[arg-type]


def refused(path: Path, *args: object, **more: object) -> DataError:
    with pytest.raises(DataError) as caught:
        open_csv(path, *args, **more)  # type: ignore[arg-type]
    return caught.value


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text(text())
    return tmp_path / "train.csv"


def test_the_label_comes_first_and_a_row_is_an_image(file: Path) -> None:
    data = open_csv(file)
    x, y = data.train.batch(np.array([3, 19]))
    np.testing.assert_allclose(x, X[[3, 19]] / 255, rtol=1e-6)
    assert list(y) == [3, 3] and y.dtype == np.int32
    assert data.scale.text == "uint8 from 0 to 255" and data.test is None
    assert "nothing will be tested" in data.notes[0]


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        (text(header=None), {}),
        (text(sep=";", end="\r\n"), {}),
        (text(sep="\t"), {}),
        ("\ufeff" + text(), {}),
        (text().replace("\n", "\n\n"), {}),
        (text().rstrip("\n"), {}),
        (text(header=[f'"{name}"' for name in HEADER]), {}),
        (text(X.astype(float)), {}),
        (text(at=12, header=[*HEADER[1:], "class"]), {}),
        (text(at=12, header=[*HEADER[1:], "digit"]), {"label": "digit"}),
        (text(at=12, header=[*HEADER[1:], "digit"]), {"label": "-1"}),
        (text(at=5, header=None), {"label": "5"}),
        (text(y=Y + 1), {"first": 1}),
        (text(X.swapaxes(1, 2)), {"transpose": True}),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value),
)
def test_as_people_write_them(tmp_path: Path, content: str, settings: dict[str, object]) -> None:
    for name, written in (("t.csv", content.encode()), ("t.csv.gz", gzip.compress(content.encode()))):
        (tmp_path / name).write_bytes(written)
        data = open_csv(tmp_path / name, **settings)
        np.testing.assert_allclose(data.train.batch(np.arange(20))[0], X / 255, rtol=1e-6)
        assert list(data.train.labels) == list(Y)


def test_a_table_of_emnist_is_told_to_lie_by_columns(tmp_path: Path) -> None:
    (tmp_path / "emnist-letters-train.csv").write_text(text())
    assert any("transpose=yes" in note for note in open_csv(tmp_path / "emnist-letters-train.csv").notes)


def test_tables_to_validate_and_to_test_on(tmp_path: Path, file: Path) -> None:
    (tmp_path / "more.csv").write_text(text(X[:5], Y[:5]))
    data = open_csv(file, val=str(tmp_path / "more.csv"), test=str(tmp_path / "more.csv"))
    assert data.val is not None and data.test is not None
    assert (len(data.train), len(data.val), len(data.test), data.notes) == (20, 5, 5, ())
    assert Csv("a", val="b").own_validation and not Csv("a").own_validation


def test_floats_are_used_as_they_are_and_pieces_of_several_kinds_are_one_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = X / 255
    x[:10] = x[:10] > 0.5  # whole numbers, as bytes are
    monkeypatch.setattr(table, "CHUNK", 100)
    (tmp_path / "t.csv").write_text(text(x))
    data = open_csv(tmp_path / "t.csv")
    np.testing.assert_allclose(data.train.batch(np.arange(20))[0], x, rtol=1e-6)
    assert data.scale.dtype == "float32"
    (tmp_path / "t.csv").write_text(text(X * 2))
    assert "divide the pixels by 1023" in refused(tmp_path / "t.csv").hint


def test_colour_pictures(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (6, 2, 2, 3))
    (tmp_path / "t.csv").write_text(text(x, Y[:6], header=None))
    np.testing.assert_allclose(open_csv(tmp_path / "t.csv", (2, 2, 3)).train.batch(np.arange(6))[0], x / 255, rtol=1e-6)


def changed(old: str, new: str, content: str = text()) -> str:
    assert old in content
    return content.replace(old, new, 1)


LINE = text().splitlines()[3]  # the image of label 2


@pytest.mark.parametrize(
    ("content", "field", "found"),
    [
        ("", "", ""),
        ("\n\n", "", ""),
        (text().splitlines()[0], "", ""),
        (text(y=None, header=HEADER[1:]), "columns", "12, as many as an image has pixels"),
        (text(y=None, header=None), "columns", "12, as many as an image has pixels"),
        (text(X[:, :2], header=None), "columns", "7"),
        (changed(LINE, LINE.rsplit(",", 1)[0]), "line 4", "12"),
        (changed(LINE, LINE + ",1"), "line 4", "14"),
        (changed(LINE, "2" + ",x" * 12), "line 4, pixel0", "'x'"),
        (changed(LINE, "2" + ",0" * 11 + ","), "line 4, pixel11", "nothing"),
        (changed(LINE, "2" + ",0" * 11 + ",nan"), "line 4, pixel11", "'nan'"),
        (changed(LINE, "cat" + ",0" * 12), "line 4, label", "'cat'"),
        (changed(LINE, "2.5" + ",0" * 12), "line 4, label", "2.5"),
        (changed(LINE, "1e30" + ",0" * 12), "line 4, label", "1e+30"),
        (changed(LINE, "4294967299" + ",0" * 12), "label[2]", "4294967299"),
        (changed(LINE, "2" + ",0" * 11 + ",1_0"), "line 4, pixel11", "'1_0'"),
        (changed(LINE, "2" + ",0" * 11 + ",\0"), "line 4", "a NUL byte"),
        (changed(LINE, "2" + ",0" * 11 + ",\r1"), "line 4", ""),
        (text(end="\r"), "line 1", ""),
        ("label," + "x" * 200_000, "columns", "2"),
        (text(y=Y + 1), "label[3]", "4 (5 such labels)"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: str, field: str, found: str) -> None:
    (tmp_path / "t.csv").write_bytes(content.encode())
    error = refused(tmp_path / "t.csv")
    assert (error.path, error.field, error.found) == (tmp_path / "t.csv", field, found)


def test_mends(tmp_path: Path, file: Path) -> None:
    assert refused(file, (5, 5, 1)).hint == "input 2x2x3"
    (tmp_path / "t.csv").write_text(text(X.reshape(15, 4, 4, 1), Y[:15], header=None))
    assert refused(tmp_path / "t.csv").hint == "input 4x4x1"
    (tmp_path / "t.csv").write_text(changed("label,", ",label,").replace("\n", "\n0,"))
    assert "index=False" in refused(tmp_path / "t.csv").hint
    assert refused(file, label="pixle3").hint == 'label="pixel3"'
    assert "from 0 to 12" in refused(file, label="13").expected
    (tmp_path / "t.csv").write_text(text(y=Y + 1))
    assert "first=1" in refused(tmp_path / "t.csv").hint
    (tmp_path / "t.csv").write_bytes(b"PK\x03\x04" + bytes(30))
    assert "unzip" in refused(tmp_path / "t.csv").hint
    (tmp_path / "t.csv").write_bytes(b"label,\xff\n")
    assert "UTF-8" in refused(tmp_path / "t.csv").message


def test_a_table_larger_than_the_bound_and_a_line_without_end(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IN_MEMORY_NBYTES", 100)
    monkeypatch.setattr(table, "CHUNK", 100)
    assert "numpy.savez" in refused(file).hint
    monkeypatch.setattr(table, "LINE_NBYTES", 1000)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"1," * 1_000_000))
    assert refused(tmp_path / "t.csv.gz").found == "a line of more than 1,000 bytes"


def test_labels_in_the_last_column_come_with_the_mend(tmp_path: Path) -> None:
    path = tmp_path / "last.csv"
    path.write_text(text(X + (X == 0), header=None, at=12))
    error = refused(path)
    assert error.hint.startswith('label="-1"')
    assert len(open_csv(path, label="-1").train) == 20


def test_row_numbers_under_a_name_and_fields_between_spaces_are_seen(tmp_path: Path) -> None:
    rows = text(header=None).splitlines()
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["id," + ",".join(HEADER), *(f"{i},{row}" for i, row in enumerate(rows))]))
    assert "row numbers" in refused(path).hint
    path.write_text(text(header=None, sep=" "))
    assert "commas, semicolons or tabs" in refused(path).hint


def test_a_count_of_columns_that_makes_no_square_is_only_told(tmp_path: Path) -> None:
    for count, hint in ((48, "input 4x4x3"), (36, "input 6x6x1"), (50, "an input of 50 values, height x width")):
        (tmp_path / "t.csv").write_text("".join(",".join(["1"] * (count + 1)) + "\n" for _ in range(4)))
        assert refused(tmp_path / "t.csv").hint.startswith(hint)


@pytest.mark.parametrize(("change", "hint"), [(16, "divide the pixels by 4095 if"), (-1, "scale the pixels to 0..1")])
def test_whole_numbers_beyond_bytes_come_with_a_mend_for_a_table(tmp_path: Path, change: int, hint: str) -> None:
    (tmp_path / "t.csv").write_text(text(X.astype(int) * change))
    error = refused(tmp_path / "t.csv")
    assert (error.path, error.hint[: len(hint)]) == (tmp_path / "t.csv", hint)
    assert "numpy" not in str(error) and "decimal point" in error.hint
    (tmp_path / "t.csv").write_text(text(X.astype(int) * change / 4095))
    assert open_csv(tmp_path / "t.csv").scale.text.startswith("float32")
