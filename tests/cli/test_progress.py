"""What a terminal shows while a net trains, read from a pseudo-terminal as a screen would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnspec.cli import progress
from cnnspec.cli.progress import CompileView, CountView

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
        for waiting in (0.0, 0.04, 0.5):
            view.on_step(12, steps // 2, steps, 100_000, 2.3026, accuracy, 1.0, waiting)
            assert len(view.state) <= 80
            assert view.state.count("━") + view.state.count("┄") >= 8 or waiting > 0.1


def test_the_share_that_waits_for_batches_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from cnnspec.cli.progress import TrainingView

    view = TrainingView(quiet=True)
    view.info = SimpleNamespace(epochs=5, steps_per_epoch=938)  # type: ignore[assignment]
    for columns, waiting, told in (
        (120, 0.004, None), (120, 0.014, "waits 1 %"), (80, 0.014, None), (80, 0.134, "waits 13 %"), (40, 0.134, None),
    ):  # fmt: skip
        monkeypatch.setenv("COLUMNS", str(columns))
        view.on_step(1, 469, 938, 30_016, 0.5012, 0.812, 10.0, waiting)
        assert ("waits" in view.state) == (told is not None) and (told or "") in view.state


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are there, but say that they had to be compiled."""
    from cnnspec.kernels.load import load_kernels
    from cnnspec.runtime import network

    def load(names: list[str], progress: Any = None) -> dict[str, int]:
        if progress is not None:
            progress(0, 3, 31.0)
            progress(3, 3, 0.0)
        return load_kernels(names)

    monkeypatch.setattr(network, "load_kernels", load)


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "run", "--json"),
        ("predict", "run", "seven.png", "--json"),
        ("bench", "run", "--repeats", "1", "--json"),
        ("train", "net.cnn", "--epochs", "1", "--json"),
    ],
    ids=lambda command: command[0],
)
def test_who_waits_for_kernels_is_told_beside_the_results(
    cli: Callable[..., Any], room: Path, cold: None, command: tuple[str, ...]
) -> None:
    from PIL import Image

    Image.new("L", (8, 8)).save("seven.png")
    result = cli(*command)
    assert json.loads(result.out)
    assert "compiling 3 kernels (kept for later runs), about 30 s to go\ncompiled 3 kernels in " in result.err


def test_quiet_training_says_nothing_of_kernels_in_a_pipe(cli: Callable[..., Any], room: Path, cold: None) -> None:
    result = cli("train", "net.cnn", "--quiet")
    assert "compil" not in result.out + result.err


def test_the_seconds_left_fall_and_an_estimate_that_does_not_come_true_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import time

    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    compiling = CompileView(quiet=True)
    compiling(3, 20, 14.0)
    assert compiling.line() == "compiling kernels  3/20, about 14 s left"
    now += 4
    assert compiling.line() == "compiling kernels  3/20, about 10 s left"
    now += 11
    assert compiling.line() == "compiling kernels  3/20, a moment left"
    now += 60
    assert compiling.line() == "compiling kernels  3/20"
    for columns in (60, 80, 120, 200):
        assert len(compiling.line(columns)) <= columns
        assert "━" in compiling.line(columns)


def test_a_library_call_shows_kernels_only_where_somebody_looks(capfd: pytest.CaptureFixture[str]) -> None:
    with CompileView(watched=True) as view:
        view(0, 3, 9.0)
    assert capfd.readouterr() == ("", "")


def test_a_notebook_gets_plain_lines(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm-color")
    with CompileView(watched=True) as view:
        view(0, 3, 9.0)
        view(3, 3, 0.0)
    written = capfd.readouterr()
    assert written.out == ""
    assert re.fullmatch(r"compiling 3 kernels \(.*\), about 9 s to go\ncompiled 3 kernels in 0.00 s\n", written.err)


@pytest.mark.parametrize(
    ("names", "columns", "line"),
    [
        (("daisy", "rose"), 80, "classes: daisy (1), rose (2)"),
        (tuple(f"class-{i}" for i in range(100)), 60, "classes: class-0 (1), class-1 (2), class-2 (3) and 97 more"),
        (("a", "b", "c"), 30, "classes: a (1), b (2), c (3)"),
        (("a", "b", "c"), 27, "classes: a (1) and 2 more"),
        (("x" * 90, "b"), 80, "classes: " + "x" * 7 + "..." + "x" * 14 + " (1), b (2)"),
        ((), 80, None),
    ],
)
def test_classes_are_named_with_their_samples(names: tuple[str, ...], columns: int, line: str | None) -> None:
    from cnnspec.cli.progress import class_lines

    found = class_lines(names, range(1, len(names) + 1), columns)
    assert found == ([] if line is None else [line])
    assert all(len(text) <= columns for text in found)


def test_training_is_saved_where_the_reader_of_its_lines_has_gone(
    cli: Callable[..., Any], room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnnspec.cli import render

    say, left = render.say, []

    def gone(line: str = "", *rest: Any, **more: Any) -> None:
        if re.match(r" +1/9 ", line):
            raise BrokenPipeError
        say(line, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(render, "say", gone)
        patch.setattr(render, "leave_stdout", lambda: left.append(True))
        result = cli("train", "net.cnn", "--epochs", "9")
    assert result.code == 130
    assert left == [True]
    [run] = (room / "runs").iterdir()
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 1
    again = cli("train", "--resume", run, "--steps", "1")
    assert "going on from epoch 2, step 1" in again.out


def test_a_reader_that_goes_is_no_mistake_of_the_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnspec.cli import main, render

    def gone(*args: Any, **more: Any) -> None:
        try:
            raise BrokenPipeError
        except OSError:
            sys.exit(1)  # as click does

    monkeypatch.setattr(main.cli, "main", gone)
    monkeypatch.setattr(render, "leave_stdout", lambda: None)
    assert main.run([]) == 141


@pytest.mark.parametrize("command", [("eval", "run"), ("predict", "run", "pics")], ids=lambda command: command[0])
def test_long_work_says_how_far_it_is_beside_its_results(
    cli: Callable[..., Any], room: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    from PIL import Image

    (room / "pics").mkdir()
    for i in range(130):
        Image.new("L", (8, 8)).save(room / "pics" / f"{i}.png")
    monkeypatch.setattr(progress, "SHOWN_AFTER", 0.0)
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    result = cli(*command, "--json")
    assert json.loads(result.out)
    assert re.search(r"^\d+ of (130|359) images, .* left$", result.err, re.MULTILINE)
    monkeypatch.setattr(progress, "SHOWN_AFTER", 3600.0)
    assert " left" not in cli(*command).err


def test_a_count_fits_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    now = 50.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with CountView("image", quiet=True) as view:
        now += 10
        view(1_000, 4_000)
        assert view.line() == "1,000 of 4,000 images, about 30 s left"
        for columns in (40, 60, 80, 200):
            assert len(view.line(columns)) <= columns
        assert view.line(80).startswith("━━━━━━┄┄")
