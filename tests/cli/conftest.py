"""What the tests of the command line share: a runner that sees what a user sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cnnspec.cli.main import run


@dataclass(frozen=True)
class Result:
    """The exit code and what stood on stdout and stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Return ``cnnspec("summary", "net.cnn")``: the command, run in this process in an empty folder."""
    from cnnspec.cli import render

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")

    def call(*args: object) -> Result:
        render.console.cache_clear()  # it holds on to the stream that was there when it was made
        capsys.readouterr()
        code = run([str(a) for a in args])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err + captured.out
        return Result(code, captured.out, captured.err)

    return call
