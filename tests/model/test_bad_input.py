"""Each kind of wrong spec ends in a message with the right words, line and column."""

from __future__ import annotations

import dataclasses

import pytest

from cnnspec.compiler import Compiler
from cnnspec.errors import DataError, SpecError
from cnnspec.model.elsewhere import is_no_layer_of_ours
from cnnspec.ops import LAYERS
from cnnspec.syntax.spec_file import decode, read_source

HEAD = "input 28x28x1\n"  # line 1 of each spec below


@dataclasses.dataclass
class Bad:
    """``text`` follows HEAD, so its first line is line 2; ``words`` must all stand in the message as printed."""

    name: str
    text: str
    line: int
    column: int
    words: tuple[str, ...]


BAD = [
    Bad("unknown layer", "cov 6 5x5", 2, 1, ("unknown layer `cov`", "did you mean `conv`?")),
    Bad("unknown layer, nothing near", "xyzzy 6", 2, 1, ("unknown layer `xyzzy`", "cnnspec layers")),
    Bad("a layer's name elsewhere", "Linear 10", 2, 1, ("unknown layer `Linear`", "did you mean `dense`?")),
    Bad("an activation's name elsewhere", "relu -> swish", 2, 9, ("unknown layer `swish`", "did you mean `silu`?")),
    Bad("a layer not ours", "relu -> selu", 2, 9, ("no such layer", "cnnspec layers")),
    Bad("a key's name elsewhere", "conv 6 kernel_size=5", 2, 8, ("no `kernel_size`", "did you mean `size`?")),
    Bad("activation as a key", "conv 6 5x5 activation=relu", 2, 12, ("a layer of its own", "write  -> relu")),
    Bad("a colon behind a layer", "conv: 6 5x5", 2, 7, ("a label names nothing", "delete the colon")),
    Bad("a thick arrow", "relu => relu", 2, 6, ("an arrow is written ->", "found =>")),
    Bad("an arrow in two", "relu - > relu", 2, 6, ("an arrow is written ->", "found - >")),
    Bad("classes misspelt", "flatten -> dense clases", 2, 18, ("`clases`", "did you mean `classes`?")),
    Bad("a path without quotes", "relu\ndata { source folders data/x }", 3, 23, ("double quotes", 'write "data/x"')),
    Bad("an absolute one", "relu\ndata { source npz /x/y }", 3, 8, ('write  source npz "/x/y"',)),
    Bad("a relative one", "relu\ndata { source npz ../x }", 3, 19, ("double quotes",)),
    Bad("percent without its sign", "relu\ndata { source mnist\nsplit val=10 }", 4, 11, ("is written 10%",)),
    Bad("a number for the millions", "conv 99999999999999999999 3x3", 2, 6, ("between 1 and 1,000,000",)),
    Bad("slashes for a comment", "relu\nparam n = 3x3 // three", 3, 11, ("a comment begins with #",)),
    Bad("unknown key", "conv 6 5x5 strid=2", 2, 12, ("conv has no `strid`", "did you mean `stride`?")),
    Bad("unknown name", "conv widht 5x5\nparam width = 3", 2, 6, ("`widht`", "did you mean `width`?")),
    Bad("unknown value", "conv 6 5x5 pad=sme", 2, 16, ("cannot be `sme`", "did you mean `same`?")),
    Bad("yes or no", "conv 6 5x5 bias=true", 2, 17, ("yes or no", "did you mean `yes`?")),
    Bad("unknown setting", "relu\ntrain { epoch 3 }", 3, 9, ("no `epoch`", "did you mean `epochs`?")),
    Bad("unknown loss", "relu\ntrain { loss crossentropy }", 3, 14, ("did you mean `cross_entropy`?",)),
    Bad(
        "unknown source",
        "relu\ndata { source digit }",
        3,
        15,
        ("cannot be `digit`", "did you mean `digits`?"),
    ),
    Bad("unknown label", "enc1: relu\nfrom enc2", 3, 6, ("unknown label `enc2`", "did you mean `enc1`?")),
    Bad("later label", "from enc1\nenc1: relu", 2, 6, ("unknown label `enc1`", "above this line")),
    Bad(
        "unknown metric",
        "relu\nexpect parms == 0",
        3,
        8,
        ("unknown metric `parms`", "did you mean `params`?"),
    ),
    Bad("missing argument", "conv 6", 2, 1, ("conv needs its size", "write  conv 6 3x3")),
    Bad("surplus argument", "conv 6 5x5 3", 2, 12, ("`3` is one too many", "conv OUT_CHANNELS SIZE")),
    Bad("surplus of none", "relu 3", 2, 6, ("relu takes no bare argument",)),
    Bad("wrong type: text", 'conv "six" 5x5', 2, 6, ("must be a whole number", 'found the text "six"')),
    Bad("wrong type: fraction", "conv 6.5 5x5", 2, 6, ("must be a whole number", "found 6.5", "floor(6.5)")),
    Bad("wrong type: size of three", "conv 6 5x5x1", 2, 8, ("rows x columns", "found the size 5x5x1")),
    Bad("dense after an image", "conv 6 5x5\ndense 10", 3, 1, ("28 * 28 * 6 = 4704", "write  flatten")),
    Bad("conv after flatten", "flatten -> conv 6 5x5", 2, 12, ("conv needs an image", "flat vector of 784")),
    Bad(
        "residual",
        "block b(c) {\n residual { conv c 3x3 stride=2 }\n}\nb 1",
        3,
        2,
        (
            "residual branches do not match",
            "the body makes 14x14x1, the shortcut is 28x28x1",
            "floor((28 + 2*1 - 3) / 2) + 1 = 14",
            "in block b, called at line 5",
            "project { conv c 1x1 stride=2 }",
        ),
    ),
    Bad(
        "concat",
        "block b {\n concat { | identity | maxpool 2 }\n}\nrepeat 2 { b }",
        3,
        2,
        ("28x28x1", "14x14x1", "in block b, called at line 5", "in repeat 1 of 2", "line 3: 14x14x1"),
    ),
    Bad("add", "add { | conv 3 3x3 | conv 4 3x3 }", 2, 1, ("28x28x3", "28x28x4")),
    Bad("even kernel", "conv 6 4x4", 2, 8, ("pad=same needs an odd kernel", "height is 4", "pad=none")),
    Bad(
        "large filter",
        "conv 6 29x29 pad=none",
        2,
        8,
        ("larger than its input", "29 on 28", "its input is 28x28x1"),
    ),
    Bad("groups", "conv 6 3x3 groups=4", 2, 12, ("groups=4 does not divide",)),
    Bad("no filters", "conv 0 3x3", 2, 6, ("at least 1", "found 0")),
    Bad("negative filters", "conv (-6) 3x3", 2, 6, ("at least 1", "found -6")),
    Bad("empty filter", "conv 6 0x3", 2, 8, ("at least 1", "found 0")),
    Bad("zero stride", "conv 6 3x3 stride=0", 2, 19, ("`stride` of conv must be at least 1",)),
    Bad("negative pad", "conv 6 3x3 pad=-1", 2, 16, ("`pad` of conv must be at least 0",)),
    Bad("rate above one", "dropout 1.5", 2, 9, ("between 0 and 0.999", "found 1.5")),
    Bad("softmax", "flatten -> dense 10 -> softmax\ntrain { loss cross_entropy }", 2, 24, ("delete softmax",)),
    Bad(
        "softmax by default",
        "flatten -> softmax -> identity",
        2,
        12,
        ("cross_entropy applies softmax itself",),
    ),
    Bad("classes", "classes 10\nflatten -> dense 12", 3, 18, ("expected 10, found 12", "dense classes")),
    Bad(
        "classes of the data",
        "flatten -> dense 12\ndata { source mnist }",
        2,
        18,
        ("10 classes (source mnist)",),
    ),
    Bad("an image at the end", "classes 10\nconv 10 3x3", 3, 1, ("ends in an image of 28x28x10",)),
    Bad("classes nobody knows", "flatten -> dense classes", 2, 18, ("number of classes is not known",)),
    Bad("classes against data", "classes 9\nrelu\ndata { source mnist }", 2, 9, ("mnist has 10 classes",)),
    Bad("recursion", "block b(c) { b c }\nb 3", 2, 14, ("calls itself", "b -> b")),
    Bad("long recursion", "block a { b }\nblock b { c }\nblock c { a }\na", 4, 11, ("a -> b -> c -> a",)),
    Bad("a billion", "repeat 1G { relu }", 2, 8, ("at most 20,000 layers", "1,000,000,000 times")),
    Bad(
        "nested repeats",
        "repeat 1k { repeat 1k { repeat 1k { relu } } }",
        2,
        37,
        ("more than 20,000 layers",),
    ),
    Bad("empty repeats", "repeat 9k { repeat 9k { repeat 0 { relu } } }", 2, 25, ("100,000 steps",)),
    Bad("a minus that means two things", "conv 8 -1", 2, 8, ("subtraction or a negative",)),
    Bad("division by zero", "conv (8/0) 3x3", 2, 7, ("division by zero",)),
    Bad("whole division by zero", "conv (8//(1-1)) 3x3", 2, 7, ("division by zero", "(1-1) is 0")),
    Bad("a caller's names", "block a(c) { b }\nblock b { conv c 3x3 }\na 4", 3, 16, ("unknown name `c`",)),
    Bad("endless number", f"conv {'9' * 5000} 3x3", 2, 6, ("5,000 digits",)),
    Bad("huge power", "conv 1e99999999999 3x3", 2, 6, ("beyond all that a net could use",)),
    Bad("expectation", "flatten -> dense 10\nexpect params == 7850.5", 3, 1, ("found 7,850",)),
    Bad("accuracy without per cent", "relu\nexpect test.accuracy >= 88", 3, 25, ("write  88%",)),
    Bad("comma", "conv 6, 5x5", 2, 7, ("separated by spaces", "delete the comma")),
    Bad("call", "conv round8(9) 3x3", 2, 6, ("needs parentheses around it", "(round8(9))")),
    Bad("python", "conv(6, 5)", 2, 1, ("without parentheses and commas", "write  conv 6 5")),
    Bad("two arrows", "relu -> -> relu", 2, 9, ("an arrow leads to nothing",)),
    Bad("unclosed brace", "repeat 3 {\n relu", 2, 10, ("`{` is never closed",)),
    Bad("surplus brace", "relu\n}", 3, 1, ("closes nothing",)),
    Bad("unclosed quote", 'relu\ndata { source npz "x.npz }', 3, 19, ("no closing quote",)),
    Bad("reserved label", "data: relu", 2, 1, ("`data` is a reserved word", "data_")),
    Bad("reserved parameter", "block b(repeat) { relu }", 2, 9, ("`repeat` is a reserved word", "repeat_")),
    Bad("row too long", "for a, b in [(1, 2), (1, 2, 3)] { relu }", 2, 22, ("2 names, and this row has 3 values",)),
    Bad("row of one", "for a, b in [(1, 2), 3] { relu }", 2, 22, ("2 names, and this row has 1 value",)),
    Bad("loop without a list", "for a, b in 3 { relu }", 2, 13, ("a list of tuples, found 3",)),
    Bad("loop over half", "for i in 1.5 { relu }", 2, 10, ("expected a whole number or a list",)),
    Bad("loop below zero", "for i in 1-2 { relu }", 2, 10, ("runs 0 times or more",)),
    Bad("loop hides a parameter", "param c = 1\nfor c in 3 { relu }", 3, 5, ("already the name of a parameter",)),
    Bad("loop says a name twice", "for c, c in [(1, 2)] { relu }", 2, 8, ("`c` is given twice",)),
    Bad("loop over rows", "for c in 3 { | relu | tanh }", 2, 12, ("rows belong to concat",)),
    Bad("python's range", "for i in range(3) { relu }", 2, 10, ("without range", "write  3")),
    Bad("empty branch", "relu -> if yes { }", 2, 16, ("nothing in the braces of `if`",)),
    Bad("else in between", "if yes { relu } else { tanh } else { relu }", 2, 31, ("last branch of an `if`",)),
    Bad("number as condition", "if 3 { relu }", 2, 4, ("yes or no", "3 > 0")),
    Bad("word as condition", "if same { relu }", 2, 4, ("unknown name `same`",)),
    Bad("size has no order", "if 3x3 < 5x5 { relu }", 2, 4, ("`<` compares numbers", "a size has no order")),
    Bad("different kinds", 'if same == "same" { relu }', 2, 4, ("different kinds cannot be compared",)),
    Bad("unknown side", "if strid == 2 { relu }", 2, 4, ("unknown name `strid`",)),
    Bad("two words", "if kind == same { relu }", 2, 4, ("unknown name `kind`",)),
    Bad("two comparisons", "if 1 < here.c < 3 { relu }", 2, 15, ("1 < c and c < 9",)),
    Bad("condition without braces", "if here.c > 1 relu", 2, 15, ("`if` has no body",)),
    Bad("loop without braces", "for c in [3]: conv c 3x3", 2, 13, ("braces, without a colon",)),
    Bad("loose comparison", "conv 8 3x3 bias=here.c>1", 2, 23, ("stands in ( )",)),
    Bad("while", "while here.c > 1 { relu }", 2, 1, ("there is no `while`",)),
    Bad("else alone", "relu\nelse { tanh }", 3, 1, ("`else` belongs to an `if`",)),
    Bad("a branch in a section", "relu\ntrain { if yes { epochs 3 } }", 3, 9, ("a section has no `if`",)),
    Bad("typographic arrow", "conv 6 5x5 → relu", 2, 12, ("U+2192", "an arrow is written ->")),
    Bad("epochs at top", "relu\nepochs 3", 3, 1, ("belongs in the train section",)),
    Bad("lost branch", "a: conv 4 3x3\nfrom input -> relu", 2, 4, ("goes nowhere",)),
    Bad(
        "keep without split",
        "flatten -> dense 10\ndata { source mnist }\ntrain { keep best }",
        4,
        9,
        ("split val=10%",),
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_bad_spec(bad):
    """One error, at the right place, in the right words; nothing else is complained about."""
    with pytest.raises(SpecError) as caught:
        Compiler.from_text(HEAD + bad.text, name="model.cnn").model  # noqa: B018
    assert len(caught.value.diagnostics) == 1, str(caught.value)
    (found,) = caught.value.diagnostics
    printed = str(caught.value)
    assert (found.span.line, found.span.column) == (bad.line, bad.column), printed
    assert f"model.cnn:{bad.line}:{bad.column}" in printed
    for words in bad.words:
        assert words in printed


def test_missing_input():
    with pytest.raises(SpecError, match=r"does not say its input[\s\S]*input 28x28x1"):
        Compiler.from_text("conv 6 5x5").model  # noqa: B018


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("input 28x28", "input 28x28x1"),
        ("input 28 28 1", "write  input 28x28x1"),
        ("input 0x28x1", "height of the input is 0"),
        ("input 28x-3x1", "width of the input is -3"),
        ("input", "found nothing"),
        ("", "does not say its input"),
        ("input 8x8x1", "no layers"),
        ("input 8x8x1\nrelu\nfrom input", "the net ends in its own input"),
    ],
)
def test_bad_input_line(text, words):
    with pytest.raises(SpecError) as caught:
        Compiler.from_text(text).model  # noqa: B018
    assert words in str(caught.value)


def test_a_spec_of_50_mb_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "huge.cnn"
    with path.open("wb") as file:
        file.write(b"input 8x8x1\n")
        file.truncate(50_000_000)
    with pytest.raises(SpecError) as caught:
        read_source(path)
    assert "50,000,000 bytes" in str(caught.value)
    assert "at most 1,000,000" in str(caught.value)
    assert "huge.cnn:1:1" in str(caught.value)


def test_a_long_text_is_refused_before_it_is_parsed(monkeypatch):
    import cnnspec.syntax.parser as parser

    monkeypatch.setattr(parser, "build_parser", lambda: pytest.fail("the text reached the parser"))
    with pytest.raises(SpecError, match="2,000,000 bytes"):
        Compiler.from_text(" " * 2_000_000).ast  # noqa: B018


def test_a_spec_that_is_not_utf8(tmp_path):
    path = tmp_path / "latin.cnn"
    path.write_bytes("input 8x8x1\n# größe\nrelu".encode("latin-1"))
    with pytest.raises(SpecError) as caught:
        read_source(path)
    assert "not UTF-8" in str(caught.value)
    assert "byte 0xF6 at offset 16" in str(caught.value)
    assert "latin.cnn:2:5" in str(caught.value)


def test_a_byte_order_mark_is_no_error():
    assert decode("x", b"\xef\xbb\xbfinput 8x8x1").text == "input 8x8x1"


def test_nul_bytes():
    with pytest.raises(SpecError, match="NUL") as caught:
        Compiler.from_text("input 8x8x1\nconv\0 3").ast  # noqa: B018
    assert (caught.value.diagnostics[0].span.line, caught.value.diagnostics[0].span.column) == (2, 5)


@pytest.mark.parametrize("opening", ["(", "[", "repeat 2 {", "add { | "])
def test_absurd_nesting(opening):
    with pytest.raises(SpecError, match="nested more than 50 deep"):
        Compiler.from_text("input 8x8x1\nconv " + opening * 5000).ast  # noqa: B018


def test_blocks_as_deep_as_can_be():
    """A chain of blocks, each nested as deep as brackets may be, ends in a message, not in a full stack."""
    lines = ["input 8x8x1"]
    for i in range(100):
        lines.append(f"block b{i} {{ {'residual { ' * 40} b{i + 1} {' }' * 40} }}")
    lines += ["block b100 { relu }", "b0"]
    with pytest.raises(SpecError, match="more than 80 deep"):
        Compiler.from_text("\n".join(lines)).model  # noqa: B018


def test_no_such_file_names_the_nearest(tmp_path):
    (tmp_path / "digits.cnn").write_text("input 8x8x1\nrelu")
    with pytest.raises(DataError, match=r"there is no such file[\s\S]*did you mean .*digits\.cnn"):
        read_source(tmp_path / "digit.cnn")


def test_a_folder_is_no_spec(tmp_path):
    with pytest.raises(DataError, match="folder"):
        read_source(tmp_path)


def test_all_errors_come_in_one_go():
    text = HEAD + "cov 6\nconv 6 5x5 strid=2\nconv 6 5x5 -> -> relu\nexpect parms == 1\ntrain { epoch 1 }"
    with pytest.raises(SpecError) as caught:
        Compiler.from_text(text).model  # noqa: B018
    assert [d.span.line for d in caught.value.diagnostics] == [2, 3, 4, 5, 6]


def test_an_error_inside_a_repeat_is_told_once():
    with pytest.raises(SpecError) as caught:
        Compiler.from_text(HEAD + "repeat 50 { cov 6 3x3 }").model  # noqa: B018
    assert len(caught.value.diagnostics) == 1


def test_control_characters_never_reach_the_terminal():
    with pytest.raises(SpecError) as caught:
        Compiler.from_text(HEAD + "conv 6 \x1b[2J 5x5").model  # noqa: B018
    assert "\x1b" not in str(caught.value)


def test_an_input_with_its_channels_first_is_recognised():
    with pytest.raises(SpecError, match="was  input 32x32x3  meant") as caught:
        Compiler.from_text("input 3x32x32\nconv 8 5x5 pad=none").model  # noqa: B018
    assert "channels come last" in str(caught.value)


def test_a_layer_of_ours_is_not_taken_for_a_foreign_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_no_layer_of_ours("LayerNorm")
    monkeypatch.setitem(LAYERS, "layernorm", LAYERS["bn"])
    assert not is_no_layer_of_ours("LayerNorm")


def test_a_global_maxpool_is_a_maxpool_of_its_inputs_size():
    text = "input 28x20x1\nconv 4 3x3 -> maxpool 2 -> globalmaxpool\nflatten -> dense 10\n"
    with pytest.raises(SpecError) as caught:
        Compiler.from_text(text).model  # noqa: B018
    (found,) = caught.value.diagnostics
    assert (found.hint, found.span.text) == ("write  maxpool 14x10", "globalmaxpool")
    mended = Compiler.from_text(text.replace("globalmaxpool", found.fix.replacement)).model
    assert mended.layers[-3].out_shape == (1, 1, 4)
    with pytest.raises(SpecError, match="maxpool HxW  with height and width of its input"):
        Compiler.from_text("input 8x8x1\ncnv 4 3x3 -> GlobalMaxPool2d\n").model  # noqa: B018
