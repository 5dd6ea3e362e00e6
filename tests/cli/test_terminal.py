"""Commands in a terminal: live lines, colours, and terminals that have neither."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import SPEC

Run = Callable[..., Any]


def in_a_terminal(arguments: list[str], cwd: Path, **variables: str) -> tuple[int, str]:
    """Run the program in a terminal of 80 columns; return its exit code and all that it drew."""
    pty = pytest.importorskip("pty")
    import fcntl
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR", "COLUMNS")}
    environment |= {"TERM": "xterm-256color", **variables}
    command = [sys.executable, "-m", "cnnspec", *arguments]
    process = subprocess.Popen(command, cwd=cwd, env=environment, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    drawn = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # the other end was closed
            break
        if not piece:
            break
        drawn += piece
    os.close(master)
    return process.wait(), drawn.decode()


def test_a_terminal_shows_a_live_line_that_is_gone_in_the_end(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(SPEC)
    code, drawn = in_a_terminal(["train", "net.cnn", "--epochs", "12"], tmp_path)
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
