"""The program in a terminal, as tests see it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def in_a_terminal(
    arguments: list[str], cwd: Path, columns: int = 80, program: tuple[str, ...] = ("-m", "cnnspec"), **variables: str
) -> tuple[int, str]:
    """Run the program in a terminal of so many columns; return its exit code and all that it drew."""
    pty = pytest.importorskip("pty")
    import fcntl
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR", "COLUMNS")}
    environment |= {"TERM": "xterm-256color", **variables}
    command = [sys.executable, *program, *arguments]
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
