"""``for`` and ``if``: a spec with them is the spec in which they are written out."""

from __future__ import annotations

import pytest

from cnnspec.compiler import Compiler
from cnnspec.errors import SpecError

HEAD = "input 16x16x4\nparam n = 3\nparam deep = yes\nparam kind = same\nparam size = 3x3\nparam none_ = 0\n"


def layers(text: str) -> list[tuple[object, ...]]:
    """Return the net of a spec: names, ops, wires and shapes, without places."""
    model = Compiler.from_text(HEAD + text).model
    return [(layer.name, layer.op, layer.inputs, layer.out_shape) for layer in model.layers]


def findings(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        Compiler.from_text(HEAD + text).model  # noqa: B018
    return [d.message for d in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("for c in [8, 16] { conv c 3x3 -> relu }", "conv 8 3x3 -> relu\nconv 16 3x3 -> relu"),
        ("for c, k in [(8, 3x3), (16, 1x1)] { conv c k }", "conv 8 3x3\nconv 16 1x1"),
        ("for c, p in [(8, same), (16, none)] { conv c 3x3 pad=p }", "conv 8 3x3\nconv 16 3x3 pad=none"),
        ("for i in n { conv 2+i 1x1 }", "conv 2 1x1\nconv 3 1x1\nconv 4 1x1"),
        ("for i in 2 { for j in 2 { conv 1+2*i+j 1x1 } }", "conv 1 1x1\nconv 2 1x1\nconv 3 1x1\nconv 4 1x1"),
        ("for i in 0 { relu }\ntanh", "tanh"),
        ("for i in [] { relu }\ntanh", "tanh"),
        ("for i in 2 { conv here.c*2 1x1 }", "conv 8 1x1\nconv 16 1x1"),
        ("for i in 2 { conv in.c*2 1x1 }", "conv 8 1x1\nconv 8 1x1"),
        (
            "block b(c) { for i in 2 { conv in.c*c 1x1 } }\nb 2 -> b 2",
            "block b(c) { conv in.c*c 1x1 -> conv in.c*c 1x1 }\nb 2\nb 2",
        ),
        ("a: for i in 2 { relu } -> tanh", "a: repeat 2 { relu } -> tanh"),
        (
            "for i in 2 { a: conv 4 1x1\nadd { | from a | identity } }",
            "repeat 2 { a: conv 4 1x1\nadd { | from a | identity } }",
        ),
        ("if n == 3 { relu } else { tanh }", "relu"),
        ("if n != 3 { relu } else { tanh }", "tanh"),
        ("if n > 3 { relu } else if n == 3 { tanh } else { sigmoid }", "tanh"),
        ("if n > 3 { relu } else if n < 3 { tanh } else { sigmoid }", "sigmoid"),
        ("relu\nif n > 3 { relu }", "relu"),
        ("relu -> if deep { tanh } -> relu", "relu -> tanh -> relu"),
        ("for c in [4, 8] { if c != here.c { conv c 1x1 } else { relu } }", "relu\nconv 8 1x1"),
        ("conv 4 3x3 bias=(n > 5)", "conv 4 3x3 bias=no"),
    ],
)  # fmt: skip
def test_written_out_it_is_the_same_net(short: str, long: str) -> None:
    assert layers(short) == layers(long)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("n == 3", True), ("n == 3.0", True), ("n != 3", False), ("n < 3", False), ("n <= 3", True), ("n > 2", True),
        ("n >= 4", False), ("deep", True), ("not deep", False), ("deep == yes", True), ("deep != no", True),
        ("kind == same", True), ("same != kind", False), ("size == 3x3", True), ("size == 3", True),
        ("size != 5", True),
        ("size == 3x1", False), ("n == 3 and deep", True), ("n == 4 or deep", True), ("n == 4 or not deep", False),
        ("not n == 4 and deep", True), ("not (n == 3 and deep)", False), ("not(n == 4)", True),
        ("no and no or yes", True), ("yes or yes and no", True), ("(yes or yes) and no", False),
        ("none_ > 0 and n//none_ > 1", False), ("none_ == 0 or n//none_ > 1", True),
        ("in.c == 4 and here.h == 16", True),
        ("n*2 - 1 == 5", True), ("max(n, 9) == 9", True), ("-n < 0", True), ("1 + 1 == n - 1 and (n > 1) == yes", True),
    ],
)  # fmt: skip
def test_conditions(condition: str, holds: bool) -> None:
    assert layers(f"if {condition} {{ relu }} else {{ tanh }}") == layers("relu" if holds else "tanh")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("relu\nif n == 4 { cnov 8 3x3 }", "unknown layer `cnov`"),
        ("if n == 3 { relu } else { conv 8 3x3 strde=2 }", "conv has no `strde`"),
        ("if n == 3 { relu } else { conv wdth 3x3 }", "unknown name `wdth`"),
        ("if n == 3 { relu } else { from enc1 }", "unknown label `enc1`"),
        ("if n == 3 { relu } else if wdth > 1 { tanh }", "unknown name `wdth`"),
        ("if deep or wdth > 1 { relu }", "unknown name `wdth`"),
        ("relu\nrepeat n-3 { cnov 8 3x3 }", "unknown layer `cnov`"),
        ("relu\nfor i in none_ { cnov 8 3x3 }", "unknown layer `cnov`"),
        ("block b(c) { if c > 1 { cnov 8 3x3 } }\nrelu", "unknown layer `cnov`"),
        ("block b(c) { cnov c 3x3 }\nrelu\nif n > 3 { b n }", "unknown layer `cnov`"),
    ],
)
def test_branches_that_are_not_taken_are_judged(text: str, message: str) -> None:
    assert findings(text) == [message]


def test_a_condition_guards_what_is_behind_it() -> None:
    """In a branch that is not taken no value is worked out: here each would be an error."""
    block = "block b(c) { if c > 0 { conv 8//c 3x3 -> conv (8/none_) 3x3 } else { relu } }"
    guarded = "if none_ > 0 { conv (8/none_) 3x3 -> b (1/none_) -> dense n }"
    assert layers(f"{block}\nb 0\n{guarded}") == layers("block b { relu }\nb")


def test_labels_are_known_in_their_braces_only() -> None:
    assert findings("if deep { enc: relu }\nfrom enc") == ["unknown label `enc`"]
    assert findings("for i in 2 { enc: relu }\nfrom enc") == ["unknown label `enc`"]


def test_errors_tell_the_round() -> None:
    with pytest.raises(SpecError) as caught:
        Compiler.from_text(HEAD + "for c, s in [(8, 1), (4, 0)] { for i in 2 { conv c 3x3 stride=s } }").model  # noqa: B018
    [found] = caught.value.diagnostics
    assert [(frame.kind, frame.name) for frame in found.trail] == [("for", "c=4 s=0"), ("for", "i=0")]
    assert "in for c=4 s=0, at line 7: for c, s in [(8, 1), (4, 0)]" in found.render()


def test_layers_of_a_loop_remember_their_round() -> None:
    model = Compiler.from_text(HEAD + "for c in [8, 16] { if deep { conv c 3x3 } }").model
    assert [layer.trail[0].name for layer in model.layers] == ["c=8", "c=16"]


HOSTILE = {
    "loops within loops": "for i in 20k { for j in 20k { for k in 20k { relu } } }",
    "loops of nothing": "for i in 20k { for j in 20k { for k in 0 { relu } } }\nrelu",
    "a huge count": "for i in 1G { relu }",
    "a huge table": f"for a, b in [{'(1, 2), ' * 25_000}] {{ relu }}",
    "a huge list": f"for a in [{'1, ' * 30_000}] {{ relu }}",
    "long arithmetic": f"for i in 20k {{ conv ({'+'.join(['n'] * 5_000)}) 1x1 }}",
    "long defaults": f"block b(c={'+'.join(['n'] * 5_000)}) {{ relu }}\nfor i in 20k {{ b }}",
    "long conditions": f"for i in 20k {{ if n == 1 {{ tanh }} {'else if n == 1 { tanh } ' * 2_000} }}\nrelu",
    "branches that double": "".join(f"block b{i} {{ if n > 9 {{ b{i + 1} -> b{i + 1} }} }}\n" for i in range(60))
    + "block b60 { relu }\nb0\nrelu",
    "a text without end": "relu\n" * 110_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_written_to_hurt_ends(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        Compiler.from_text(HEAD + HOSTILE[name]).model  # noqa: B018
    assert {d.code for d in caught.value.diagnostics} <= {"too-many-layers", "too-large", "nesting"}
