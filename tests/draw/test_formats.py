"""What is drawn, and what SVG, DOT and Mermaid make of it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from contrast import contrast

from cnnspec.compiler import Compiler
from cnnspec.draw.dot import to_dot
from cnnspec.draw.mermaid import to_mermaid
from cnnspec.draw.palette import DARK, LIGHT, Ground
from cnnspec.draw.picture import FAMILIES, LONGEST, PLAIN, Picture, picture_of
from cnnspec.draw.svg import to_svg
from cnnspec.ops import LAYERS
from cnnspec.source import Source
from cnnspec.text import columns

ROOT = Path(__file__).resolve().parent.parent.parent
SVG = "{http://www.w3.org/2000/svg}"
NET = """\
input 8x8x3
block unit(c) { residual { conv c 3x3 bias=no -> bn -> relu } }
stem: conv 4 3x3 -> bn -> relu
body: repeat 3 { unit 4 }
flatten -> dense 2
"""


def net(text: str = NET, depth: int | None = None) -> Picture:
    return picture_of(Compiler.from_text(text, name="net.cnn").model, depth)


def rows(picture: Picture) -> list[list[str]]:
    return [[row.text for row in box.rows] for box in picture.boxes]


# ---- what is drawn ------------------------------------------------------------------------------
def test_layers_that_change_no_shape_stand_in_the_box_before_them() -> None:
    assert rows(net()) == [
        ["input 8x8x3"], ["conv 4 3x3 pad=1", "bn", "relu"], ["conv 4 3x3 pad=1", "bn", "relu"], ["add"],
        ["flatten"], ["dense 2"], ["output 2"],
    ]  # fmt: skip
    read_twice = net("input 8x8x3\nconv 4 3x3\na: relu\nadd { | from a | bn }\nflatten -> dense 2\n")
    assert rows(read_twice)[1:4] == [["conv 4 3x3 pad=1", "a: relu"], ["bn"], ["add"]]


def test_edges_are_those_of_the_model() -> None:
    assert net().edges == [(0, 1), (1, 2), (2, 3), (1, 3), (3, 4), (4, 5), (5, 6)]


@pytest.mark.parametrize(
    ("depth", "boxes"),
    [
        (1, ["input 8x8x3", "stem · 3 layers", "body · 12 layers", "flatten", "dense 2", "output 2"]),
        (2, ["input 8x8x3", "conv 4 3x3 pad=1", "unit1-3 x 3 · 12 layers", "flatten", "dense 2", "output 2"]),
    ],
)
def test_deeper_labels_and_blocks_are_folded(depth: int, boxes: list[str]) -> None:
    picture = net(depth=depth)
    assert [row[0] for row in rows(picture)] == boxes
    assert picture.edges == [(i, i + 1) for i in range(5)]


def test_parameters_add_up_at_any_depth() -> None:
    model = Compiler.from_text(NET).model
    whole = sum(p.size for layer in model.layers for p in layer.params if p.trainable)
    folded = picture_of(model, 1)
    assert sum(row.params for box in folded.boxes for row in box.rows) == whole
    body = net().root.parts[2]
    assert not isinstance(body, int) and body.params == 3 * (4 * 4 * 9 + 8)  # all three units


def test_long_labels_are_shortened() -> None:
    picture = net(f"input 8x8x3\n{'long' * 20}: conv 4 3x3\nflatten -> dense 2\n")
    assert max(columns(row.text) for box in picture.boxes for row in box.rows) == LONGEST


def test_most_layers_have_a_colour_of_their_kind() -> None:
    families = {name: FAMILIES.get(cls.__module__.rpartition(".")[2], PLAIN) for name, cls in LAYERS.items()}
    assert {families[name] for name in ("conv", "dense", "maxpool", "bn", "relu", "add", "dropout")} == {
        *FAMILIES.values()
    }
    for ground in (LIGHT, DARK):
        assert {*families.values(), "block"} <= {*ground.fills}


@pytest.mark.parametrize("ground", [LIGHT, DARK], ids=["light", "dark"])
def test_texts_and_edges_stand_out_from_their_ground(ground: Ground) -> None:
    assert all(contrast(ground.ink, fill) >= 7 for fill in ground.fills.values())
    assert all(contrast(ground.faint, fill) >= 7 for fill in (ground.ground, ground.frame))
    assert all(contrast(ground.line, fill) >= 4.5 for fill in (ground.ground, ground.frame))


# ---- SVG ----------------------------------------------------------------------------------------
def test_svg_is_one_file_with_title_description_and_both_grounds() -> None:
    text = to_svg(net())
    root = ET.fromstring(text)
    assert root.get("role") == "img"
    named = {e.get("id"): e.text for e in root if e.get("id")}
    assert [*named] == (root.get("aria-labelledby") or "").split()
    assert named["net-title"] == "net.cnn: 1,090 parameters, 35.1 k mult-adds an image"
    assert "Its parts are stem, body, flatten, dense." in str(named["net-desc"])
    assert "@media (prefers-color-scheme: dark)" in text
    assert re.findall(r"https?://[^\"' ]*", text) == ["http://www.w3.org/2000/svg"]  # a name, not an address
    assert not re.search(r"<script|<image|<use|@import|url\((?!#tip\))", text)
    assert to_svg(net()) == text


def test_svg_shows_kinds_parameters_shapes_and_repeats() -> None:
    root = ET.fromstring(to_svg(net()))
    texts = [t.text for t in root.iter(f"{SVG}text")]
    for word in ("conv 4 3x3 pad=1", "112", "8x8x4", "unit1-3 x 3", "456", "output 2"):
        assert word in texts
    assert "stem.conv (line 3), 8x8x3 -> 8x8x4, 112 parameters, 6.91 k mult-adds" in [
        t.text for t in root.iter(f"{SVG}title")
    ]
    assert {"conv", "norm", "activation", "join", "dense"} <= {r.get("class") for r in root.iter(f"{SVG}rect")}


def test_names_of_strangers_are_text_in_every_format() -> None:
    name = 'x"]<b>&\\\x00\x1b{};\ud800#.cnn'
    picture = picture_of(Compiler(Source(name, NET)).model)
    assert ET.fromstring(to_svg(picture).encode()).tag == f"{SVG}svg"
    for text in (to_dot(picture), to_mermaid(picture)):
        text.encode()
        title = next(line for line in text.splitlines() if "mult-adds" in line)
        assert "<b>" not in title or '\\"' in title
        assert title.count('"') - title.count('\\"') == 2
    assert "subgraph" in to_mermaid(picture)


def test_the_drawing_of_the_manual_is_that_of_today() -> None:
    """Made by: cnnspec draw specs/zoo/resnet20.cnn -o docs/images/resnet20.svg"""
    drawn = to_svg(picture_of(Compiler.from_path(ROOT / "specs" / "zoo" / "resnet20.cnn").model))
    assert (ROOT / "docs" / "images" / "resnet20.svg").read_text(encoding="utf-8") == drawn


# ---- DOT and Mermaid ----------------------------------------------------------------------------
def test_dot_has_clusters_boxes_and_shapes() -> None:
    text = to_dot(net())
    assert text.startswith("digraph net {") and text.count("{") == text.count("}") == 4
    assert 'b1 [label="conv 4 3x3 pad=1  112\\nbn  8\\nrelu", fillcolor="#bcd9f7"]' in text
    assert 'label="unit1-3 x 3  456"; style=rounded' in text
    assert 'b1 -> b3 [label="8x8x4"]' in text


def test_mermaid_has_subgraphs_boxes_and_shapes() -> None:
    text = to_mermaid(net())
    lines = [line.strip() for line in text.splitlines()]
    assert "flowchart TB" in lines
    assert 'b1["conv 4 3x3 pad=1  112<br/>bn  8<br/>relu"]:::conv' in lines
    assert sum(line.startswith("subgraph") for line in lines) == lines.count("end") == 3
    assert 'b1 -->|"8x8x4"| b3' in lines
    defined = {line.split()[1] for line in lines if line.startswith("classDef")}
    assert {line.rpartition(":::")[2] for line in lines if ":::" in line} == defined
