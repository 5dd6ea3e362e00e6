"""``check --fix`` on files: the content changes where it must, and nothing else of the file does."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
WRONG = "input 8x8x1\nconvv 4 3x3\nflatten -> dense 10\n"
RIGHT = WRONG.replace("convv", "conv")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o664])
def test_the_mode_stays(cli: Run, tmp_path: Path, mode: int) -> None:
    path = tmp_path / "net.cnn"
    path.write_text(WRONG)
    path.chmod(mode)
    assert cli("check", "net.cnn", "--fix").code == 0
    assert path.read_text() == RIGHT
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert [p.name for p in tmp_path.iterdir()] == ["net.cnn"]


@pytest.mark.skipif(not hasattr(os, "chown") or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(cli: Run, tmp_path: Path) -> None:
    path = tmp_path / "net.cnn"
    path.write_text(WRONG)
    os.chown(path, 12345, 23456)
    assert cli("check", "net.cnn", "--fix").code == 0
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_a_link_leads_on_to_the_same_file(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "net.cnn"
    target.write_text(WRONG)
    link, second = tmp_path / "link.cnn", tmp_path / "second.cnn"
    link.symlink_to("real/net.cnn")
    os.link(target, second)
    assert cli("check", "link.cnn", "--fix").code == 0
    assert link.is_symlink()
    assert target.read_text() == second.read_text() == RIGHT
    assert target.stat().st_ino == second.stat().st_ino


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_and_byte_order_mark_stay(cli: Run, tmp_path: Path, mark: bytes, end: bytes, last: bool) -> None:
    def as_bytes(text: str) -> bytes:
        return mark + (text if last else text.rstrip("\n")).encode().replace(b"\n", end)

    (tmp_path / "net.cnn").write_bytes(as_bytes(WRONG))
    assert cli("check", "net.cnn", "--fix").code == 0
    assert (tmp_path / "net.cnn").read_bytes() == as_bytes(RIGHT)


def test_line_ends_of_many_kinds_stay(cli: Run, tmp_path: Path) -> None:
    mixed = b"input 8x8x1\r\n# a\r\rconvv 4 3x3\nflatten -> dense 10\r"
    (tmp_path / "net.cnn").write_bytes(mixed)
    assert cli("check", "net.cnn", "--fix").code == 0
    assert (tmp_path / "net.cnn").read_bytes() == mixed.replace(b"convv", b"conv")


def test_a_read_only_file_stays(cli: Run, tmp_path: Path) -> None:
    path = tmp_path / "net.cnn"
    path.write_text(WRONG)
    path.chmod(0o444)
    result = cli("check", "net.cnn", "--fix")
    assert result.code == 1
    assert result.err.startswith("error: net.cnn: the file is read-only, and stays as it is\n  fix: ")
    assert path.read_text() == WRONG


def test_a_file_that_changed_meanwhile_stays(tmp_path: Path) -> None:
    from cnnspec.cli.rewrite import rewrite
    from cnnspec.errors import DataError

    path = tmp_path / "net.cnn"
    path.write_text("someone was faster")
    with pytest.raises(DataError, match="changed meanwhile"):
        rewrite(path, WRONG.encode(), RIGHT.encode())
    assert path.read_text() == "someone was faster"


def test_a_pipe_is_not_mended(cli: Run, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, WRONG.encode())
    os.close(writer)
    try:
        result = cli("check", f"/dev/fd/{reader}", "--fix")
    finally:
        os.close(reader)
    assert result.code == 1
    assert "only a plain file can be mended" in result.err


def test_the_spec_of_a_run_stays(cli: Run, room: Path) -> None:
    before = (room / "run" / "spec.cnn").read_bytes()
    result = cli("check", "run", "--fix")
    assert result.code == 2
    assert "mend the file that it came from" in result.err
    assert (room / "run" / "spec.cnn").read_bytes() == before


def test_a_whole_spec_is_not_touched(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(RIGHT)
    before = (tmp_path / "net.cnn").stat()
    assert cli("check", "net.cnn", "--fix").code == 0
    after = (tmp_path / "net.cnn").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_a_guess_is_shown_and_left(cli: Run, tmp_path: Path) -> None:
    text = "input 8x8x1\nflatten -> dense 10\ntrain { optimizer adamv }\n"
    (tmp_path / "net.cnn").write_text(text)
    plain = cli("check", "net.cnn")
    assert "did you mean `adam" in plain.err
    assert "--fix" not in plain.err
    result = cli("check", "net.cnn", "--fix")
    assert (result.code, result.out) == (1, "")
    assert (tmp_path / "net.cnn").read_text() == text


def test_what_a_sure_edit_would_uncover_is_told(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text("input 8x8x1\nconv 4, 3x3 bogus=1\n")
    result = cli("check", "net.cnn", "--fix")
    assert result.code == 1
    assert "brings another mistake to light: conv has no `bogus` (line 2)" in result.err
    assert (tmp_path / "net.cnn").read_text() == "input 8x8x1\nconv 4, 3x3 bogus=1\n"


def test_warnings_end_well_and_their_sure_edits_are_made(cli: Run, tmp_path: Path) -> None:
    text = "input 8x8x1\nflatten -> dense 10\ndata {\n  source digits\n  normalize mean=127 std=64\n}\n"
    (tmp_path / "net.cnn").write_text(text)
    result = cli("check", "net.cnn")
    assert result.code == 0
    assert "warning[range]" in result.err
    assert "mean=0.498 std=0.251" in result.err
    assert cli("check", "net.cnn", "--fix").err == ""
    assert (tmp_path / "net.cnn").read_text() == text.replace("mean=127 std=64", "mean=0.498 std=0.251")


def test_a_large_spec_is_offered_its_mends_without_a_trial(cli: Run, tmp_path: Path) -> None:
    """Each trial reads the spec anew, which takes seconds where it is large."""
    (tmp_path / "net.cnn").write_text(WRONG + "# a comment\n" * 10_000)
    assert "note: cnnspec check net.cnn --fix  makes the edits that are sure" in cli("check", "net.cnn").err
    (tmp_path / "net.cnn").write_text(WRONG)
    assert "note: cnnspec check net.cnn --fix  mends 1 of 1" in cli("check", "net.cnn").err
