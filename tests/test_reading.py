"""Files are opened in one place: what is no regular file, or too large, is refused by every reader at once."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnnspec import reading
from cnnspec.compiler import Compiler
from cnnspec.errors import DataError, MachineError
from cnnspec.model.settings import DataSettings, Idx, Npz
from cnnspec.runtime.checkpoint import load_checkpoint, load_weights
from cnnspec.runtime.data import open_data
from cnnspec.runtime.data.idx import read_idx
from cnnspec.runtime.run_folder import RunFolder

MODEL = Compiler.from_text("input 4x4x1\nflatten -> dense 2\n").model


def as_idx_folder(path: Path) -> None:
    os.link(path, path.parent / "train-images-idx3-ubyte")
    (path.parent / "train-labels-idx1-ubyte").write_bytes(b"")
    open_data(DataSettings(Idx(str(path.parent))), (4, 4, 1), 2)


# name of the file -> what reads it
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "spec": ("net.cnn", Compiler.from_path),
    "npz": ("data.npz", lambda path: open_data(DataSettings(Npz(str(path))), (4, 4, 1), 2)),
    "idx": ("images", lambda path: read_idx(path, (3,), "images")),
    "idx folder": ("images", as_idx_folder),
    "manifest": ("manifest.json", lambda path: RunFolder(path.parent).manifest),
    "metrics": ("metrics.jsonl", lambda path: RunFolder(path.parent).history()),
    "checkpoint": ("last.safetensors", lambda path: load_checkpoint(path, MODEL)),
    "weights": ("w.safetensors", lambda path: load_weights(path, MODEL)),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_named_pipe_is_refused_and_not_waited_on(tmp_path: Path, reader: str) -> None:
    name, read = READERS[reader]
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError) as caught:
        read(tmp_path / name)
    assert caught.value.message == "this is not a regular file"
    assert caught.value.found == "a named pipe"


@pytest.mark.parametrize("reader", [name for name in READERS if name != "idx folder"])
@pytest.mark.parametrize("target", ["/dev/zero", "/dev/full"])
def test_a_device_is_refused(tmp_path: Path, reader: str, target: str) -> None:
    name, read = READERS[reader]
    (tmp_path / name).symlink_to(target)
    with pytest.raises(DataError, match="not a regular file") as caught:
        read(tmp_path / name)
    assert caught.value.found == "a device"


def test_a_pipe_beside_a_damaged_checkpoint_is_not_offered(tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").write_bytes(b"\x10")
    os.mkfifo(tmp_path / "last.safetensors")
    with pytest.raises(DataError) as caught:
        load_checkpoint(tmp_path / "best.safetensors", MODEL)
    assert "last.safetensors" not in caught.value.hint


@pytest.mark.parametrize("reader", ["manifest", "metrics"])
@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff", b"{", b"9" * 5000 + b"x"])
def test_json_that_is_none(tmp_path: Path, reader: str, content: bytes) -> None:
    name, read = READERS[reader]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(tmp_path / name)
    assert caught.value.path == tmp_path / name


def test_json_larger_than_the_bound_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "manifest.json").open("wb") as file:
        file.truncate(reading.JSON_NBYTES + 1)  # a hole: no byte of it is on the disk
    with pytest.raises(DataError, match="too large") as caught:
        assert RunFolder(tmp_path).manifest
    assert f"{reading.JSON_NBYTES:,}" in caught.value.expected


def test_a_file_that_grew_is_cut_off_at_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(bytes(100))
    assert len(reading.read_bytes(tmp_path / "f", 100)) == 100
    with pytest.raises(DataError, match="too large"):
        reading.read_bytes(tmp_path / "f", 99)
    monkeypatch.setattr(reading, "_judge", lambda *_: None)  # as files of /proc, whose size reads as 0
    with pytest.raises(DataError, match="too large"):
        reading.read_bytes(tmp_path / "f", 99)


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 70_000])
@pytest.mark.parametrize("told", ["its size", "0"])
def test_a_file_that_is_read_at_once_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, told: str
) -> None:
    """Also where it has grown since the system told its size."""
    path = tmp_path / "file"
    path.write_bytes(bytes(i % 251 for i in range(size)))
    real = os.fstat
    if told == "0":
        monkeypatch.setattr(reading.os, "fstat", lambda file: os.stat_result((*real(file)[:6], 0, *real(file)[7:])))
    for whole in (0, 1000, 1 << 20):
        with reading.open_file(path, limit=1 << 20, whole=whole) as stream:
            assert stream.read() == path.read_bytes()


def test_what_is_read_at_once_is_judged_as_ever(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(2000))
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("large", "too large"), ("pipe", "not a regular file"), ("none", "does not exist")):
        with pytest.raises(DataError, match=words), reading.open_file(tmp_path / name, limit=1999, whole=1 << 20):
            pass


def test_a_spec_may_come_through_a_pipe_that_is_open_already() -> None:
    read, write = os.pipe()
    os.write(write, b"input 4x4x1\nflatten -> dense 2\n")
    os.close(write)
    try:
        assert Compiler.from_path(f"/dev/fd/{read}").model.output_shape == (2,)
    finally:
        os.close(read)
    read, write = os.pipe()
    os.close(write)
    with pytest.raises(DataError, match="not a regular file"):
        reading.read_bytes(f"/dev/fd/{read}", 10)
    os.close(read)


def test_missing_folders_and_names_that_are_none(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path / "none" / "net.cnn", "no such file"),
        (tmp_path / "none.cnn", "no such file"),
        (tmp_path, "a folder, not a spec"),
        (Path("a\0b"), "no such file"),
        (tmp_path / ("x" * 300), "no such file"),
    ):
        with pytest.raises(DataError, match=words):
            Compiler.from_path(path)


def test_a_user_that_does_not_exist() -> None:
    with pytest.raises(DataError, match="no such user") as caught:
        open_data(DataSettings(Npz("~nosuchuser/data.npz")), (4, 4, 1), 2)
    assert caught.value.found == "~nosuchuser"
    assert reading.named_path(Path("a"), "b") == Path("a/b")


def test_what_would_not_fit_into_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "d.npz", x_train=np.zeros((90, 4, 4)), y_train=np.arange(90) % 2)
    content = b"\0\0\x08\x03" + bytes([0, 0, 0, 90, 0, 0, 0, 4, 0, 0, 0, 4]) + bytes(90 * 16)
    (tmp_path / "i.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(reading, "free_memory", lambda: 1000)
    for read in (
        lambda: open_data(DataSettings(Npz(str(tmp_path / "d.npz"))), (4, 4, 1), 2),
        lambda: read_idx(tmp_path / "i.gz", (3,), "images"),
    ):
        with pytest.raises(MachineError, match="not enough memory") as caught:
            read()
        assert caught.value.found == "1,000 bytes free"
    monkeypatch.setattr(reading, "free_memory", lambda: None)
    assert len(read_idx(tmp_path / "i.gz", (3,), "images")) == 90


def test_free_memory_minds_a_limit_on_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 20, resource.RLIM_INFINITY))
    free = reading.free_memory()
    assert free is not None and free < 0  # Python alone has more addresses than that
    with pytest.raises(MachineError) as caught:
        reading.check_room(1, path="f")
    assert caught.value.found == "0 bytes free"
