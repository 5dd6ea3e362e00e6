"""What a checked model is: wiring, names, shapes, spans, trails, costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnspec.compiler import Compiler
from cnnspec.errors import SpecError
from cnnspec.model.expects import judge
from cnnspec.model.model import Expect
from cnnspec.model.names import NameScope
from cnnspec.model.structure import EXPANSIONS
from cnnspec.model.values import FUNCTIONS, round8
from cnnspec.source import Source, Span
from cnnspec.syntax.spec_file import decode
from cnnspec.syntax.words import STRUCTURE


def model(text: str):
    return Compiler.from_text(text).model


def names(text: str) -> list[str]:
    return [layer.name for layer in model(text).layers]


def test_names():
    assert names("input 8x8x1\nconv 4 3x3 -> relu -> conv 4 3x3") == ["conv1", "relu", "conv2"]
    assert names("input 8x8x1\nstem: conv 4 3x3 -> relu") == ["stem.conv", "stem.relu"]
    assert names("input 8x8x1\nstem: conv 4 3x3") == ["stem"]
    block = "input 8x8x1\nblock b { conv 4 3x3 -> conv 4 3x3 }\n"
    assert names(block + "b -> b") == ["b1.conv1", "b1.conv2", "b2.conv1", "b2.conv2"]
    assert names(block + "x: b") == ["x.conv1", "x.conv2"]
    assert names(block + "x: repeat 2 { b }")[::2] == ["x.b1.conv1", "x.b2.conv1"]
    assert names("input 8x8x1\nrepeat 2 { a: relu }\na1: relu") == ["a2", "a3", "a1"]
    assert names("input 8x8x1 -> relu6 -> relu6 -> relu") == ["relu6_1", "relu6_2", "relu"]


def test_names_are_unique_whatever_the_labels():
    found = names("input 8x8x1\nconv2: relu\nconv 1 3x3 -> conv 1 3x3 -> conv 1 3x3\nrelu: conv 1 3x3\nrelu")
    assert len(set(found)) == len(found)
    assert found[0] == "conv2"


def test_a_label_on_a_residual_names_its_level():
    assert names("input 8x8x2\nx: residual { conv 2 3x3 }") == ["x.conv", "x.add"]
    assert names("input 8x8x2\nx: from input -> relu") == ["x"]


@given(st.lists(st.sampled_from(["a", "a1", "a11", "a2", "b"]), min_size=60, max_size=80))
def test_names_are_unique_whatever_the_bases(bases):
    scope = NameScope()
    for i, base in enumerate(bases):
        (scope if i % 3 else scope.add_scope(base)).add_layer(base, i)
    found = scope.assign()
    assert len(found) == len(set(found.values())) == len(bases)


def test_wiring():
    m = model("input 8x8x2\na: conv 4 3x3\nb: from input -> conv 4 3x3\nadd { | from a | identity | from b }")
    assert [(x.name, x.inputs) for x in m.layers] == [
        ("a", ("input",)),
        ("b", ("input",)),
        ("identity", ("b",)),
        ("add", ("a", "identity", "b")),
    ]
    assert m.output == "add"


def test_rows_begin_where_the_statement_stands():
    m = model("input 8x8x2\nrelu\nconcat {\n | conv 1 3x3\n   relu\n | conv 3 3x3 }\ntanh")
    assert m.layer("concat").inputs == ("relu2", "conv2")
    assert m.layer("concat").out_shape == (8, 8, 4)


@pytest.mark.parametrize(
    ("head", "kinds"),
    [
        ("residual { conv 2 3x3 }", ["conv", "add"]),
        ("residual { conv 2 3x3 } project { bn }", ["conv", "add"]),
        ("residual { conv 4 3x3 } project { conv 4 1x1 }", ["conv", "conv", "add"]),
        ("residual skip=if_same { conv 2 3x3 }", ["conv", "add"]),
        ("residual skip=if_same { conv 4 3x3 }", ["conv"]),
        ("residual skip=always { conv 2 3x3 }", ["conv", "add"]),
    ],
)
def test_residual(head, kinds):
    assert [layer.op.name for layer in model(f"input 8x8x2\n{head}").layers] == kinds


def test_in_and_here():
    text = (
        "input 8x6x2\nblock b { conv 4 3x3 stride=2 -> conv (here.c + 10*in.c + 100*here.h + 1000*in.h) 3x3 }\n"
        "b\nconv in.w 1x1\nflatten\ndense here.c"
    )
    assert [layer.out_shape for layer in model(text).layers] == [
        (4, 3, 4),
        (4, 3, 4 + 20 + 400 + 8000),
        (4, 3, 6),
        (72,),
        (72,),
    ]


def test_defaults_hold_unless_said_otherwise():
    m = model("input 8x8x1\ndefaults conv size=5 bias=no\nconv 2\nconv 2 3x3 bias=yes\ndepthwise 3x3")
    assert [(x.op.kernel_size, x.op.bias) for x in m.layers] == [((5, 5), False), ((3, 3), True), ((3, 3), True)]


def test_a_block_may_stand_below_its_call_and_use_parameters_before():
    m = model("input 8x8x1\nb 3\nblock b(c, d=c*2, e=d+1) { conv c 1x1 -> conv d 1x1 -> conv e 1x1 }")
    assert [x.out_shape[2] for x in m.layers] == [3, 6, 7]


def test_a_label_may_be_handed_to_a_block():
    m = model("input 8x8x1\nblock b(s) { c s }\nblock c(s) { add { | relu | from s } }\na: relu\ntanh\nb a")
    assert m.layers[-1].inputs == ("b.c.relu", "a")


def test_spans_and_trails():
    m = model("input 8x8x1\nblock b(c) {\n  conv c 3x3\n}\nx: repeat 2 { b 4 }")
    second = m.layers[1]
    assert (second.span.line, second.span.text) == (3, "conv c 3x3")
    assert [(f.kind, f.name, f.span.line) for f in second.trail] == [("repeat", "2 of 2", 5), ("block", "b", 5)]


def test_repeat_zero_times():
    assert names("input 8x8x1\nrepeat 0 { conv 1 3x3 }\nrelu") == ["relu"]


def test_round8_is_that_of_mobilenet():
    """Sandler et al. 2018: 32 * 0.35 = 11.2 becomes 16, for 8 would lose more than a tenth."""
    assert [round8(x) for x in (1, 8, 11.2, 12, 16, 19.2, 24, 35.2, 44.8)] == [8, 8, 16, 16, 16, 24, 24, 32, 48]
    assert all(round8(x) % 8 == 0 and round8(x) >= 0.9 * x for x in range(1, 2000))


def test_functions_and_arithmetic():
    def channels(text: str) -> int:
        return model(f"input 8x8x1\nconv ({text}) 1x1").layers[0].out_shape[2]

    assert channels("7//2 + 6/3 * 2 - 1") == 6
    assert channels("2 - -3") == 5
    assert channels("10 - 3 - 2") == 5
    assert channels("max(1, 5, min(9, 7))") == 7
    assert channels("max(min(7))") == 7
    assert channels("ceil(2.1) + floor(2.9) + round(2.5)") == 8
    assert set(FUNCTIONS) == {"round8", "round", "floor", "ceil", "min", "max"}


def test_receptive_field():
    """Sizes by hand: each window adds (k - 1) times the product of the strides before it."""
    summary = Compiler.from_text(
        "input 32x32x1\nconv 1 3x3\nmaxpool 2\nconv 1 5x3 stride=2\nconv 1 3x3 dilation=2\n"
        "flatten\nrelu\ndense 3\ndense 2"
    ).summary
    fields = [row.receptive_field for row in summary.rows]
    assert fields[:4] == [(3, 3), (4, 4), (12, 8), (28, 24)]
    assert fields[4:6] == [(28, 24)] * 2
    assert fields[6:] == [(28 + 7 * 4, 24 + 7 * 4)] * 2


def test_receptive_field_of_branches_is_the_widest():
    summary = Compiler.from_text("input 8x8x1\nconcat { | conv 1 1x1 | conv 1 5x5 }\nconv 1 3x3").summary
    assert summary.rows[-1].receptive_field == (7, 7)


def test_costs_of_a_conv():
    (row,) = Compiler.from_text("input 8x8x3\nconv 4 3x3 stride=2").summary.rows
    assert (row.params, row.macs, row.activation_bytes) == (3 * 3 * 3 * 4 + 4, 4 * 4 * 4 * 27, 4 * 4 * 4 * 4)
    assert row.detail == "4 3x3 stride=2 pad=1"


def test_running_statistics_are_no_parameters():
    summary = Compiler.from_text("input 8x8x3\nbn").summary
    assert summary.params == 6


def test_judge():
    def expect(metric: str, relation: str, value: float) -> Expect:
        return Expect(metric, relation, value, Span(Source("m.cnn", "expect this"), 0, 6))

    known = {"test.accuracy": 0.895, "params": 10}
    good = [("test.accuracy", ">=", 0.895), ("params", "==", 10), ("params", "<", 11), ("params", "!=", 9)]
    assert judge([expect(*e) for e in good], known) == []
    (failed,) = judge([expect("test.accuracy", ">", 0.895), expect("val.loss", "<", 0)], known)
    assert failed.message == "expected test.accuracy > 89.50 %, found 89.50 %"
    assert len(judge([expect("test.accuracy", ">=", 0.9)], {"test.accuracy": float("nan")})) == 1


def test_a_product_for_a_size_is_warned_of_and_what_follows_is_still_judged():
    """``3*3`` is a filter of 9x9: right in the language, and hardly meant."""
    found = model("input 28x28x1\nconv 4 3*3\nmaxpool 2*2\nflatten -> dense 10").warnings
    assert [(w.severity, w.span.line, w.span.text, w.hint[:10]) for w in found] == [
        ("warning", 2, "3*3", "write  3x3"),
        ("warning", 3, "2*2", "write  2x2"),
    ]
    assert "9x9" in found[0].message
    assert not model("param k = 3\ninput 28x28x1\nconv 4 k*3 -> conv 2*2 3x3 -> maxpool 4").warnings
    with pytest.raises(SpecError, match="larger than its input"):
        model("input 8x8x1\nconv 4 1*3 -> maxpool 9")


def test_lines_may_end_as_on_an_old_mac():
    text = "input 8x8x1\nconv 4 3x3 -> relu\n\nflatten -> dense 10\n"
    for end in ("\r", "\r\n"):
        source = decode("model.cnn", text.replace("\n", end).encode())
        assert [x.span.line for x in Compiler(source).model.layers] == [2, 2, 4, 4]
        with pytest.raises(SpecError) as caught:
            Compiler(decode("model.cnn", text.replace("dense", "dnse").replace("\n", end).encode())).model  # noqa: B018
        assert str(caught.value.diagnostics[0].span) == "model.cnn:4:12"


def test_every_word_of_structure_is_expanded():
    assert sorted(EXPANSIONS) == sorted(STRUCTURE)
