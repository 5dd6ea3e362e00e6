"""Machine code of a wheel: used where it fits, whole and unchanged; never where it does not."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fresh import run_python

from cnnspec.errors import MachineError
from cnnspec.kernels import cache, library, load, shipped
from cnnspec.kernels.machine import Machine, running
from cnnspec.kernels.shipped import LEVELS, Shipped

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64") or not shutil.which("ld"),
    reason="libraries are built on Linux x86-64 with a linker",
)

NAMES = ["activation.f32", "add.f32", "conv2d.16.f32", "walk", "walk.run_parts"]

SIGMOID = """
import sys
from pathlib import Path
from cnnspec.kernels import load, shipped
shipped.FOLDER, flags = Path(sys.argv[1]), sys.argv[2:]
if flags:
    shipped._cpu_flags = lambda: frozenset(flags)
import numpy as np
from running import Run, layer_graph
from cnnspec.ops.activation import Sigmoid
really, asked = load.compile_kernels, []
load.compile_kernels = lambda names, count: asked.extend(names) or really(names, count)
run = Run(layer_graph(Sigmoid(), [(3,)], training=False), dtype="f32")
y = run.run(1, {"x0": np.array([[-1.0, 0.0, 2.0]])}).get("y", 1)
level = shipped.shipped().level
print(level and level.name, len(asked), "numba" in sys.modules or "llvmlite" in sys.modules, y.tolist())
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as a wheel has it, with a few kernels."""
    folder = tmp_path_factory.mktemp("machine_code")
    library.build(folder, NAMES)
    return folder


@pytest.fixture
def folder(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of it, which this process takes for the wheel's."""
    copy = Path(shutil.copytree(built, tmp_path / "machine_code"))
    monkeypatch.setattr(shipped, "FOLDER", copy)
    for setting in cache.SETTINGS:
        monkeypatch.delenv(setting, raising=False)
    shipped._opened.cache_clear()
    return copy


def opened() -> Shipped:
    shipped._opened.cache_clear()
    return shipped.shipped()


def have(monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    monkeypatch.setattr(shipped, "_cpu_flags", lambda: frozenset(flags))


def can_run(level: shipped.Level) -> bool:
    return level.needs <= shipped._cpu_flags()


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_a_process_with_such_code_needs_no_compiler_and_computes_the_same(
    built: Path, tmp_path: Path, level: shipped.Level
) -> None:
    if not can_run(level):
        pytest.skip(f"this CPU lacks {', '.join(sorted(level.needs - shipped._cpu_flags()))}")
    code = f"import sys\nsys.argv[1:] = {[str(built), *level.needs]!r}\n{SIGMOID}"
    mine = run_python(code, CNNSPEC_CACHE=str(tmp_path / "cache"))
    assert mine.startswith(f"{level.name} 0 False ")
    assert not (tmp_path / "cache").exists()
    compiled = run_python(code.replace(str(built), str(tmp_path / "none")))
    assert compiled.startswith("None ") and compiled.endswith(mine.partition(" 0 False ")[2])


def test_the_best_level_that_the_cpu_has_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best, plain = LEVELS
    monkeypatch.setattr("ctypes.CDLL", lambda path: path)
    have(monkeypatch, *best.needs, "more")
    assert opened().level == best
    assert running() == Machine("x86-64-v4", 64, True, 32)
    for flag in best.needs - plain.needs:
        have(monkeypatch, *(best.needs - {flag}))
        assert opened().level == plain, flag
    for flag in plain.needs:
        have(monkeypatch, *(best.needs - {flag}))
        assert opened() == Shipped(why="there is none for this CPU"), flag


def test_the_library_without_avx512_names_none_of_its_registers(built: Path) -> None:
    """Numba would add the features of the machine that builds."""
    if not shutil.which("objdump"):
        pytest.skip("there is no disassembler")
    wide = {}
    for level in LEVELS:
        command = ["objdump", "-d", "--no-show-raw-insn", str(built / f"{level.name}.so")]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "%ymm" in text
        wide[level.name] = any(sign in text for sign in ("%zmm", "%ymm16", "%xmm16", "%k1"))
    assert wide == {"x86-64-v4": True, "x86-64-v3": False}


def test_a_library_is_the_same_to_the_byte_each_time(built: Path, tmp_path: Path) -> None:
    library._build_one(tmp_path / "x86-64-v3.so", LEVELS[1], NAMES)
    assert (tmp_path / "x86-64-v3.so").read_bytes() == (built / "x86-64-v3.so").read_bytes()


def test_a_damaged_library_is_never_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut, with a wrong bit, that of another level, none at all, or under a table that does not know it."""
    level = next(one for one in LEVELS if can_run(one))
    path, table = folder / f"{level.name}.so", folder / shipped.CONTENTS
    whole, contents = path.read_bytes(), table.read_text()
    assert opened().level == level and opened().find("add.f32")
    have(monkeypatch, *level.needs)
    wrong = bytearray(whole)
    wrong[len(whole) // 2] ^= 1

    def put(content: bytes) -> None:
        path.unlink(missing_ok=True)  # the loader knows files that it has mapped, and code lies in them
        path.write_bytes(content)

    for content in (whole[: len(whole) // 2], b"", bytes(wrong), whole + b"\0"):
        put(content)
        assert opened() == Shipped(why=f"{path} is damaged: install cnnspec again")
    path.unlink()
    assert opened().why == "this installation has none"
    put(whole)
    for text in ("", "{}", "[]", "[" * 99999, '{"libraries": 3}', contents[:-10], contents.replace("sha256", "sha")):
        table.write_text(text)
        assert opened().level is None, text
    table.write_text(contents.replace(json.loads(contents)["sources"], "0" * 64))
    assert opened().why == "the kernels' sources have changed since it was made"
    table.write_text(contents)
    assert opened().level == level


def test_what_the_loader_refuses_is_left_aside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    level = next(one for one in LEVELS if can_run(one))
    path, table = folder / f"{level.name}.so", folder / shipped.CONTENTS
    path.write_bytes(b"no library")
    contents = table.read_text()
    right = json.loads(contents)["libraries"][level.name]["sha256"]
    table.write_text(contents.replace(right, shipped.sha256(path.read_bytes())))
    assert opened().why.startswith(f"it cannot be loaded from {folder}: ")


@pytest.mark.parametrize("setting", cache.SETTINGS)
def test_settings_that_change_code_leave_it_aside(folder: Path, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv(setting, "another")
    assert opened() == Shipped(why=f"{setting} is set")


def test_without_a_compiler_words_say_what_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "has_compiler", lambda: False)
    monkeypatch.setattr(load, "_loaded", {})
    assert load.are_at_hand(["add.f32"]) and not load.are_at_hand(["add.f32", "copy.f32"])
    assert load.load_kernels(["add.f32"])["add.f32"]
    with pytest.raises(MachineError, match=r"(?s)copy\.f32: a kernel has to be compiled.*without this kernel"):
        load.load_kernels(["copy.f32"])
    shutil.rmtree(folder)
    shipped._opened.cache_clear()
    with pytest.raises(MachineError, match=r"(?s)this installation has none.*pip install numba"):
        load.load_kernels(["copy.f32"])


def test_what_is_shipped_are_all_kernels_but_those_of_float64() -> None:
    names = library.names_to_ship()
    assert {"walk", "conv2d.16.f32", "peak", "read_ticks"} <= {*names}
    assert not [name for name in names if "f64" in name]
