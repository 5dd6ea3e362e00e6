"""``fmt`` on files and pipes: what is written, what is said, and what stays as it is."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
UGLY = "input 8x8x1   # picture\nconv 4   3x3->relu\nflatten -> dense 10\n"
FORM = "input 8x8x1                       # picture\nconv 4 3x3 -> relu\nflatten -> dense 10\n"
BROKEN = "input 8x8x1\nconv 4 ->\n"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Return a folder with a spec that is not in its form, one that is, and one that cannot be read."""
    for name, text in (("ugly", UGLY), ("form", FORM), ("broken", BROKEN)):
        (tmp_path / f"{name}.cnn").write_text(text)
    return tmp_path


def test_files_are_written_and_named(cli: Run, here: Path) -> None:
    before = (here / "form.cnn").stat()
    result = cli("fmt", "ugly.cnn", "form.cnn")
    assert (result.code, result.out, result.err) == (0, "formatted ugly.cnn\n", "")
    assert (here / "ugly.cnn").read_text() == FORM
    after = (here / "form.cnn").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    result = cli("fmt", "ugly.cnn", "form.cnn")
    assert (result.code, result.out) == (0, "ok     2 files: nothing to change\n")
    assert sorted(p.name for p in here.iterdir()) == ["broken.cnn", "form.cnn", "ugly.cnn"]


def test_check_names_files_and_changes_none(cli: Run, here: Path) -> None:
    result = cli("fmt", "--check", "ugly.cnn", "form.cnn")
    assert (result.code, result.out) == (1, "would change ugly.cnn\n")
    assert (here / "ugly.cnn").read_text() == UGLY
    result = cli("fmt", "--check", "form.cnn")
    assert (result.code, result.out) == (0, "ok     form.cnn: nothing to change\n")


@pytest.mark.skipif(shutil.which("patch") is None, reason="applies the diff")
@pytest.mark.parametrize("text", [UGLY, UGLY.rstrip("\n"), FORM.rstrip("\n"), UGLY + "\n\n"])
def test_the_diff_is_the_change(cli: Run, here: Path, text: str) -> None:
    (here / "ugly.cnn").write_text(text)
    result = cli("fmt", "--diff", "ugly.cnn")
    assert result.code == 0
    assert (here / "ugly.cnn").read_text() == text
    assert cli("fmt", "--diff", "--check", "ugly.cnn").code == 1
    subprocess.run(["patch", "-s", "-p0"], cwd=here, input=result.out.encode(), check=True)
    assert (here / "ugly.cnn").read_text() == FORM


def test_a_file_that_cannot_be_read_stays_and_the_others_are_written(cli: Run, here: Path) -> None:
    result = cli("fmt", "broken.cnn", "ugly.cnn", "none.cnn")
    assert result.code == 1
    assert result.out == "formatted ugly.cnn\n"
    assert "error[syntax]: an arrow leads to nothing" in result.err
    assert "none.cnn: there is no such file" in result.err
    assert (here / "broken.cnn").read_text() == BROKEN
    assert (here / "ugly.cnn").read_text() == FORM


def test_standard_input(cli: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fmt(content: bytes, *options: str) -> Any:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        return cli("fmt", *options, "-")

    assert (fmt(UGLY.encode()).code, fmt(UGLY.encode()).out) == (0, FORM)
    assert fmt(FORM.encode()).out == FORM
    assert fmt(b"").out == ""
    assert fmt(UGLY.replace("\n", "\r\n").encode()).out == FORM.replace("\n", "\r\n")
    result = fmt(BROKEN.encode())
    assert (result.code, result.out) == (1, "")
    assert "standard input:3:1" in result.err
    result = fmt(UGLY.encode(), "--check")
    assert (result.code, result.out) == (1, "would change standard input\n")
    assert "+conv 4 3x3 -> relu" in fmt(UGLY.encode(), "--diff").out
    assert json.loads(fmt(UGLY.encode(), "--json").out)["files"][0]["text"] == FORM
    assert "a spec may have at most" in fmt(b"#" * 1_000_001).err
    assert "is not UTF-8" in fmt(b"# \xff").err


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
def test_line_ends_and_byte_order_mark_stay(cli: Run, here: Path, mark: bytes, end: bytes) -> None:
    def as_bytes(text: str) -> bytes:
        return mark + text.encode().replace(b"\n", end)

    path = here / "ugly.cnn"
    path.write_bytes(as_bytes(UGLY + "\n\n# end"))
    assert cli("fmt", "ugly.cnn").code == 0
    assert path.read_bytes() == as_bytes(FORM + "\n# end\n")
    assert cli("fmt", "--check", "ugly.cnn").code == 0


def test_mode_and_links_stay(cli: Run, here: Path) -> None:
    path, link, second = here / "ugly.cnn", here / "link.cnn", here / "second.cnn"
    path.chmod(0o640)
    link.symlink_to("ugly.cnn")
    os.link(path, second)
    assert cli("fmt", "link.cnn").code == 0
    assert link.is_symlink()
    assert path.read_text() == second.read_text() == FORM
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_read_only_file_stays(cli: Run, here: Path) -> None:
    (here / "ugly.cnn").chmod(0o444)
    result = cli("fmt", "ugly.cnn")
    assert result.code == 1
    assert "read-only" in result.err
    assert (here / "ugly.cnn").read_text() == UGLY
    assert "formatted" not in result.out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes")
def test_what_is_no_file_is_refused(cli: Run, here: Path) -> None:
    os.mkfifo(here / "pipe.cnn")
    result = cli("fmt", "pipe.cnn")
    assert result.code == 1
    assert "cnnspec fmt -  reads standard input" in result.err
    assert "this is a folder" in cli("fmt", ".").err
    assert cli("fmt").code == 2


def test_the_report_as_json(cli: Run, here: Path) -> None:
    result = cli("fmt", "--json", "--check", "ugly.cnn", "broken.cnn", "none.cnn")
    assert result.code == 1
    report = json.loads(result.out)
    assert report["ok"] is False
    assert [(f["file"], f["changed"], f["written"]) for f in report["files"]] == [
        ("ugly.cnn", True, False),
        ("broken.cnn", False, False),
        ("none.cnn", False, False),
    ]
    assert [d["code"] for f in report["files"] for d in f["diagnostics"]] == ["syntax", "file"]
    report = json.loads(cli("fmt", "--json", "ugly.cnn").out)
    assert report["files"][0]["written"] is True
    assert (here / "ugly.cnn").read_text() == FORM


def test_shapes_are_written_checked_and_renewed(cli: Run, here: Path) -> None:
    path = here / "ugly.cnn"
    assert cli("fmt", "--shapes", "ugly.cnn").code == 0
    text = path.read_text()
    assert "conv 4 3x3 -> relu                #: 8x8x4 | 40 params | sees 3x3\n" in text
    assert cli("check", "ugly.cnn").code == 0
    path.write_text(text.replace("conv 4", "conv 5"))
    result = cli("check", "ugly.cnn")
    assert result.code == 1
    assert "error[shape-comment]: the shape comment is stale" in result.err
    assert "8x8x5, not 8x8x4; 50 params, not 40 params" in result.err
    assert json.loads(cli("check", "--json", "ugly.cnn").out)["diagnostics"][0]["code"] == "shape-comment"
    assert cli("summary", "ugly.cnn").code == 0
    assert cli("check", "--fix", "ugly.cnn").code == 0
    assert "#: 8x8x5 | 50 params | sees 3x3" in path.read_text()


def test_shapes_of_a_net_with_a_mistake_are_refused(cli: Run, here: Path) -> None:
    path = here / "ugly.cnn"
    path.write_text(UGLY.replace("conv", "convv"))
    result = cli("fmt", "--shapes", "ugly.cnn")
    assert result.code == 1
    assert "error[unknown-layer]" in result.err
    assert path.read_text() == UGLY.replace("conv", "convv")
    assert cli("fmt", "ugly.cnn").code == 0
