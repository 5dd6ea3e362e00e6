"""``cnnspec diff``: what it prints, and how it ends."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnspec.cli import render
from cnnspec.cli.diff import FEW
from cnnspec.compiler import Compiler
from cnnspec.text import columns

Run = Callable[..., Any]
SPECS = Path(__file__).resolve().parent.parent.parent / "specs"
TABLE = """\
           Layer            Output Shape Param # Mult-Adds  Sees Line
changed  - conv 4 3x3 pad=1        8x8x4      40    2.30 k   3x3    2
         + conv 4 5x5 pad=2        8x8x4     104    6.40 k   5x5    2
follows  - relu                    8x8x4       -         -   3x3    2
         + relu                    8x8x4       -         -   5x5    2
follows  - flatten                   256       -         -   3x3    3
         + flatten                   256       -         -   5x5    3
follows  - dense 10                   10   2,570    2.56 k 10x10    3
         + dense 10                   10   2,570    2.56 k 12x12    3

                 a.cnn     b.cnn  difference
Layers               4         4
Total params     2,610     2,674         +64
Mult-Adds       4.86 k    8.96 k     +84.2 %
Activations   3.04 KiB  3.04 KiB
Sees             10x10     12x12
train.epochs         2         3
"""


def write(name: str, text: str) -> str:
    Path(name).write_text(text)
    return name


@pytest.fixture
def pair(cli: Run) -> tuple[str, str]:
    old = "input 8x8x1\nconv 4 3x3 -> relu\nflatten -> dense 10\ntrain { epochs 2 }\n"
    return write("a.cnn", old), write("b.cnn", old.replace("4 3x3", "4 5x5").replace("epochs 2", "epochs 3"))


def test_the_table(cli: Run, pair: tuple[str, str]) -> None:
    result = cli("diff", *pair)
    assert (result.code, result.err) == (1, "")
    assert result.out == TABLE


def test_it_ends_as_diff_does(cli: Run, pair: tuple[str, str]) -> None:
    same = cli("diff", pair[0], pair[0])
    assert (same.code, same.out, same.err) == (0, "equal  a.cnn and a.cnn: 4 layers\n", "")
    assert cli("diff", *pair).code == 1
    missing = cli("diff", pair[0], "nosuch.cnn")
    assert (missing.code, missing.out) == (2, "")
    assert "nosuch.cnn: there is no such file" in missing.err
    wrong = cli("diff", pair[0], write("w.cnn", "input 8x8x1\nconf 4 3x3\n"), "--json")
    assert (wrong.code, wrong.out) == (2, "")
    assert "w.cnn:2:1" in wrong.err
    assert cli("diff", pair[0]).code == 2


def test_set_changes_the_second(cli: Run) -> None:
    spec = write("p.cnn", "input 8x8x1\nparam width = 4\nconv width 3x3\n")
    result = cli("diff", spec, spec, "--set", "width=6")
    assert result.code == 1
    assert re.search(r"^changed +- conv 4 3x3 .*\n +\+ conv 6 3x3 ", result.out, re.MULTILINE)
    assert re.search(r"^Total params +40 +60 +\+20$", result.out, re.MULTILINE)


def test_a_stale_expectation_does_not_stop_it(cli: Run) -> None:
    """Someone edits a net and asks what that has changed, before they adapt the `expect` line."""
    old = write("a.cnn", "input 8x8x1\nconv 4 3x3\nexpect params == 40\n")
    result = cli("diff", old, write("b.cnn", Path(old).read_text().replace("conv 4", "conv 5")))
    assert (result.code, result.err) == (1, "")


def test_many_that_follow_are_counted(cli: Run) -> None:
    layers = "conv 4 3x3 -> relu\n" * FEW
    old, new = (write(f"{n}.cnn", f"input {n}x{n}x1\n{layers}") for n in (8, 9))
    result = cli("diff", old, new)
    assert f"{2 * FEW} layers more, written as before, have other numbers: --all lists them" in result.out
    assert "follows" not in result.out
    assert cli("diff", old, new, "--all").out.count("follows") == 2 * FEW


@pytest.mark.parametrize("width", (60, 80, 120))
def test_no_line_is_wider_than_the_terminal(cli: Run, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "terminal_width", lambda *, stderr=False: width)
    shutil.copy(SPECS / "zoo" / "mobilenetv2.cnn", "mobile.cnn")
    shutil.copy(SPECS / "zoo" / "resnet20.cnn", "a-name-that-is-longer-than-a-column.cnn")
    for arguments in (("mobile.cnn", "mobile.cnn", "--set", "width=0.5"),
                      ("mobile.cnn", "a-name-that-is-longer-than-a-column.cnn")):  # fmt: skip
        lines = cli("diff", *arguments).out.splitlines()
        assert len(lines) > 20
        assert max(map(columns, lines)) <= width


def test_json(cli: Run, pair: tuple[str, str]) -> None:
    result = cli("diff", *pair, "--json")
    found = json.loads(result.out)
    assert (result.code, found["equal"], found["files"]) == (1, False, [*pair])
    assert [c["change"] for c in found["layers"]] == ["changed", "follows", "follows", "follows"]
    before, after = (Compiler.from_path(path).summary.to_json() for path in pair)
    assert (found["layers"][0]["old"], found["layers"][0]["new"]) == (before["layers"][0], after["layers"][0])
    assert [t["params"] for t in found["totals"]] == [before["params"], after["params"]]
    assert found["settings"] == [{"name": "train.epochs", "old": "2", "new": "3"}]
    same = cli("diff", pair[0], pair[0], "--json")
    assert (same.code, json.loads(same.out)["equal"]) == (0, True)


def test_runs_are_compared_by_what_they_measured(cli: Run, room: Path) -> None:
    shutil.copytree(room / "run", room / "other")
    assert cli("diff", "run", "other").code == 0
    rows = [json.loads(line) for line in (room / "run" / "metrics.jsonl").read_text().splitlines()]
    best = json.loads((room / "run" / "manifest.json").read_text())["result"]["best"]["epoch"]
    manifest = json.loads((room / "other" / "manifest.json").read_text())
    manifest["result"]["test.accuracy"] = 0.25
    manifest["result"]["best"]["epoch"] = 3 - best
    (room / "other" / "manifest.json").write_text(json.dumps(manifest))
    result = cli("diff", "run", "other", "--json")
    found = json.loads(result.out)
    assert (result.code, found["equal"], found["layers"], found["settings"]) == (1, False, [], [])
    assert found["results"][1]["test.accuracy"] == 0.25
    assert [r["train.loss"] for r in found["results"]] == [rows[n - 1]["train.loss"] for n in (best, 3 - best)]
    assert re.search(r"^test\.accuracy +[\d.]+ % +25\.00 % +-[\d.]+ pt$", cli("diff", "run", "other").out, re.MULTILINE)
    assert cli("diff", "run", "net.cnn").code == 0  # a spec has measured nothing
