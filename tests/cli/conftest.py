"""What the tests of the command line share: a runner that sees what a user sees, and a trained run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny import SPEC

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


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with net.cnn and one run of it, runs/net-..."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "net.cnn").write_text(SPEC)
    here = Path.cwd()
    os.chdir(folder)
    try:
        assert run(["train", "net.cnn", "--quiet"]) == 0
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def room(trained: Path, tmp_path: Path, cli: Callable[..., Result]) -> Path:
    """Return a copy of it to work in, with the run as ``run``; the current folder."""
    shutil.copy(trained / "net.cnn", tmp_path)
    [made] = (trained / "runs").iterdir()
    shutil.copytree(made, tmp_path / "run")
    return tmp_path
