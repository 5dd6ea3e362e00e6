"""Kernels compiled by several processes: each once, the dearest first, also where processes die."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from cnnspec.errors import MachineError
from cnnspec.kernels import load, objects, workers

NAMES = ["fill.f32", "conv2d.8.f32", "copy.f32", "conv2d_weight_grad.16.f32", "add.f32"]

# A process that speaks as worker.py does, and compiles nothing. It dies of the kernels that ``dies`` names, so often.
FAKE = """#!{python}
import json, os, sys
folder, dies = {folder!r}, {dies!r}

def tell(head, code=b""):
    os.write(int(sys.argv[-1]), json.dumps(head).encode() + b"\\n" + code)

def count(name):
    with open(os.path.join(folder, name), "ab") as file:
        file.write(b".")
        return file.tell()

with open(os.path.join(folder, "pids"), "a") as file:
    print(os.getpid(), file=file)
if "start" in dies:
    os.kill(os.getpid(), dies["start"])
tell({{"ready": 1}})
for line in sys.stdin.buffer:
    name = line.decode().strip()
    with open(os.path.join(folder, "asked"), "a") as file:
        print(name, file=file)
    if count(name) <= dies.get(name, 0):
        os.kill(os.getpid(), 9)
    tell({{"name": name, "bytes": 4}}, b"code")
"""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return a function that puts a process like FAKE in place of Python."""

    def put(**dies: int) -> Path:
        program = tmp_path / "python"
        program.write_text(FAKE.format(python=sys.executable, folder=str(tmp_path), dies=dies))
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        return tmp_path

    return put


def compiled(count: int) -> list[str]:
    with closing(workers.compile_kernels(NAMES, count)) as found:
        pairs = list(found)
    assert all(code == b"code" for _, code in pairs)
    return [name for name, _ in pairs]


def gone(folder: Path) -> bool:
    """Whether all processes that were started have ended."""
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    return bool(pids) and not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_each_kernel_is_compiled_once_and_the_dearest_first(fake) -> None:
    folder = fake()
    assert sorted(compiled(3)) == sorted(NAMES)
    assert sorted((folder / "asked").read_text().split()) == sorted(NAMES)
    assert gone(folder)
    (folder / "asked").unlink()
    assert compiled(1)[:3] == ["conv2d_weight_grad.16.f32", "conv2d.8.f32", "add.f32"]


@pytest.mark.parametrize("count", [1, 2])
def test_what_a_dead_process_had_in_hand_is_compiled_by_another(fake, count: int) -> None:
    folder = fake(**{"conv2d.8.f32": 1})
    assert sorted(compiled(count)) == sorted(NAMES)
    assert gone(folder)


def test_a_kernel_that_kills_two_processes_is_an_error_of_the_machine(fake) -> None:
    folder = fake(**{"conv2d.8.f32": 2})
    with pytest.raises(MachineError, match=r"(?s)conv2d.8.f32: there is not enough memory.*signal 9"):
        compiled(2)
    assert gone(folder)


def test_processes_that_are_killed_at_the_start_are_an_error_of_the_machine(fake) -> None:
    folder = fake(start=9)
    with pytest.raises(MachineError, match="not enough memory"):
        compiled(2)
    assert gone(folder)


def test_a_compiler_that_cannot_be_imported_is_no_want_of_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "numba.py").write_text("raise ImportError('it needs another NumPy')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MachineError, match=r"(?s)does not start.*needs another NumPy.*pip install"):
        list(workers.compile_kernels(["fill.f32"], 1))


@pytest.mark.parametrize("program", ["", "/no/such/program", "/bin/false", "frozen"])
def test_where_no_python_can_be_started_this_process_compiles(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    if program == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    else:
        monkeypatch.setattr(sys, "executable", program)
    monkeypatch.setattr(workers, "_compile_here", lambda names, shared: ((name, b"code") for name in names))
    assert sorted(compiled(2)) == sorted(NAMES)


def test_what_is_compiled_here_can_be_loaded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    [there] = workers.compile_kernels(["fill.f32"], 1)
    monkeypatch.setattr(sys, "executable", "")
    [here] = workers.compile_kernels(["fill.f32"], 1)
    monkeypatch.undo()
    [asked] = workers.compile_kernels(["fill.f32"], 0)
    assert objects.load(*asked) and asked[0] == here[0] == "fill.f32" and objects.load(*here) and objects.load(*there)


def test_what_is_printed_when_python_starts_is_no_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('welcome')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    [(name, code)] = workers.compile_kernels(["fill.f32"], 1)
    assert name == "fill.f32" and objects.load(name, code)


def test_a_python_that_hears_no_variables_starts_such_ones(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    code = f"""if True:
        import sys
        sys.path[:] = {sys.path!r}
        from cnnspec.kernels import workers
        print(*(name for name, _ in workers.compile_kernels(["fill.f32"], 1)))"""
    for flags, ran in (["-I"], False), (["-E"], False), ([], True):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        command = [sys.executable, *flags, "-c", code]
        assert subprocess.run(command, env=environment, capture_output=True, text=True).stdout == "fill.f32\n"
        assert (tmp_path / "ran").exists() == ran, flags


def test_modules_are_found_from_a_working_folder_that_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "path", ["", *sys.path, None])  # as in a notebook
    [(name, _)] = workers.compile_kernels(["fill.f32"], 1)
    assert name == "fill.f32"


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(KeyError, match=r"no kernel is called 'fil\.f32'"):
        list(workers.compile_kernels(["fil.f32"], 1))


def test_ctrl_c_ends_the_processes(fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The exception comes where this process waits, or where the progress is shown."""
    folder = fake()
    monkeypatch.setattr(load, "find_kernel", lambda name: None)
    monkeypatch.setattr(load, "use_cache", lambda: str(tmp_path))
    monkeypatch.setattr(objects, "load", lambda name, code: 1)
    monkeypatch.setattr(load, "_loaded", {})
    monkeypatch.setattr(load, "processes_for", lambda names: 2)

    def progress(done: int, total: int, left: float) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load.load_kernels(NAMES, progress)
    assert gone(folder)


def test_their_number_follows_cores_memory_and_work(monkeypatch: pytest.MonkeyPatch) -> None:
    many = ["conv2d_weight_grad.16.f32"] * 40
    monkeypatch.delenv("CNNSPEC_THREADS", raising=False)
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    monkeypatch.setattr(workers, "available_cores", lambda: 64)
    monkeypatch.setattr(workers, "free_memory", lambda: 64 << 30)
    assert workers.processes_for(many) == workers.MOST
    assert workers.processes_for(["fill.f32"] * 3) == 1
    monkeypatch.setattr(workers, "free_memory", lambda: 2 * workers.NBYTES)
    assert workers.processes_for(many) == 2
    monkeypatch.setattr(workers, "free_memory", lambda: 0)
    assert workers.processes_for(many) == 1
    monkeypatch.setattr(workers, "free_memory", lambda: None)
    monkeypatch.setattr(workers, "available_cores", lambda: 3)
    assert workers.processes_for(many) == 3
    monkeypatch.setenv("CNNSPEC_THREADS", "2")
    assert workers.processes_for(many) == 2
    monkeypatch.setitem(sys.modules, "numba", sys)
    assert workers.processes_for(many) == 2
    assert workers.processes_for(["fill.f32"]) == 0, "the compiler is at hand"


def test_code_refers_to_the_c_library_alone() -> None:
    """So that it can be loaded where neither Python's nor numba's functions are known, and in a shared library."""
    for name, code in workers.compile_kernels(["softmax.f32", "activation.f32", "walk"], 1):
        assert not re.findall(rb"\0(?:Py|_Py|NRT_|numba_)\w*", code), name
        assert name.encode() + b"\0" in code
