"""Commands in a terminal: live lines, colours, and terminals that have neither."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contrast import contrast
from terminal import in_a_terminal
from tiny import SPEC

Run = Callable[..., Any]


def test_a_terminal_shows_a_live_line_that_is_gone_in_the_end(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(SPEC)
    code, drawn = in_a_terminal(
        ["train", "net.cnn", "--epochs", "12"], tmp_path, COLUMNS="110"
    )  # room for a bar and more
    assert code == 0
    assert re.search(r"epoch \d+/12.*━.*loss.*images/s.*left", drawn)
    assert "\x1b[2K" in drawn  # the line is erased before it is drawn again
    assert re.search(r"test accuracy  \d", drawn)


def test_no_color_leaves_the_words(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text("input 8x8x1\nconv 8 3x3 -> rleu\n")
    plain = in_a_terminal(["check", "net.cnn"], tmp_path, NO_COLOR="1")
    coloured = in_a_terminal(["check", "net.cnn"], tmp_path)
    assert plain[0] == coloured[0] == 1
    assert "\x1b[31m" not in plain[1]
    assert "\x1b[" in coloured[1]
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured[1]) == re.sub(r"\x1b\[[0-9;]*m", "", plain[1])
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", plain[1]).splitlines())) <= 80


def test_a_dumb_terminal_gets_plain_lines(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(SPEC)
    code, drawn = in_a_terminal(["train", "net.cnn"], tmp_path, TERM="dumb")
    assert code == 0
    assert "\x1b" not in drawn
    assert re.search(r"^ +2/2 ", drawn, re.MULTILINE)


def test_each_colour_can_be_read_on_black_and_on_white() -> None:
    from cnnspec.cli.render import COLOURS

    levels = (0, 95, 135, 175, 215, 255)  # of the cube of xterm's palette
    for name, number in COLOURS.items():
        assert 16 <= number <= 255, name  # the sixteen below are as the terminal likes
        cube = number - 16
        grey = 8 + 10 * (number - 232)
        rgb = (grey,) * 3 if number >= 232 else (levels[cube // 36], levels[cube // 6 % 6], levels[cube % 6])
        colour = "#{:02x}{:02x}{:02x}".format(*rgb)
        assert contrast(colour, "#ffffff") >= 3 and contrast(colour, "#000000") >= 3, name


def test_a_style_is_bold_or_nothing_where_the_terminal_chooses_its_colours(tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text("input 8x8x1\nconv 8 3x3 -> rleu\n")
    drawn = in_a_terminal(["check", "net.cnn"], tmp_path, TERM="vt100", COLORTERM="")[1]
    assert "\x1b[1m" in drawn
    assert not re.search(r"\x1b\[(\d+;)*(3|4|9)\d", drawn)
    drawn = in_a_terminal(["check", "net.cnn"], tmp_path)[1]
    assert re.search(r"\x1b\[1;38;5;160m", drawn)


WARNS = """
import sys, warnings, cnnspec
from cnnspec.cli import render
from cnnspec.cli.progress import TrainingView

class View(TrainingView):
    def on_epoch(self, row):
        super().on_epoch(row)
        warnings.warn(f"one of Python in {row['epoch']}")
        render.note("one of ours")
        print("one of the user")

with View() as view:
    cnnspec.load("net.cnn").train(reporter=view)
"""


def test_what_others_print_stands_above_the_live_line(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(SPEC)
    code, drawn = in_a_terminal(["-c", WARNS], tmp_path, program=())
    assert code == 0
    lines = [line.rpartition("\x1b[2K")[2] for line in drawn.replace("\r\n", "\n").split("\n")]
    plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in lines]
    assert sum(bool(re.match(r"<string>:\d+: UserWarning: one of Python in [12]$", line)) for line in plain) == 2
    assert plain.count("note: one of ours") == 2
    assert plain.count("one of the user") == 2


def test_a_sign_that_the_terminal_lacks_has_a_simpler_one(tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text("input 8x8x1 -> flatten -> dense 2\n")
    drawn = in_a_terminal(["summary", "net.cnn"], tmp_path, PYTHONIOENCODING="cp1252", PYTHONUTF8="0")[1]
    assert re.search(r"^-{20,}\r?$", re.sub(r"\x1b\[[0-9;]*m", "", drawn), re.MULTILINE)
    assert "?" not in drawn


def test_the_cursor_is_shown_while_a_live_line_stands(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(SPEC)
    drawn = in_a_terminal(["train", "net.cnn"], tmp_path)[1]
    shown = [sign[0] == "h" for sign in re.findall(r"\x1b\[\?25([lh])", drawn)]
    assert shown and all(shown[1::2])
    assert re.search(r"\x1b\[\?25l\x1b\[\?25h|\x1b\[\?25l[^\n]{0,80}\x1b\[\?25h", drawn)  # a kill would leave it so
