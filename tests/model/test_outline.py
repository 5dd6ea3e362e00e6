"""The tree of labels and blocks, in which equal repeats stand once."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnspec.compiler import Compiler
from cnnspec.model.outline import Group, Item, outline

SPECS = sorted((Path(__file__).resolve().parent.parent.parent / "specs").rglob("*.cnn"))
UNIT = "block unit(c) { conv c 3x3 -> relu }\n"


def shown(items: tuple[Item, ...]) -> str:
    return " ".join(
        f"[{item.title}: {shown(item.items)}]" if isinstance(item, Group) else item.name.rpartition(".")[2]
        for item in items
    )


def tree(net: str) -> str:
    return shown(outline(Compiler.from_text(f"input 8x8x4\n{UNIT}{net}\n").model).items)


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_the_tree_has_all_layers_in_order(path: Path) -> None:
    model = Compiler.from_path(path).model
    assert [*outline(model).layers] == [*model.layers]


@pytest.mark.parametrize(
    ("net", "found"),
    [
        ("conv 4 3x3 -> conv 4 3x3", "conv1 conv2"),  # written twice, shown twice
        ("unit 4 -> unit 4 -> unit 4", "[unit1-3 x 3: conv relu]"),
        ("unit 8 -> unit 8 -> unit 8", "[unit1: conv relu] [unit2-3 x 2: conv relu]"),  # the first reads 4 channels
        ("a: unit 4\nb: unit 4", "[a: conv relu] [b: conv relu]"),  # a label is a name of its own
        ("s: repeat 3 { unit 4 }", "[s: [unit1-3 x 3: conv relu]]"),
        ("repeat 3 { conv 4 3x3 -> bn }", "[x 3: conv1 bn1]"),
        ("repeat 2 { repeat 3 { conv 4 3x3 }\nbn }", "[x 2: [x 3: conv1] bn1]"),
        ("repeat 2 { conv 8 3x3 -> relu }", "conv1 relu1 conv2 relu2"),
        ("repeat 3 { unit 8 -> unit 4 }", "[x 3: [unit1: conv relu] [unit2: conv relu]]"),
        ("repeat 4 { residual { conv 4 3x3 } }", "[x 4: conv1 add1]"),
    ],
)
def test_equal_repeats_stand_once(net: str, found: str) -> None:
    assert tree(net) == found


def test_a_block_that_another_layer_reads_is_not_folded_into_the_next() -> None:
    net = "unit 4 -> add { | unit 4 -> unit 4 | identity }"
    assert tree(net) == "[unit1: conv relu] [unit2-3 x 2: conv relu] identity add"
