"""Files under a seal: whole and ours, or not there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from cnnspec.drafts import part_name, remove_left_behind
from cnnspec.sealed import read_sealed, write_sealed

CONTENT = bytes(range(256)) * 8


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "one.o"
    write_sealed(path, CONTENT)
    return path


def test_what_was_written_comes_back(file: Path) -> None:
    assert read_sealed(file) == CONTENT
    write_sealed(file, b"")
    assert read_sealed(file) == b""
    assert read_sealed(file.with_name("two.o")) is None


def test_every_cut_and_any_wrong_bit_is_seen(file: Path) -> None:
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert read_sealed(file) is None, length
    for place in random.Random(1).sample(range(8 * len(whole)), 2000):
        spoilt = bytearray(whole)
        spoilt[place // 8] ^= 1 << place % 8
        file.write_bytes(spoilt)
        assert read_sealed(file) is None, place
    for spoilt in (whole + b"\0", b"\0" * len(whole), os.urandom(len(whole))):
        file.write_bytes(spoilt)
        assert read_sealed(file) is None


def test_a_copy_under_another_name_is_not_taken_for_it(file: Path) -> None:
    other = file.with_name("two.o")
    other.write_bytes(file.read_bytes())
    other.chmod(0o600)
    assert read_sealed(other) is None
    assert read_sealed(file) == CONTENT


@pytest.mark.parametrize("how", ["a link", "others may write", "another's", "a folder", "a pipe"])
def test_what_someone_else_may_have_written_is_not_read(file: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "a link":
        file.rename(file.with_name("elsewhere"))
        file.symlink_to("elsewhere")
    elif how == "others may write":
        file.chmod(0o622)
    elif how == "another's" and os.getuid() == 0:
        os.chown(file, 12345, -1)
    elif how == "another's":
        monkeypatch.setattr(os, "getuid", lambda: file.stat().st_uid + 1)
    else:
        file.unlink()
        file.mkdir() if how == "a folder" else os.mkfifo(file)
    assert read_sealed(file) is None


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_file_and_leaves_no_draft(
    file: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space"):
        write_sealed(file, b"new")
    monkeypatch.undo()
    assert read_sealed(file) == CONTENT
    assert [p.name for p in file.parent.iterdir()] == ["one.o"]


KILLED = """
import os, signal, sys
from pathlib import Path
from cnnspec import sealed
setattr(os, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
sealed.write_sealed(Path(sys.argv[1]), b"new")
"""


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_killed_write_keeps_the_old_file_and_its_draft_is_cleared_away(file: Path, call: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(file), call])
    assert done.returncode == -9
    assert read_sealed(file) == CONTENT
    assert len(list(file.parent.iterdir())) == 2
    mine = file.with_name(part_name("two.o"))
    mine.write_bytes(b"")
    remove_left_behind(file.parent)
    assert {p.name for p in file.parent.iterdir()} == {"one.o", mine.name}, "drafts of living processes stay"
