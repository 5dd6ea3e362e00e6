"""Terminals from 60 to 200 columns: no line is wider, and nothing is cut that need not be."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from terminal import in_a_terminal

from cnnspec.cli import render
from cnnspec.cli.bench import fitting
from cnnspec.cli.eval import confusion_table
from cnnspec.errors import DataError
from cnnspec.text import as_tree, columns, fold

Run = Callable[..., Any]
WIDTHS = (60, 80, 100, 120, 200)
SPECS = Path(__file__).resolve().parent.parent.parent / "specs"
WRONG = """\
input 32x32x16   # a comment that is rather long, so that the source line is wider than sixty columns are
conv 8 3x3 stride=2 pad=sane                                                     -> rleu
residual { conv 32 3x3 stride=2 -> bn }
flatten -> dense 10
data { source digitz }
"""


@pytest.fixture(params=WIDTHS)
def wide(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A terminal of so many columns, as commands see it."""
    monkeypatch.setattr(render, "terminal_width", lambda *, stderr=False: request.param)
    return int(request.param)


def test_no_line_is_wider_than_the_terminal(cli: Run, room: Path, wide: int) -> None:
    (room / "wrong.cnn").write_text(WRONG)
    (room / "resnet.cnn").write_text((SPECS / "zoo" / "resnet20.cnn").read_text())  # under a short name
    for command in (
        ("check", "wrong.cnn"),
        ("summary", "resnet.cnn"),
        ("summary", "net.cnn"),
        ("train", "net.cnn"),
        ("eval", "run", "--confusion"),
        ("bench", "run", "--repeats", "1"),
        ("train", "nosuch.cnn"),
        ("layers",),
        ("help",),
        ("help", "residual"),
        ("help", "learning", "rate"),
        ("layers", "dense"),
        ("layers", "folders"),
    ):
        result = cli(*command)
        written = (result.out + result.err).splitlines()
        assert written
        over = [line for line in written if columns(line) > wide and not re.match(r"(next:)? +cnnspec |\\S+$", line)]
        assert not over, command


def test_predictions_shorten_names_only_where_there_is_no_room(
    cli: Run, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    names = ["a.png", f"{'long' * 12}.png", f"{'longer' * 12}.png"]
    for name in names:
        Image.new("L", (8, 8)).save(name)
    for width in (*WIDTHS, None):
        monkeypatch.setattr(render, "terminal_width", lambda *, stderr=False, width=width: width)
        for more in (("--top", "1"), ("--top", "3")):
            lines = cli("predict", "run", *names, *more).out.splitlines()
            assert width is None or all(len(line) <= width for line in lines if line not in names)
            assert all(line.endswith(" %") for line in lines if line not in names)
            if more == ("--top", "1"):
                assert [name in line for name, line in zip(names, lines, strict=True)] == [
                    True, width not in (60,), width not in (60, 80),
                ]  # fmt: skip
                assert len({len(line) for line in lines}) == 1  # in columns


def test_the_list_of_layers_cuts_no_sentence_that_fits(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = []
    for width in WIDTHS:
        monkeypatch.setattr(render, "terminal_width", lambda *, stderr=False, width=width: width)
        cut.append(sum(line.endswith(" ...") for line in cli("layers").out.splitlines()))
    assert cut == sorted(cut, reverse=True)
    assert cut[-1] == 0


def test_words_and_commands_are_never_broken() -> None:
    line = "  fix: run  cnnspec train --resume runs/flowers-20260102-030405  to go on at 95.82 % in 3 s"
    for width in WIDTHS:
        parts = fold(line, width, 7)
        assert " ".join(" ".join(parts).split()) == " ".join(line.split())
        assert all(part.startswith(" " * 7) for part in parts[1:])
        assert not [part for part in parts if re.match(r"\s*(%|s)(\s|$)", part)]
    assert fold("a" * 100, 60) == ["a" * 100]


def test_errors_are_folded_in_a_terminal_and_whole_in_a_pipe(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    error = DataError("is " + "long " * 30, path="net.cnn", expected="b " * 60, hint="c " * 60)
    for width in WIDTHS:
        monkeypatch.setattr(render, "terminal_width", lambda *, stderr=False, width=width: width)
        with render.console(stderr=True).capture() as written:
            render.print_error(error)
        assert max(map(len, written.get().splitlines())) <= width
    monkeypatch.setattr(render, "terminal_width", lambda *, stderr=False: None)
    with render.console(stderr=True).capture() as written:
        render.print_error(error)
    assert len(written.get().splitlines()) == 3


@pytest.mark.parametrize("width", WIDTHS)
def test_a_confusion_matrix_has_its_names_where_there_is_room(width: int) -> None:
    names = ["chanterelle", "fly_agaric", "puffball", "king_bolete", "morel", "death_cap", "honey_fungus", "oyster"]
    matrix = np.full((8, 8), 12)
    lines = confusion_table(matrix, names, width)
    assert lines is not None
    assert max(map(len, lines)) <= width
    assert "..." not in "".join(lines)
    if width >= 120:
        assert lines[0].split()[3:-1] == names
    else:
        assert lines[0].split()[3:-1] == list("01234567")
        assert lines[1].startswith("0 chanterelle ")


def test_a_confusion_matrix_of_many_classes_needs_a_wide_terminal() -> None:
    names = [f"class{i:03}" for i in range(40)]
    assert confusion_table(np.eye(40, dtype=int), names, 80) is None
    lines = confusion_table(np.eye(40, dtype=int), names, 200)
    assert lines is not None
    assert max(map(len, lines)) <= 200


def test_layers_in_a_tree_keep_their_names() -> None:
    rows = [("stem.conv", "1"), ("stage1.a.conv1 3x3 p=0.5", "2"), ("stage1.a.bn1", "3"), ("stage1.b.bn1", "4")]
    assert [row[0] for row in as_tree(rows)] == [
        "stem", " conv", "stage1", " a", "  conv1 3x3 p=0.5", "  bn1", " b", "  bn1",
    ]  # fmt: skip


def test_a_profile_leaves_out_columns_before_names() -> None:
    head = ("Layer", *("forward", "GFLOP/s", "peak", "MB") * 2)
    rows = [("stage1.basic1.residual.conv1", *("15.4 us", "1,230", "45 %", "0.32") * 2)]
    narrow, tree, flat = (fitting(head, rows, width) for width in (50, 70, 120))
    assert flat[1].startswith("stage1.basic1.residual.conv1 ")
    assert [line.split()[0] for line in tree[1:]] == ["stage1", "basic1", "residual", "conv1"]
    assert "GFLOP/s" in tree[0]
    assert "GFLOP/s" not in narrow[0] and "peak" in narrow[0]
    assert max(map(len, narrow)) <= 50


def test_a_layer_that_sees_the_whole_picture_says_so(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text("input 9x9x1\nconv 2 3x5\nconv 2 3x5\nflatten -> dense 2\n")
    sees = [line.split()[-2] for line in cli("summary", "net.cnn").out.splitlines()[4:8]]
    assert sees == ["3x5", "5x9", "5x9", "all"]


@pytest.mark.parametrize("width", [60, 200])
def test_a_real_terminal(room: Path, width: int) -> None:
    code, drawn = in_a_terminal(["check", "net.cnn", "--set", "nosuch=1"], room, columns=width)
    assert code == 1
    plain = re.sub(r"\x1b\[[0-9;]*m", "", drawn).splitlines()
    assert len(plain[0]) <= width
    assert max(map(len, plain)) <= width


def test_a_folded_diagnostic_keeps_its_gutter_and_its_place_in_sight() -> None:
    from cnnspec.compiler import Compiler
    from cnnspec.errors import SpecError

    with pytest.raises(SpecError) as caught:
        assert Compiler.from_text(WRONG).model
    for d in caught.value.diagnostics:
        for width in WIDTHS:
            lines = d.render(width).split("\n")
            assert max(map(columns, lines)) <= width
            place = next(i for i, line in enumerate(lines) if line.endswith(str(d.span)))
            assert len(lines[place]) <= 100
            code = next(i for i, line in enumerate(lines) if re.match(r" +\d+ \| ", line))
            after = [line for line in lines[code:] if not line.startswith(("  fix:", "       ", "  in "))]
            bars = {line.index("|") for line in after}
            assert len(bars) == 1
        assert d.render(10**6).split("\n")[1:] == d.render().split("\n")[1:]
