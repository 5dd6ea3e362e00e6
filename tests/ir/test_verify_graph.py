"""The verifier refuses every graph that is broken in one place."""

from __future__ import annotations

import pytest

import cnnspec.ops  # noqa: F401  registers the ops that parse_graph knows
from cnnspec.errors import InternalError
from cnnspec.ir.text import parse_graph
from cnnspec.ir.verify import verify_graph

VALID = """\
input %x: f32[N,4,4,2]
param %w: f32[3,3,2,3]
param %b: f32[3]
%0: f32[N,4,4,3] = conv %x, %w, %b {out_channels=3, kernel_size=(3, 3)}  ; conv
%1: f32[N,4,4,3] = relu %0  ; relu
%2: f32[N,2,2,3], %3: u8[N,2,2,3] = maxpool %1 {kernel_size=(2, 2)}  ; maxpool
output y = %2
"""


def test_a_valid_graph_passes() -> None:
    verify_graph(parse_graph(VALID))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("%0: f32[N,4,4,3] = conv", "%0: f32[N,4,5,3] = conv", "the op promises"),
        ("%0: f32[N,4,4,3] = conv", "%0: f32[4,4,3] = conv", "the op promises"),
        ("%1: f32[N,4,4,3] = relu", "%1: i32[N,4,4,3] = relu", "the op promises"),
        ("%3: u8", "%3: f32", "the op promises"),
        (", %3: u8[N,2,2,3]", "", "the op promises"),
        ("%1: f32[N,4,4,3] = relu", "%0: f32[N,4,4,3] = relu", "%0 is made twice"),
        ("%1: f32[N,4,4,3] = relu %0", "%x: f32[N,4,4,3] = relu %0", "%x is made twice"),
        ("%1: f32[N,4,4,3] = relu %0", "%w: f32[N,4,4,3] = relu %0", "%w is made twice"),
    ],
)
def test_broken_text(old: str, new: str, words: str) -> None:
    assert VALID.count(old) == 1
    text = VALID.replace(old, new)
    if new.startswith(("%x", "%w", "%0: f32[N,4,4,3] = relu")):
        text = text.replace("maxpool %1", f"maxpool {new.partition(':')[0]}")
    with pytest.raises(InternalError, match="invalid graph after a test") as caught:
        verify_graph(parse_graph(text), "after a test")
    assert words in str(caught.value)


def test_a_value_read_before_it_is_made() -> None:
    graph = parse_graph(VALID)
    conv, relu, pool = graph.nodes
    with pytest.raises(InternalError, match="%0 is read before it is made"):
        verify_graph(graph.with_nodes((relu, conv, pool)))
    with pytest.raises(InternalError, match="%0 is read before it is made"):
        verify_graph(graph.with_nodes((relu, pool)))


def test_a_value_read_with_another_shape() -> None:
    graph = parse_graph(VALID)
    other = parse_graph(VALID.replace("N,4,4,2", "N,6,6,2").replace("N,4,4,3", "N,6,6,3").replace("N,2,2,3", "N,3,3,3"))
    with pytest.raises(InternalError, match=r"%0 is \('N', 4, 4, 3\), read as \('N', 6, 6, 3\)"):
        verify_graph(graph.with_nodes((graph.nodes[0], *other.nodes[1:])))


@pytest.mark.parametrize("results", ["outputs", "updates"])
def test_a_result_that_is_never_made(results: str) -> None:
    graph = parse_graph(VALID.replace("output y", "update w" if results == "updates" else "output y"))
    with pytest.raises(InternalError, match="= %2 is never made"):
        verify_graph(graph.with_nodes(graph.nodes[:2]))


def test_the_message_shows_the_place() -> None:
    text = VALID.replace("%1: f32[N,4,4,3] = relu", "%1: i32[N,4,4,3] = relu")
    with pytest.raises(InternalError) as caught:
        verify_graph(parse_graph(text))
    marked = [line for line in str(caught.value).splitlines() if line.startswith(">")]
    assert marked == ["> %1: i32[N,4,4,3] = relu %0  ; relu"]
    assert "please report this" in str(caught.value)
    assert caught.value.exit_code == 3
