from __future__ import annotations

import pytest

from cnnspec.text import (
    bar,
    coming,
    count,
    duration,
    listed,
    percent,
    short,
    shorten,
    size,
    span_of_time,
    table,
    to_json,
)


def test_table_aligns_columns_and_shortens_the_one_that_gives_way() -> None:
    rows = [("stage1.basic1.residual.conv1", "9,408"), ("fc", "1")]
    assert table(("Layer", "Param #"), rows, "lr") == [
        "Layer                         Param #",
        "stage1.basic1.residual.conv1    9,408",
        "fc                                  1",
    ]
    narrow = table(("Layer", "Param #"), rows, "lr", width=25)
    assert narrow[1] == "stage...al.conv1    9,408"
    assert max(map(len, narrow)) <= 25


def test_shorten_keeps_the_end_which_tells_layers_apart() -> None:
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert shorten("abcdefghijk", 9) == "ab...hijk"
    assert len(shorten("x" * 99, 17)) == 17


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12, "12"),
        (999, "999"),
        (1000, "1.00 k"),
        (999_600, "1.00 M"),
        (1_814_073_344, "1.81 G"),
        (0.5, "0.50"),
    ],
)
def test_short_numbers_have_three_digits(value: float, text: str) -> None:
    assert short(value) == text


def test_many_names_are_cut_and_counted() -> None:
    assert listed(iter("ab")) == "a, b" and listed([]) == ""
    assert listed("abc", 3) == "a, b, c" and listed("abcde", 3) == "a, b, c and 2 more"


def test_units() -> None:
    assert short(2.5e9, "FLOP/s") == "2.50 GFLOP/s"
    assert count(11_689_512) == "11,689,512"
    assert size(46_758_048) == "44.6 MiB"
    assert size(12) == "12 B"
    assert percent(0.98061) == "98.06 %"
    assert percent(None) == "-"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.04 s"),
        (0.96, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (42, "42 s"),
        (187, "3:07"),
        (3723, "1:02:03"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.0, "2.00 s"), (1.24e-3, "1.24 ms"), (8.7e-5, "87.0 us"), (3e-8, "30 ns")]
)
def test_spans_of_time(seconds: float, text: str) -> None:
    assert span_of_time(seconds) == text


def test_bar_stays_inside_its_cells() -> None:
    assert bar(0.5, 4, empty="-") == "━━--"
    assert bar(1.7, 4) == "━━━━"
    assert bar(-1, 4) == ""


def test_json_keeps_plain_lists_on_one_line_and_stays_json() -> None:
    import json

    value = {
        "a": [1, 2, [3, 4]],
        "b": [{"c": ["x, [y]\n", "z"]}],
        "d": [],
        "e": float("nan"),
        "f": (1.5, None),
    }
    text = to_json(value)
    assert json.loads(text) == {**value, "e": None, "f": [1.5, None]}
    assert "[3, 4]" in text
    assert '["x, [y]\\n", "z"]' in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "a moment"),
        (1, "a moment"),
        (3.4, "about 3 s"),
        (19.9, "about 20 s"),
        (47, "about 45 s"),
        (88, "about 1 min"),
        (200, "about 3 min"),
    ],
)
def test_a_time_to_come_is_no_finer_than_it_is_known(seconds: float, text: str) -> None:
    assert coming(seconds) == text
