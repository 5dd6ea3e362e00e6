"""cnnspec draw: where drawings go, and in which format."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from terminal import in_a_terminal

Run = Callable[..., Any]
NET = "input 8x8x1\nstem: conv 4 3x3 -> relu\nflatten -> dense 2\n"


@pytest.fixture
def spec(cli: Run, tmp_path: Path) -> Path:
    (tmp_path / "net.cnn").write_text(NET)
    return tmp_path / "net.cnn"


@pytest.mark.parametrize(
    ("name", "start"),
    [("net.svg", "<svg "), ("net.SVG", "<svg "), ("net.dot", "digraph"), ("net.gv", "digraph"), ("net.mmd", "---")],
)
def test_the_name_of_the_file_says_the_format(cli: Run, spec: Path, name: str, start: str) -> None:
    result = cli("draw", spec, "-o", name)
    assert (result.code, result.out, result.err) == (0, f"wrote {name}\n", "")
    assert Path(name).read_text(encoding="utf-8").startswith(start)
    assert [p.name for p in spec.parent.iterdir()] in (["net.cnn", name], [name, "net.cnn"])


def test_a_pipe_gets_the_drawing(cli: Run, spec: Path) -> None:
    for more, start in (((), "<svg "), (("--format", "dot"), "digraph"), (("--format", "mermaid"), "---")):
        result = cli("draw", spec, *more)
        assert result.code == 0 and result.out.startswith(start) and result.err == ""
    assert ET.fromstring(cli("draw", spec, "-o", "-").out).tag.endswith("svg")
    assert cli("draw", spec, "--depth", "1").out.count("stem · 2 layers") == 1


def test_a_terminal_gets_text_but_no_svg(spec: Path) -> None:
    code, said = in_a_terminal(["draw", "net.cnn"], spec.parent)
    assert code == 2 and "an SVG is not for reading: write it to a file, -o net.svg" in " ".join(said.split())
    code, said = in_a_terminal(["draw", "net.cnn", "--format", "dot"], spec.parent)
    assert code == 0 and "digraph net {" in said


def test_no_spec_is_drawn_over(cli: Run, spec: Path) -> None:
    for arguments, words in (
        (("-o", spec), "net.cnn is no name for a drawing (.svg, .dot, .gv, .mmd, .mermaid): -o "),
        (("-o", "net"), "net is no name for a drawing"),
        (("-o", "a.svg", "--format", "dot"), "a.svg is the name of a svg file, not of dot"),
    ):
        result = cli("draw", spec, *arguments)
        assert result.code == 2 and words in result.err
    assert spec.read_text() == NET
    assert [*spec.parent.iterdir()] == [spec]


def test_what_cannot_be_drawn_or_written_is_told(cli: Run, spec: Path) -> None:
    result = cli("draw", spec, "-o", "nowhere/net.svg")
    assert result.code == 1 and "nowhere/net.svg: cannot be written: No such file or directory" in result.err
    assert cli("draw", spec, "--depth", "0").code == 2
    spec.write_text("input 8x8x1\nconf 4 3x3\n")
    Path("old.svg").write_text("old")
    result = cli("draw", spec, "-o", "old.svg")
    assert result.code == 1 and "did you mean `conv`?" in result.err
    assert Path("old.svg").read_text() == "old"


def test_a_run_is_drawn_as_its_spec_with_its_settings(cli: Run, room: Path) -> None:
    assert cli("draw", "run").out == cli("draw", "net.cnn").out.replace("net.cnn", "spec.cnn")


def test_the_manual_in_the_terminal_names_its_picture(cli: Run) -> None:
    said = " ".join(cli("help", "look").out.split())
    assert "(picture: ResNet-20, drawn by cnnspec)" in said and "!(" not in said
