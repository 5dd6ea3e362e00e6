"""Files that are whole or not there, whenever the process is killed; parts that others left behind."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnspec import drafts
from cnnspec.drafts import is_left_behind, part_name, remove_left_behind
from cnnspec.errors import MachineError
from cnnspec.runtime import files
from cnnspec.runtime.files import write_atomically

OLD, NEW = b"old" * 1000, b"new" * 2000

# Dies at the COUNT-th call of one of the system's functions, as by kill -9.
KILLED = """
import os, signal, sys
from collections.abc import Callable
from pathlib import Path
from cnnspec.runtime.files import write_atomically
left = int(sys.argv[2])
def dying(call):
    def wrapped(*args, **more):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **more)
    return wrapped
for name in ("open", "fdopen", "stat", "chmod", "fsync", "replace", "unlink"):
    setattr(os, name, dying(getattr(os, name)))
write_atomically(Path(sys.argv[1]), b"new" * 2000)
print("done", left)
"""


def test_killed_at_any_point_the_file_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    seen = set()
    for count in range(1, 40):
        path.write_bytes(OLD)
        done = subprocess.run([sys.executable, "-c", KILLED, str(path), str(count)], capture_output=True, text=True)
        seen.add(path.read_bytes())
        assert seen <= {OLD, NEW}
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    else:
        pytest.fail("it never came to its end")
    assert count > 6 and seen == {OLD, NEW}
    write_atomically(path, NEW)
    assert [p.name for p in tmp_path.iterdir()] == [path.name], "the next write clears up"


def test_parts_of_the_living_and_of_other_files_stay(tmp_path: Path) -> None:
    path = tmp_path / "net.cnn"
    mine, other = part_name(path.name), part_name("other.cnn")
    alive = mine.replace(f"-{os.getpid()}-", f"-{os.getppid()}-")
    elsewhere = f".{path.name}.another-host-99999999-0.part"
    earlier = mine.removesuffix(".part") + "999.part"  # of a process that had our number before us
    for name in (mine, other, alive, elsewhere, earlier, ".net.cnn.notes.part", "net.cnn.part"):
        (tmp_path / name).write_bytes(b"")
    write_atomically(path, NEW)
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {path.name, mine, other, alive, elsewhere, ".net.cnn.notes.part", "net.cnn.part"}
    remove_left_behind(tmp_path, path.name, of_any=True)
    assert {p.name for p in tmp_path.iterdir()} == {path.name, mine, other, "net.cnn.part"}


def test_a_file_keeps_its_mode_and_a_link_its_place(tmp_path: Path) -> None:
    path, link = tmp_path / "real.cnn", tmp_path / "link.cnn"
    path.write_bytes(OLD)
    path.chmod(0o604)
    link.symlink_to(path.name)
    write_atomically(link, NEW)
    assert link.is_symlink() and path.read_bytes() == NEW
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@pytest.mark.parametrize("name", ["a\nb", "[x]*", "ü" * 120, "n" * 250, "-", " "])
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    if len(name.encode()) > 255:
        pytest.skip("longer than the system allows")
    folder = tmp_path / name
    folder.mkdir()
    for content in (OLD, NEW):
        write_atomically(folder / name, content)
        assert (folder / name).read_bytes() == content
    assert len(list(folder.iterdir())) == 1


def test_a_host_name_with_signs_of_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "_host", lambda: "a.b-[c]+")
    part = part_name("x")
    assert not is_left_behind(part)
    assert is_left_behind(part.replace(f"-{os.getpid()}-", "-4194399-"))


SEVERAL = """
import sys
from collections.abc import Callable
from pathlib import Path
from cnnspec.runtime.files import write_atomically
for k in range(50):
    write_atomically(Path(sys.argv[1]), sys.argv[2].encode() * 20000)
"""


def test_processes_that_write_one_file_leave_one_of_their_contents(tmp_path: Path) -> None:
    path = tmp_path / "w"
    running = [subprocess.Popen([sys.executable, "-c", SEVERAL, str(path), sign]) for sign in "abcd"]
    assert [one.wait() for one in running] == [0] * 4
    content = path.read_bytes()
    assert content in {sign.encode() * 20000 for sign in "abcd"}
    assert [p.name for p in tmp_path.iterdir()] == ["w"]


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Processes that write without end are killed wherever they are: the file is whole each time."""
    path, rng = tmp_path / "w", random.Random(1)
    endless = SEVERAL.replace("range(50)", "iter(int, 1)").replace(
        "write_atomically(P", "print(k, flush=True); write_atomically(P"
    )
    for sign in "abcdefgh":
        running = subprocess.Popen([sys.executable, "-c", endless, str(path), sign], stdout=subprocess.PIPE)
        assert running.stdout is not None
        for _ in range(rng.randrange(2, 30)):
            running.stdout.readline()
        running.kill()
        running.wait()
        running.stdout.close()
        content = path.read_bytes()
        assert len(content) == 20000 and len(set(content)) == 1
    write_atomically(path, NEW)
    assert [p.name for p in tmp_path.iterdir()] == ["w"]


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("act", [lambda p: write_atomically(p, NEW), lambda p: files.append_line(p, "a line")])
def test_no_file_takes_the_place_of_a_pipe_or_a_device(
    tmp_path: Path, act: Callable[[Path], None], linked: bool
) -> None:
    pipe, path = tmp_path / "pipe", tmp_path / "metrics.jsonl"
    os.mkfifo(pipe if linked else path)
    if linked:
        path.symlink_to(pipe)
    with pytest.raises(MachineError, match="cannot be written") as caught:
        act(path)
    assert caught.value.found == "a named pipe"
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert len(list(tmp_path.iterdir())) == 1 + linked


LIMITED = """
import resource, signal, sys
from pathlib import Path
from cnnspec.errors import MachineError
from cnnspec.runtime.files import write_atomically
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_atomically(Path(sys.argv[1]), b"new" * 100_000)
except MachineError as error:
    print(error.message)
"""


def test_a_write_that_the_system_really_refuses(tmp_path):
    """A limit on the file size stops the write half way, as a full disk does."""
    path = tmp_path / "last.safetensors"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True)
    assert "disk is full" in done.stdout
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
