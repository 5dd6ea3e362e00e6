"""Laws of the canonical form, and its decisions, each with an example."""

from __future__ import annotations

import random
from pathlib import Path
from typing import get_args

import pytest
from golden import CASES
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.compiler import Compiler
from cnnspec.errors import SpecError
from cnnspec.mend import findings
from cnnspec.source import Source
from cnnspec.syntax import ast
from cnnspec.syntax.format import LAYOUTS, format_spec
from cnnspec.syntax.parser import parse
from hunt.programs import Programs, judge_layout

ROOT = CASES.parent.parent
FOLDERS = ("specs", "benchmarks/specs", "cnnspec/cli/templates")
KEPT = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/*.cnn"))


def formatted(text: str) -> str:
    spec, errors = parse(Source("x.cnn", text))
    assert not errors, errors
    return format_spec(spec)


# ---- laws ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_the_specs_of_the_project_are_in_canonical_form(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert formatted(text) == text


@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_programs_keep_meaning_and_comments_and_stay_once_formatted(seed: int) -> None:
    text = Programs(random.Random(seed)).program()
    outcome, found = judge_layout(text)
    assert outcome == "formatted", text
    assert not found, text


@settings(max_examples=60)
@given(st.sampled_from(KEPT), st.data())
def test_specs_in_any_layout_come_back(path: Path, data: st.DataObject) -> None:
    """Where lines do not end, and how far things stand apart, is nothing of the author's: the form does not know it."""
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    for i in data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=8)):
        code, sign, comment = lines[i].partition("#")
        if '"' not in code and code.strip():
            apart = data.draw(st.sampled_from([" ", "   ", "\t"]))
            lines[i] = code[: len(code) - len(code.lstrip())] + apart.join(code.split()) + f"  {sign}{comment}"
    assert formatted("\n".join(lines)) == text


def test_every_class_of_the_tree_has_a_layout_and_is_drawn() -> None:
    """A new statement needs a function with ``@layout`` and a place in the programs that are drawn."""
    expressions, statements = set(get_args(ast.Expr)), set(get_args(ast.Statement)) - {ast.Broken}
    parts = {ast.Argument, ast.Body, ast.Table, ast.Row, ast.Step, ast.Parameter}
    for cls in expressions | statements | parts:
        assert cls in LAYOUTS, f"{cls.__name__} has no layout in cnnspec/syntax/format"
    seen: set[type] = set()

    def look(node: object) -> None:
        if isinstance(node, ast.Node):
            seen.add(type(node))
            look(tuple(vars(node).values()))
        elif isinstance(node, tuple):
            for part in node:
                look(part)

    for seed in range(200):
        look(parse(Source("x.cnn", Programs(random.Random(seed)).program()))[0].statements)
    assert expressions | statements | parts <= seen


def test_parentheses_around_an_expression_are_no_other_meaning() -> None:
    def meaning(text: str) -> tuple[ast.Statement, ...]:
        return parse(Source("x.cnn", text))[0].statements

    assert meaning("conv (2*c) 3x3") == meaning("conv 2*c 3x3") == meaning("conv ((2*(c))) 3x3")
    assert hash(meaning("conv (2*c) 3x3")) == hash(meaning("conv 2*c 3x3"))
    assert meaning("conv ((a+b)*c)") != meaning("conv a+b*c")
    assert meaning("conv (a-(b-c))") != meaning("conv (a-b-c)")


# ---- decisions ----------------------------------------------------------------------------------
LONG = " -> ".join(["conv 64 3x3 -> bn -> relu"] * 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("\n\n# a\n\n\n# b", "# a\n\n# b\n", id="comments alone"),
        pytest.param("conv   8  3x3   stride = 2->bn", "conv 8 3x3 stride=2 -> bn\n", id="spaces"),
        pytest.param("conv 8 3x3 ->\n  bn\n  -> relu", "conv 8 3x3 -> bn -> relu\n", id="a short chain"),
        pytest.param(
            LONG,
            "conv 64 3x3 -> bn -> relu -> conv 64 3x3 -> bn -> relu -> conv 64 3x3 -> bn -> relu\n"
            "  -> conv 64 3x3 -> bn -> relu\n",
            id="a long one breaks before a layer with arguments",
        ),
        pytest.param(
            LONG.replace("relu -> conv", "relu\n-> conv", 1),
            "conv 64 3x3 -> bn -> relu\n"
            "  -> conv 64 3x3 -> bn -> relu -> conv 64 3x3 -> bn -> relu -> conv 64 3x3 -> bn -> relu\n",
            id="or where its author broke it",
        ),
        pytest.param("conv 8 3x3  # a\n# b\n-> relu", "conv 8 3x3                        # a\n  # b\n  -> relu\n",
                     id="comments in a chain"),
        pytest.param("conv c*2 3x3\nrepeat n - 1 { bn }", "conv (c*2) 3x3\nrepeat n-1 { bn }\n", id="parentheses"),
        pytest.param("x (a - 3x3) s=- 3x3 (1 - 2)", "x (a - 3x3) s=- 3x3 (1-2)\n", id="a minus before a size"),
        pytest.param("input 8x8x1->flatten", "input 8x8x1 -> flatten\n", id="a flow that starts at the input"),
        pytest.param("block b { relu }", "block b() { relu }\n", id="a block has parentheses"),
        pytest.param("a:\n  conv 1\nlong:bn\n  relu\nbn", "a:    conv 1\nlong: bn\n      relu\nbn\n", id="labels"),
        pytest.param("s: f 8 -> f 8\nt: f 16 -> f 16", "s: f 8   -> f 8\nt: f 16  -> f 16\n", id="arrows of a table"),
        pytest.param("f 8 16\nf 128 1\n\nf 1 2", "f 8   16\nf 128 1\n\nf 1 2\n", id="calls of a table"),
        pytest.param("dense 120 -> relu\ndense 8 -> relu", "dense 120 -> relu\ndense 8 -> relu\n", id="no table"),
        pytest.param("train { epochs 3\n\nloss x\noptimizer y\n}",
                     "train {\n  epochs 3\n\n  loss      x\n  optimizer y\n}\n", id="sections"),
        pytest.param("concat { |a 1| b }", "concat { | a 1 | b }\n", id="rows on one line stay so"),
        pytest.param("concat {\n|a\nb\n|  # c\nd\n}", "concat {\n  | a\n    b\n  # c\n  | d\n}\n", id="rows"),
        pytest.param("a  # x\n   # y\n\n# z", "a                                 # x\n"
                     "                                  # y\n\n# z\n", id="a comment that goes on below"),
        pytest.param("x [1, # one\n2]", "x [\n  1,                              # one\n  2,\n]\n", id="tall list"),
        pytest.param("x [1,2,]  #no\t ", "x [1, 2]                          # no\n", id="commas"),
        pytest.param("filter f {\n1 0 - 1\n-2 1/2 3.\n}", "filter f {\n   1   0  -1\n  -2 1/2  3.\n}\n", id="filter"),
        pytest.param("filter f { |1 |2\n|  3 -1/16\n4 5}", "filter f {\n  | 1\n  | 2\n  | 3 -1/16\n    4     5\n}\n",
                     id="filter of channels"),
        pytest.param("for a,b in [(1,16),(6,8)] {bn}", "for a, b in [(1, 16), (6, 8)] { bn }\n", id="loop"),
        pytest.param("for a,b in [\n(16,1),(6,  8)]{\nbn }", "for a, b in [\n  (16, 1),\n  (6,  8),\n] {\n  bn\n}\n",
                     id="table of a loop"),
        pytest.param("if (a>1)  and not(b) {bn} else  if c*2==3{x}\telse {\ny}",
                     "if (a > 1) and not (b) {\n  bn\n} else if c*2 == 3 {\n  x\n} else {\n  y\n}\n", id="conditions"),
        pytest.param("if a {bn} else {x}", "if a { bn } else { x }\n", id="a condition in a line"),
        pytest.param("filter f {|1|-1}", "filter f { | 1 | -1 }\n", id="filter in a line"),
        pytest.param("b {\n\n\na\n\n\n\nb\n\n}\n\n\n", "b {\n  a\n\n  b\n}\n", id="blank lines"),
        pytest.param("a {\r\n\tb\r\n}\r\n", "a {\n  b\n}\n", id="line ends and tabs"),
    ],
)  # fmt: skip
def test_decisions(text: str, expected: str) -> None:
    assert formatted(text) == expected
    assert formatted(expected) == expected


def test_long_lists_take_several_lines() -> None:
    text = f"x mean=[{', '.join(['0.125'] * 20)}] std=[0.5]\nx [{', '.join(['[1, 2, 3]'] * 12)}]"
    lines = formatted(text).split("\n")
    assert lines[0] == "x mean=["
    assert "] std=[0.5]" in lines
    assert lines.count("  [1, 2, 3],") == 12
    assert max(map(len, lines)) <= 100


def test_a_text_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(SpecError, match="an arrow leads to nothing"):
        Compiler.from_text("input 8x8x1\nconv 8 ->\n").formatted()


def test_a_form_larger_than_a_spec_may_be_is_refused() -> None:
    text = ("concat { | " * 45 + "relu" + " }" * 45 + "\n") * 200
    with pytest.raises(SpecError, match="in its one form the text would be larger"):
        Compiler.from_text(text).formatted()


# ---- shape comments -----------------------------------------------------------------------------
NET = """\
input 28x28x1
block two(c) {
  conv c 3x3 -> relu
  conv 4 3x3
}
conv 6 5x5 -> tanh  # first
repeat 2 { conv 6 1x1 }
two 8
two 8
residual {
  conv 4 3x3 -> bn
}
flatten
dense 10
"""


def codes(text: str, settings: dict[str, str] | None = None) -> list[str]:
    return [d.message for d in findings(Source("x.cnn", text), settings) if d.code == "shape-comment"]


def test_shapes_are_written_and_hold() -> None:
    text = Compiler.from_text(NET).formatted(shapes=True)
    shown = {line.split("  ")[0]: line.partition("#: ")[2] for line in text.split("\n") if "#:" in line}
    assert shown == {
        "conv 6 5x5 -> tanh": "28x28x6 | 156 params | sees 5x5  # first",
        "repeat 2 { conv 6 1x1 }": "28x28x6 | 84 params | sees 5x5",
        "": "",  # the lines of the block, whose shapes are below
        "two 8": "28x28x4 | 588 params | sees 13x13",
        "}": "28x28x4 | 156 params | sees 15x15",
        "flatten": "3136 | sees 15x15",
        "dense 10": "10 | 31,370 params | sees all",
    } | {"": shown[""]}
    assert "conv c 3x3 -> relu              #: 28x28x8\n" in text
    assert "  conv 4 3x3                      #: 28x28x4 | 292 params\n" in text
    assert codes(text) == []
    assert Compiler.from_text(text).formatted(shapes=True) == text
    assert Compiler.from_text(text).formatted() == text


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_shape_comments_of_real_specs_hold_and_change_nothing(path: Path) -> None:
    compiler = Compiler.from_path(path)
    text = compiler.formatted(shapes=True)
    assert "#: " in text
    assert codes(text) == []
    assert Compiler.from_text(text).summary.rows == compiler.summary.rows
    assert Compiler.from_text(text).formatted(shapes=True) == text


@pytest.mark.parametrize(
    ("comment", "wrong"),
    [
        ("#: 8x8x4", ""),
        ("#: 8x8x4 | 40 params", ""),
        ("#: 40 params  # so few", ""),
        ("#: sees 3x3 | 8x8x4", ""),
        ("#: 8x8x5", "stale"),
        ("#: 8x8x4 | 41 params", "stale"),
        ("#: 8x8x4 | sees 5x5", "stale"),
        ("#: 8x8x4 | 8x8x4", "no shape comment"),
        ("#: small", "no shape comment"),
        ("#:", "no shape comment"),
        ("# #: 8x8x5", ""),
    ],
)
def test_what_check_says_of_a_shape_comment(comment: str, wrong: str) -> None:
    text = f"input 8x8x1\nconv 4 3x3 {comment}\nflatten -> dense 10\n"
    found = codes(text)
    assert len(found) == bool(wrong)
    assert not wrong or wrong in found[0]


def test_a_shape_comment_without_a_flow_before_it() -> None:
    for text in (
        "input 8x8x1 #: 8x8x1\nconv 4 3x3",
        "input 8x8x1\n#: 8x8x4\nconv 4 3x3",
        "input 8x8x1\nconv 4 3x3  #: 8x8x4\n-> bn",
    ):
        assert codes(f"{text}\nflatten -> dense 10") == [
            "a shape comment stands at the end of a flow, and none ends here"
        ]


def test_a_line_that_stands_for_several_places() -> None:
    text = NET.replace("conv c 3x3 -> relu", "conv c 3x3 -> relu  #: 28x28x8 | 440 params")
    assert codes(text) == ["this line stands for several places, in which that is not the same"]
    assert codes(text.replace(" | 440 params", "")) == []


def test_rounds_of_a_loop_are_places_of_their_own() -> None:
    text = "input 8x8x4\nfor c in [4, 4] {\n  conv c 1x1\n}\nflatten -> dense 10\n"
    lines = Compiler.from_text(text).formatted(shapes=True).split("\n")
    assert lines[2].split("#: ")[1] == "8x8x4 | 20 params | sees 1x1"
    assert lines[3].split("#: ")[1] == "8x8x4 | 40 params | sees 1x1"


def test_stale_shape_comments_are_renewed_and_the_words_beside_stay() -> None:
    from cnnspec.mend import mend

    text = NET.replace("# first", "#: 28x28x7 | 9 params  # first")
    mended, edits, rest = mend(Source("x.cnn", text))
    assert (edits, rest) == (1, ())
    assert mended.text == NET.replace("# first", "#: 28x28x6 | 156 params  # first")


def test_an_edit_that_changes_a_shape_renews_its_comment_too() -> None:
    from cnnspec.mend import mend

    mended, _, rest = mend(Source("x.cnn", "input 8x8x1\nconvv 4 3x3  #: 8x8x5\nflatten -> dense 10\n"))
    assert rest == ()
    assert "conv 4 3x3  #: 8x8x4\n" in mended.text


def test_shape_comments_speak_of_the_net_as_it_is_written() -> None:
    text = "param c = 4\ninput 8x8x1\nconv c 3x3  #: 8x8x4\nflatten -> dense 10\ntrain { epochs 2 }\n"
    assert codes(text) == codes(text, {"c": "8"}) == []
    assert codes(text.replace("8x8x4", "8x8x8"), {"c": "8"}) == []
    assert len(codes(text.replace("8x8x4", "8x8x8"), {"train.epochs": "3"})) == 1
