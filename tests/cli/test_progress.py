"""What a terminal shows while a net trains, read from a pseudo-terminal as a screen would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pty = pytest.importorskip("pty")

SPEC = """\
input 8x8x1
flatten
dense classes
data { source digits }
train { epochs 3 }
"""


def screen(written: str) -> list[str]:
    """Return the lines that stay: a carriage return goes back to the start, ``ESC [ 2 K`` empties the line."""
    lines = []
    for line in written.replace("\r\n", "\n").split("\n"):
        line = line.rpartition("\x1b[2K")[2]
        lines.append(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", line))
    return lines


def test_epochs_stand_on_lines_of_their_own_above_the_live_line(tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(SPEC)
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "cnnspec", "train", "net.cnn"],
        cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True,
        env={**environment, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
    )  # fmt: skip
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 65536):
            written += part
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(ours)
    assert process.wait() == 0
    text = written.decode()
    lines = screen(text)
    assert [line[:9] for line in lines if re.search(r"\d\.\d{4} +\d+\.\d\d %", line)] == [
        "    1/3  ",
        "    2/3  ",
        "    3/3  ",
    ]
    assert "epoch 1/3" in text or "getting ready" in text  # a live line was drawn
    assert not [line for line in lines if "getting ready" in line or line.startswith("epoch ")]


@pytest.mark.parametrize(("epochs", "steps"), [(12, 41), (400, 41), (400, 10_000)])
def test_the_live_line_has_its_bar_in_80_columns(monkeypatch: pytest.MonkeyPatch, epochs: int, steps: int) -> None:
    from types import SimpleNamespace

    from cnnspec.cli.progress import TrainingView

    monkeypatch.setenv("COLUMNS", "80")
    view = TrainingView(quiet=True)
    view.info = SimpleNamespace(epochs=epochs, steps_per_epoch=steps)  # type: ignore[assignment]
    for accuracy in (0.1, 1.0):
        view.on_step(12, steps // 2, steps, 100_000, 2.3026, accuracy, 1.0)
        assert len(view.state) <= 80
        assert view.state.count("━") + view.state.count("┄") >= 8
