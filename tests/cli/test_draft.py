"""summary of a spec with mistakes: the table up to the first, and behind it where shapes are known."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnspec.cli import render
from cnnspec.compiler import Compiler
from cnnspec.errors import SpecError
from cnnspec.mend import suppose
from cnnspec.model.summary import Row
from cnnspec.model.summary_text import draft_table
from cnnspec.source import Source

Run = Callable[..., Any]
ROOT = Path(__file__).resolve().parent.parent.parent
TOLD = "! has a mistake, told below or when those are mended; ? is not known behind one."
BODY = """\
input 8x8x3
a: conv 4 3x3 -> relu
capsule 3
conv 8 3x3 -> relu
add { | identity | from a }
conv 8 3x3
flatten
dense 10 -> relu
dense 2
"""


@pytest.fixture
def table(cli: Run, tmp_path: Path) -> Callable[[str], list[str]]:
    def show(text: str) -> list[str]:
        (tmp_path / "net.cnn").write_text(text)
        result = cli("summary", "net.cnn")
        assert result.code == 1
        assert cli("check", "net.cnn").err.startswith(result.err)  # check adds what --fix would do
        return result.out.splitlines()

    return show


def test_layers_stand_up_to_the_mistake_and_behind_it_where_shapes_are_known(table: Callable[[str], list[str]]) -> None:
    assert table(BODY) == [
        "net.cnn: 8x8x3 -> 2",
        "",
        "Layer                Output Shape  Param #  Mult-Adds  Sees  Line",
        "─────────────────────────────────────────────────────────────────",
        "a.conv    3x3 pad=1         8x8x4      112     6.91 k   3x3     2",
        "a.relu                      8x8x4        -          -   3x3     2",
        "capsule   !                     ?        ?          ?     ?     3",
        "conv1                           ?        ?          ?     ?     4",
        "relu1                           ?        ?          ?     ?     4",
        "identity                        ?        ?          ?     ?     5",
        "add                         8x8x4        ?          ?     ?     5",  # of one shape with the branch `a`
        "conv2     3x3 pad=1         8x8x8      296     18.4 k     ?     6",
        "flatten                       512        -          -     ?     7",
        "dense1                         10    5,130     5.12 k     ?     8",
        "relu2                          10        -          -     ?     8",
        "dense2                          2       22         20     ?     9",
        "─────────────────────────────────────────────────────────────────",
        TOLD,
        "",
    ]


def test_the_mistakes_are_told_on_stderr_as_ever(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(BODY)
    found = cli("summary", "net.cnn")
    assert found.err.startswith("error[unknown-layer]: unknown layer `capsule`")
    assert found.err == cli("check", "net.cnn").err
    as_json = cli("summary", "net.cnn", "--json")
    assert (as_json.code, as_json.out, as_json.err) == (1, "", found.err)


def test_no_mistake_is_told_for_shapes_that_rest_on_one(table: Callable[[str], list[str]], cli: Run) -> None:
    """A residual keeps the shape of its input; whether the author meant so is told when the first mistake is mended."""
    text = "input 8x8x3\nresidual { capsule 3 }\nmaxpool 9\nconv 8 3x3\nflatten -> dense 2\n"
    lines = table(text)
    assert any(line.split()[:2] == ["residual", "8x8x3"] for line in lines)
    assert any(line.split()[:2] == ["maxpool", "?"] for line in lines)
    assert cli("check", "net.cnn").err.count("error[") == 1


def test_a_guess_shows_the_rest_of_the_table(table: Callable[[str], list[str]]) -> None:
    lines = table("input 8x8x1\nconv 4 3x3 -> rleu -> flatten -> dense 2\n")
    assert [line.split()[:2] for line in lines[4:8]] == [
        ["conv", "3x3"], ["relu", "!"], ["flatten", "256"], ["dense", "2"],
    ]  # fmt: skip
    assert lines[9:11] == ["Shown as the edits below would mend it, guesses too.", TOLD]


def test_a_guess_that_spoils_the_text_is_not_made() -> None:
    source = Source("net.cnn", "input 8x8x1\nresidual { foo 3 -> conv 1 3x3 }\n")  # did you mean `for`?
    with pytest.raises(SpecError) as caught:
        assert Compiler(source).model
    supposed, [(place, _)] = suppose(source, caught.value.diagnostics)
    assert supposed == source and place.text == "foo"


def test_a_mistake_in_a_block_is_marked_where_it_is_met(table: Callable[[str], list[str]]) -> None:
    lines = table(
        "input 8x8x4\nblock b(s) { residual { conv 4 3x3 stride=s } }\n"
        "one: b 1\ntwo: b 2\nthree: conv 4 1x1\nflatten -> dense 2\n"
    )
    marked = [line.split()[0] for line in lines if " !" in line]
    assert marked == ["add"]  # that of `two`, as the edit would mend it
    assert lines.index(next(line for line in lines if line.startswith("two"))) < lines.index(
        next(line for line in lines if " !" in line)
    )


@pytest.mark.parametrize(
    "text",
    [
        "input 8x8x1\nconv 4 3x3 -> -> relu\nflatten -> dense 2\n",
        "input 8x8x1\nconv 4 3x3\nflatten -> dense 2\nexpect params <= 3\n",
        "input 8x8x1\nconv 4 3x3\nflatten -> dense 2\ntrain { epochs -1 }\n",
        "input 8x8x1\nconv 4 3x3\nrepeat 3 { conv 4 3x3 stride=3 pad=none -> bn }\nflatten -> dense 2\n",
        "input 8x8x1\nconv 4 3x3\nfor c in [2, 4] { conv c 3x3 strid=2 }\nflatten -> dense 2\n",
        "input 8x8x1\nblock b() { bogus }\nconv 4 3x3\nflatten -> dense 2\n",  # a block that nobody calls
        "input 8x8x1\nblock b() { dense 3 -> relu -> bogus }\nconv 4 3x3\nb\n",
        "input 8x8x1\nconv 4 3x3\nif 1 > q { conv 4 3x3 } else { bogus }\nflatten -> dense 2\n",
        "input 8x8x1\nconv 4 3x3\nconcat { | conv 2 3x3 }\nmultiply { | bogus | identity }\ndense 2\n",
    ],
)
def test_every_kind_of_mistake_has_its_table(table: Callable[[str], list[str]], text: str) -> None:
    lines = table(text)
    assert lines[0].startswith("net.cnn: 8x8x1 -> ")
    assert any(line.split()[0] in ("conv", "conv1") for line in lines if line)


def test_where_no_layer_is_known_there_is_no_table(cli: Run, tmp_path: Path) -> None:
    for text in ("import torch\nx = 3\n", "conv 3 3x3\n", "input 8x8x1\nbogus\n", ""):
        (tmp_path / "net.cnn").write_text(text)
        result = cli("summary", "net.cnn")
        assert (result.code, result.out) == (1, "") and "error" in result.err


def test_tables_of_broken_specs_end_in_no_traceback_and_fit_the_terminal(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hunt.specs import broken, examples

    rng, texts, shown = random.Random(3), examples(), 0
    monkeypatch.setattr(render, "terminal_width", lambda *, stderr=False: 60)
    for _ in range(60):
        (tmp_path / "net.cnn").write_text(broken(rng, texts), encoding="utf-8", errors="replace")
        result = cli("summary", "net.cnn")
        assert result.code in (0, 1)
        if result.code == 1 and result.out:
            shown += 1
            assert max(map(len, result.out.splitlines())) <= 60
            assert "?" in result.out and TOLD.split()[0] in result.out
    assert shown > 20


def test_the_draft_of_a_whole_spec_has_the_rows_of_its_summary() -> None:
    for path in sorted((ROOT / "specs").rglob("*.cnn")):
        compiler = Compiler.from_path(path)
        draft = compiler.draft
        assert draft is not None
        assert [row for row, *_ in draft.rows] == [*compiler.summary.rows]
        assert all(isinstance(row, Row) for row, *_ in draft.rows)
        assert not any("!" in line or "?" in line for line in draft_table(draft, [])[1:])


def test_a_block_that_nobody_calls_adds_no_layer_to_a_whole_net() -> None:
    text = "input 8x8x1\nblock b() { dense 10 -> relu -> dense 3 }\nflatten -> dense 2\n"
    assert [layer.name for layer in Compiler.from_text(text).model.layers] == ["flatten", "dense"]


def test_json_of_a_whole_spec_is_as_ever(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text("input 8x8x1\nflatten -> dense 2\n")
    assert json.loads(cli("summary", "net.cnn", "--json").out)["params"] == 130
