"""Rewriting: questions about values, changes collected and made, names that nothing else has."""

from __future__ import annotations

import pytest

import cnnspec.ops  # noqa: F401  registers the ops that parse_graph knows
from cnnspec.ir.graph import Graph, Node, Value
from cnnspec.ir.rewrite import Rewriter, next_number
from cnnspec.ir.text import parse_graph, print_graph
from cnnspec.ir.verify import verify_graph

TEXT = """\
input %x: f32[N,4,4,2]
%0: f32[N,4,4,2] = relu %x
%late: f32[N,4,4,2] = tanh %0
%7: f32[N,4,4,2] = add %late, %late
%3: f32[N,4,4,2] = add %7, %0
output y = %3
update running = %7
"""


def graph() -> Graph:
    return parse_graph(TEXT)


def value(name: str) -> Value:
    return Value(name, ("N", 4, 4, 2))


def test_fresh_names_follow_all_others() -> None:
    assert next_number(graph()) == 8
    assert next_number(parse_graph("input %x: f32[N,4,4,2]\n%a: f32[N,4,4,2] = relu %x\noutput y = %a\n")) == 0
    rewriter = Rewriter(graph())
    made = [rewriter.make(graph().nodes[0].op, value("x"), layer="stem") for _ in range(2)]
    assert [(node.output.name, node.output.shape, node.layer) for node in made] == [
        ("8", ("N", 4, 4, 2), "stem"),
        ("9", ("N", 4, 4, 2), "stem"),
    ]


def test_who_makes_and_who_reads() -> None:
    nodes, rewriter = graph().nodes, Rewriter(graph())
    assert rewriter.maker(value("7")) == nodes[2] and rewriter.maker(value("x")) is None
    assert [rewriter.place(value(name)) for name in ("x", "0", "3")] == [-1, 0, 3]
    assert rewriter.readers(value("0")) == [nodes[1], nodes[3]] and rewriter.readers(value("3")) == []


@pytest.mark.parametrize(
    ("name", "alone"),
    [("x", True), ("0", False), ("late", False), ("7", False), ("3", False)],
    ids=["one reader", "two readers", "read twice by one", "an update too", "a result"],
)
def test_a_sole_reader_is_one_that_nobody_shares_the_value_with(name: str, alone: bool) -> None:
    assert Rewriter(graph()).sole_reader(value(name)) == (graph().nodes[0] if alone else None)


def test_changes_are_made_together() -> None:
    before = graph()
    first, second, third, last = before.nodes
    rewriter = Rewriter(before)
    made = rewriter.make(first.op, first.output, layer="added")
    rewriter.insert_after(first, made)
    rewriter.insert_after(first, rewriter.make(first.op, made.output, layer="more"))
    rewriter.replace(last, Node(first.op, (third.output,), last.outputs, "put"))
    rewriter.erase(second)
    rewriter.rename(second.outputs, made.outputs)
    after = rewriter.result()
    verify_graph(after)
    assert print_graph(before) == TEXT
    assert print_graph(after) == (
        "input %x: f32[N,4,4,2]\n"
        "%0: f32[N,4,4,2] = relu %x\n"
        "%8: f32[N,4,4,2] = relu %0  ; added\n"
        "%9: f32[N,4,4,2] = relu %8  ; more\n"
        "%7: f32[N,4,4,2] = add %8, %8\n"
        "%3: f32[N,4,4,2] = relu %7  ; put\n"
        "output y = %3\n"
        "update running = %7\n"
    )


def test_without_changes_the_graph_is_the_same() -> None:
    before = graph()
    assert Rewriter(before).result() is before


def test_results_are_renamed_too() -> None:
    rewriter = Rewriter(graph())
    nodes = rewriter.graph.nodes
    rewriter.rename([*nodes[3].outputs, *nodes[2].outputs], [*nodes[0].outputs, *nodes[1].outputs])
    after = rewriter.result()
    assert (after.outputs["y"].name, after.updates["running"].name) == ("0", "late")


def test_nothing_is_replaced_twice() -> None:
    rewriter = Rewriter(graph())
    rewriter.erase(rewriter.graph.nodes[0])
    with pytest.raises(AssertionError, match="%0 is replaced twice"):
        rewriter.replace(rewriter.graph.nodes[0], rewriter.graph.nodes[1])
