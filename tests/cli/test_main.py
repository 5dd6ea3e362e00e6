from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import cnnspec
from cnnspec.cli import main
from cnnspec.errors import DataError, InternalError


def test_every_command_of_the_list_exists_under_its_name_and_has_help() -> None:
    for section in main.COMMANDS.values():
        for name, sentence in section.items():
            command = import_module(f"cnnspec.cli.{name}").command
            assert command.name == name
            assert command.help, name
            assert len(sentence) <= 60, f"{name}: too long for 80 columns"


@pytest.mark.parametrize("name", [name for section in main.COMMANDS.values() for name in section])
def test_help_of_each_command_fits_80_columns(cli: Callable[..., Any], name: str) -> None:
    result = cli(name, "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: cnnspec {name}")
    assert max(map(len, result.out.splitlines())) <= 80


def test_help_lists_the_sections_and_loads_no_command(cli: Callable[..., Any]) -> None:
    result = cli("--help")
    assert result.code == 0
    for title, section in main.COMMANDS.items():
        assert f"{title}:" in result.out
        assert all(f"  {name} " in result.out for name in section)
    assert max(map(len, result.out.splitlines())) <= 80


def test_version(cli: Callable[..., Any]) -> None:
    assert cli("--version").out == f"cnnspec {cnnspec.__version__}\n"


def test_unknown_command_is_a_usage_error_with_the_near_one(cli: Callable[..., Any]) -> None:
    result = cli("tran", "x.cnn")
    assert result.code == 2
    assert "no command 'tran': did you mean 'train'?" in result.err


def test_a_spec_without_a_command_is_told_what_to_type(cli: Callable[..., Any]) -> None:
    result = cli("net.cnn")
    assert result.code == 2
    assert "cnnspec summary net.cnn" in result.err


def test_unknown_option_is_a_usage_error(cli: Callable[..., Any]) -> None:
    result = cli("layers", "--jsn")
    assert result.code == 2
    assert "--json" in result.err


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def command(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(main.cli, "main", command)


def test_exit_codes_tell_whose_mistake_it_is(monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Any]) -> None:
    failing(
        monkeypatch,
        DataError("too short", path="a.idx", field="dims", expected="100 bytes", found="99", hint="copy it again"),
    )
    result = cli("train")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "error: a.idx: dims: too short\n  expected: 100 bytes\n  found:    99\n  fix: copy it again\n"
    )

    failing(monkeypatch, InternalError("node 3 has no input"))
    result = cli("train")
    assert result.code == 3
    assert "node 3 has no input" in result.err
    assert "report" in result.err

    failing(monkeypatch, ZeroDivisionError("oops"))
    result = cli("train")
    assert result.code == 3
    assert "ZeroDivisionError: oops" in result.err

    failing(monkeypatch, KeyboardInterrupt())
    result = cli("train")
    assert (result.code, result.err) == (130, "\ninterrupted\n")

    failing(monkeypatch, MemoryError())
    assert cli("train").code == 1

    monkeypatch.setenv("CNNSPEC_CACHE", "kernels")
    failing(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    result = cli("train")
    assert result.code == 1
    assert result.err.startswith("error: kernels: the disk is full\n  fix: ")

    failing(monkeypatch, OSError(errno.EBADF, "Bad file descriptor"))
    assert cli("train").code == 3


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CNNSPEC_DEBUG", "1")
    failing(monkeypatch, ZeroDivisionError("oops"))
    assert main.run(["train"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = [sys.executable, "-m", "cnnspec", "layers", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert err == b""
    assert process.wait() in (1, 141)


def test_output_that_the_terminal_cannot_show_is_no_error() -> None:
    command = [sys.executable, "-m", "cnnspec", "layers", "conv"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, b"")


def test_completion_knows_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    from click.shell_completion import ShellComplete

    complete = ShellComplete(main.cli, {}, "cnnspec", "_CNNSPEC_COMPLETE")
    assert [c.value for c in complete.get_completions([], "su")] == ["summary"]
    assert "--json" in [c.value for c in complete.get_completions(["layers"], "--")]


def test_python_dash_m_runs_the_same_program(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "cnnspec", "--version"], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == f"cnnspec {cnnspec.__version__}\n"


def test_a_command_without_its_spec_or_run_names_one_that_is_here(cli: Callable[..., Any], tmp_path: Path) -> None:
    assert cli("train").err.endswith("Error: Missing argument 'SPEC|RUN'.\nA first spec: cnnspec new digits\n")
    (tmp_path / "my net.cnn").write_text("input 8x8x1 -> flatten -> dense 10\n")
    assert cli("summary").err.endswith("\nFor example: cnnspec summary 'my net.cnn'\n")
    assert cli("eval").err.endswith("\nA run is made by training: cnnspec train 'my net.cnn'\n")
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "manifest.json").write_text("")
    assert cli("predict").err.endswith("\nFor example: cnnspec predict runs/one\n")
    assert cli("predict", "runs/one").err.endswith("Error: Missing argument 'IMAGE...'.\n")


def test_a_wrong_number_is_told_in_words(cli: Callable[..., Any]) -> None:
    assert cli("train", "net.cnn", "--epochs", "ten").err.endswith("'--epochs': 'ten' is not a whole number.\n")
    assert cli("train", "net.cnn", "--lr", "big").err.endswith("'--lr': 'big' is not a number.\n")


def test_ctrl_c_while_modules_are_loaded_prints_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}
    command = [sys.executable, "-m", "cnnspec", "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\ninterrupted\n")


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--learning-rate", "It is --lr here."),
        ("--batch-size", "It is --batch here."),
        ("--optimizer", "--set train.optimizer=..."),
        ("--momentum", "--set train.optimizer.momentum=..."),
        ("--epoch", "Did you mean '--epochs'?"),
    ],
)
def test_an_option_that_is_a_setting_is_led_to_it(cli: Callable[..., Any], option: str, told: str) -> None:
    result = cli("train", "net.cnn", option, "1")
    assert (result.code, result.out) == (2, "")
    assert told in result.err


def test_a_dash_is_led_to_standard_input(cli: Callable[..., Any]) -> None:
    assert "standard input is /dev/stdin" in cli("check", "-").err
