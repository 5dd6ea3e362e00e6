"""bench, doctor, cache: commands about the machine."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import SPEC

Run = Callable[..., Any]


# ---- bench ----------------------------------------------------------------------------------------
def test_bench_times_every_layer_both_ways(cli: Run, room: Path) -> None:
    found = json.loads(cli("bench", "net.cnn", "--repeats", "2", "--json").out)
    assert found["batch"] == 32
    assert found["peak_flops_per_second"] > 0 and found["peak_bytes_per_second"] > 0
    by_name = {row["name"]: row for row in found["layers"]}
    assert {"conv", "dense"} <= set(by_name)
    conv = by_name["conv"]
    assert conv["forward"]["flops"] == 2 * 32 * 8 * 8 * 8 * 9
    assert all(conv[way]["seconds"] > 0 and conv[way]["share_of_peak"] > 0 for way in ("forward", "backward"))
    assert conv["forward"]["bytes"] >= 4 * 32 * (8 * 8 + 8 * 8 * 8)  # x and y
    assert conv["forward"]["kernel"].startswith("conv2d")


def test_bench_prints_a_table(cli: Run, room: Path) -> None:
    named = "a_label_of_many_letters: conv 8 3x3 -> bn -> relu\nmaxpool 2\n"
    (room / "long.cnn").write_text(SPEC.replace("maxpool 2\n", named))
    for spec in ("run", "long.cnn"):
        result = cli("bench", spec, "--repeats", "1", "--batch", "4", "--threads", "1")
        assert result.code == 0, result.err
        lines = result.out.splitlines()
        assert lines[0].endswith(".cnn: batch 4, 1 thread")
        assert re.fullmatch(r"limits: [\d.]+ GFLOP/s, memory [\d.]+ [GM]B/s", lines[1])
        columns = ["GFLOP/s", "peak", "MB"]
        assert lines[3].split() == ["Layer", "forward", *columns, "backward", *columns]
        assert lines[-1].endswith("images/s")
        assert max(map(len, lines)) <= 80


# ---- doctor, cache --------------------------------------------------------------------------------
def test_doctor_finds_a_machine_that_trains(cli: Run) -> None:
    result = cli("doctor")
    assert result.code == 0
    for topic in ("python", "packages", "processor", "vectors", "threads", "cache", "data", "training"):
        assert re.search(rf"^(ok|note) +{topic} ", result.out, re.MULTILINE)


def test_doctor_tells_of_a_cache_that_cannot_be_written(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path / "file" / "cache"))
    found = {f["topic"]: f for f in json.loads(cli("doctor", "--json").out)}
    assert found["cache"]["state"] == "note"
    assert "CNNSPEC_CACHE=DIR" in found["cache"]["advice"]


def test_doctor_finds_damaged_files_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnspec.cli.doctor import check_cache
    from cnnspec.kernels import cache, objects

    monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path))
    cache.cache_dir().mkdir()
    for name in ("one.f32", "two.f32"):
        objects.save(str(cache.cache_dir()), name, b"code")
    assert [f.state for f in check_cache()] == ["ok"]
    objects.path_of(str(cache.cache_dir()), "two.f32").write_bytes(b"")
    (tmp_path / "grammar-0123.table").write_text("{}")
    _, found = check_cache()
    assert (found.state, found.text) == ("note", "2 files damaged or not yours alone: two.f32, grammar-0123.table")


def test_doctor_and_cache_say_which_code_runs(cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from cnnspec.cli.doctor import check_code, check_processor, check_versions
    from cnnspec.kernels import cache, shipped
    from cnnspec.runtime import installation

    def code() -> tuple[str, str]:
        [found] = check_code()
        return found.state, found.text

    none = shipped.Shipped(why="there is none for this CPU")
    some = shipped.Shipped(shipped.LEVELS[1], None, 397)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "none")
    monkeypatch.setattr(shipped, "shipped", lambda: none)
    why = "no machine code: there is none for this CPU"
    assert code() == ("ok", f"compiled on this machine, at the first use; the wheel has {why}")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    assert code()[0] == "note", "a library that is there and not used"
    assert f"wheel     {why}\n" in cli("cache", "info").out
    monkeypatch.setattr(shipped, "shipped", lambda: some)
    assert code() == ("ok", f"397 kernels for x86-64-v3, in {tmp_path}; others: compiled on this machine")
    assert json.loads(cli("cache", "info", "--json").out)["wheel"] == {"level": "x86-64-v3", "kernels": 397}

    monkeypatch.setattr(cache, "has_compiler", lambda: False)
    versions = {"cnnspec": "0.1.0", "numpy": "2", "safetensors": "1", "pillow": "12"}
    monkeypatch.setattr(installation, "versions", lambda: versions)
    assert code()[0] == "ok" and [f.state for f in check_versions()] == ["ok", "ok"]
    assert "folder    none: numba is not installed" in cli("cache", "info").out
    assert json.loads(cli("cache", "info", "--json").out)["folder"] is None
    assert cache.damaged() == []
    monkeypatch.setattr(shipped, "shipped", lambda: none)
    assert code() == ("BAD", f"the wheel has {why}; numba, which compiles them, is not installed")
    assert [f.topic for f in check_processor()] == ["processor"]
    del versions["numpy"]
    assert [f.state for f in check_versions()] == ["ok", "BAD"]


def test_training_tells_of_missing_openmp(cli: Run, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnspec.runtime import threads

    monkeypatch.setattr(threads, "openmp", lambda: None)
    result = cli("train", "net.cnn", "--epochs", "1")
    assert "note: OpenMP is missing (install libgomp1)" in result.out


@pytest.mark.parametrize("asked", ["abc", "0", "-3", "2.5"])
def test_a_number_of_threads_that_cannot_be_is_refused(
    cli: Run, room: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setenv("CNNSPEC_THREADS", asked)
    result = cli("train", "net.cnn")
    assert result.code == 1
    assert "error: CNNSPEC_THREADS: " in result.err
    assert f"found:    {asked}\n" in result.err
    assert not (room / "runs").exists()
    found = {f["topic"]: f for f in json.loads(cli("doctor", "--json").out)}
    assert (found["processor"]["state"], found["threads"]["state"]) == ("ok", "BAD")
    assert "CNNSPEC_THREADS" in found["threads"]["text"]


def test_training_tells_that_kernels_are_not_kept(cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from cnnspec.cli.progress import TrainingView
    from cnnspec.kernels import cache

    monkeypatch.setattr(cache, "use_cache", lambda: str(tmp_path))
    view = TrainingView()
    view.on_compile(1, 20, 9.0)
    assert view.begun() == "compiling 20 kernels (not kept: see  cnnspec doctor), about 9 s to go"
    assert "not kept: see  cnnspec doctor" in view.line()
    monkeypatch.setattr(cache, "cache_dir", lambda: tmp_path)
    view = TrainingView()
    view.on_compile(1, 20, 9.0)
    assert view.begun() == "compiling 20 kernels (kept for later runs), about 9 s to go"
    assert "doctor" not in view.line()


def test_doctor_tells_of_missing_openmp(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnspec.runtime import threads

    monkeypatch.setattr(threads, "openmp", lambda: None)
    from cnnspec.cli.doctor import check_threads

    found = {f.topic: f for f in check_threads()}
    assert found["threads"].state == "note"
    assert "libgomp1" in found["threads"].advice


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]) << 20,) * 2)
from cnnspec.cli.main import run
sys.exit(run(sys.argv[2:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of addresses are Linux's")
@pytest.mark.parametrize("mebibytes", [60, 150, 200, 300, 325, 330, 340, 400, 3000])
def test_a_limit_on_memory_is_an_error_of_the_machine(trained: Path, tmp_path: Path, mebibytes: int) -> None:
    """Libraries that cannot be loaded, threads that cannot be started: never a mistake of ours, never an abort."""
    command = [
        sys.executable,
        "-c",
        LIMITED,
        str(mebibytes),
        "train",
        "net.cnn",
        "--steps",
        "2",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=trained, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    assert "internal error" not in done.stderr and "Traceback" not in done.stderr
    if done.returncode:
        assert "not enough memory" in done.stderr or "Memory allocation still failed" in done.stderr
        assert list(tmp_path.iterdir()) == []
    else:
        assert mebibytes > 200 and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("stage", ["is_out_of_memory", "_out_of_memory", "render.print_error"])
def test_want_of_memory_while_an_error_is_told_is_told_too(
    stage: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from cnnspec.cli import main

    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(main.cli, "main", lambda **_: no_memory())
    monkeypatch.setattr(f"cnnspec.cli.main.{stage}", no_memory)
    assert main.run(["check"]) == 1
    assert capfd.readouterr().err.startswith("error: there is not enough memory")


def test_want_of_memory_is_known_by_any_of_its_names() -> None:
    from cnnspec.cli.main import is_out_of_memory

    def caused(error: Exception, cause: Exception) -> Exception:
        error.__cause__ = cause
        return error

    loader = ImportError("libx.so: failed to map segment from shared object")
    for error in (
        MemoryError(),
        OSError(errno.ENOMEM, "x"),
        RuntimeError("can't start new thread"),
        caused(ImportError("PLEASE READ THIS"), loader),
        caused(
            OSError("Could not find/load shared object file"), OSError("x.so: cannot allocate memory in static TLS")
        ),
    ):
        assert is_out_of_memory(error), error
    for error in (
        ValueError("Cannot allocate memory"),
        OSError(errno.ENOENT, "x"),
        RuntimeError("x"),
        ImportError("x"),
    ):
        assert not is_out_of_memory(error), error


def test_where_no_threads_can_be_started_one_is_enough_and_it_says_so(
    cli: Run, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnnspec.runtime import threads

    monkeypatch.setattr(threads, "startable", lambda count: 1)
    result = cli("train", "net.cnn", "--epochs", "1", "--threads", "2")
    assert result.code == 0
    assert "note: the system starts 1 of 2 threads: see  ulimit -u, ulimit -v" in result.out


def test_a_read_only_cache_is_no_obstacle(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shutil.copy(trained / "net.cnn", tmp_path)
    environment = {**os.environ, "CNNSPEC_CACHE": str(tmp_path / "file" / "cache")}
    command = [sys.executable, "-m", "cnnspec", "train", "net.cnn", "--steps", "1"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^compiling \d+ kernels \(not kept: see  cnnspec doctor\), ", done.stdout, re.MULTILINE)


def test_cache_info_and_clear(cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path / "cache"))
    found = json.loads(cli("cache", "info", "--json").out)
    assert found["kernels"] == 0
    assert found["folder"].startswith(str(tmp_path / "cache"))
    old = tmp_path / "cache" / "kernels-0123"
    old.mkdir(parents=True)
    (old / "k.nbi").write_bytes(bytes(2048))
    assert "removed 2.00 KiB" in cli("cache", "clear").out
    assert not old.exists()
    assert "the cache was empty" in cli("cache", "clear").out


def test_cache_build_compiles_what_later_commands_need(cli: Run, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    from cnnspec.kernels import load

    asked: list[str] = []
    really = load.load_kernels

    def recording(names: Any, progress: Any = None) -> dict[str, int]:
        asked.extend(names)
        if progress is not None and not cold.isdisjoint(names):
            progress(0, 2, 9.0)
            progress(2, 2, 0.0)
        return really(names)

    cold = {"walk"}
    monkeypatch.setattr(load, "load_kernels", recording)
    result = cli("cache", "build", "net.cnn", "run")
    built = set(asked)
    assert result.code == 0
    assert result.out == f"{len(built)} kernels of 2 nets: 2 of them compiled now\n"
    assert "compiling 2 kernels (kept for later runs), about 9 s to go\n" in result.err
    asked.clear()
    cold.clear()
    Image.new("L", (8, 8)).save("x.png")
    for command in (("train", "net.cnn", "--quiet"), ("eval", "run"), ("predict", "run", "x.png")):
        assert cli(*command).code == 0
    assert asked and set(asked) <= built
    found = json.loads(cli("cache", "build", "net.cnn", "--json").out)
    assert found["compiled"] == 0


def test_cache_build_without_a_spec_takes_the_templates(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnspec.kernels import load

    monkeypatch.setattr(load, "load_kernels", lambda names, progress: {})
    assert re.fullmatch(r"\d+ kernels of 4 nets: all of them were there\n", cli("cache", "build").out)


def test_cache_build_where_nothing_can_be_kept(cli: Run, monkeypatch: pytest.MonkeyPatch, room: Path) -> None:
    from cnnspec.kernels import cache, load

    monkeypatch.setattr(cache, "use_cache", lambda: str(room))
    monkeypatch.setattr(load, "are_at_hand", lambda names: False)
    result = cli("cache", "build", "net.cnn")
    assert result.code == 1
    assert "kernels cannot be kept in this folder" in result.err
    assert "CNNSPEC_CACHE=DIR" in result.err


def test_cache_build_of_a_wrong_spec(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text("input 8x8x1\nconv 8 3x3 -> rleu\n")
    result = cli("cache", "build", "net.cnn")
    assert result.code == 1
    assert "did you mean `relu`?" in result.err
