"""Graphs as text: what prints parses back to the same graph, and small graphs are golden."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from golden import cases, example_specs

from cnnspec.autodiff import differentiate
from cnnspec.compiler import Compiler
from cnnspec.ir.graph import Graph
from cnnspec.ir.text import parse_graph, print_graph
from cnnspec.ir.verify import verify_graph
from cnnspec.passes.base import run_pipeline
from cnnspec.passes.build import build_graph
from cnnspec.passes.pipelines import FORWARD, INFERENCE, TRAINING


def stages(text: str) -> dict[str, Graph]:
    """Return every graph that a spec goes through."""
    model = Compiler.from_text(text).model
    inference, training = (build_graph(model, training=mode) for mode in (False, True))
    forward = run_pipeline(training, FORWARD)
    backward = differentiate(forward)
    return {
        "inference": inference,
        "inference, rewritten": run_pipeline(inference, INFERENCE),
        "training": training,
        "training, fused": forward,
        "training, with gradients": backward,
        "training, rewritten": run_pipeline(backward, TRAINING),
    }


@pytest.mark.parametrize("path", example_specs())
def test_print_and_parse_back(path: Path) -> None:
    for stage, graph in stages(path.read_text(encoding="utf-8")).items():
        text = print_graph(graph)
        back = parse_graph(text)
        assert print_graph(back) == text, stage
        verify_graph(back, stage)
        assert back.inputs == graph.inputs and back.nodes == graph.nodes, stage
        assert back.outputs == graph.outputs and back.updates == graph.updates, stage
        shapes = [[(v.shape, v.dtype) for v in (*n.inputs, *n.outputs)] for n in graph.nodes]
        assert [[(v.shape, v.dtype) for v in (*n.inputs, *n.outputs)] for n in back.nodes] == shapes, stage
        for name, p in graph.params.items():
            other = back.params[name].param
            assert (other.shape, other.trainable, other.groups) == (p.param.shape, p.param.trainable, p.param.groups)


@pytest.mark.parametrize("path", cases("graph"))
def test_case(path: Path, golden: Callable[[Path, Callable[[str], str]], None]) -> None:
    shown = ("inference, rewritten", "training", "training, rewritten")

    def run(text: str) -> str:
        graphs = stages(text)
        return "".join(f"--- {stage}\n{print_graph(graphs[stage])}" for stage in shown)

    golden(path, run)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%0: f32[N,4] = dens %x, %w {units=4}", "dens"),
        ("%0: f32[N,4] = dense %x, %nobody {units=4}", "nobody"),
        ("%0: f32[N,4] = dense %x, %w {unit=4}", "unit"),
        ("%0: f32[N,4] = dense %x, %w {units=}", "line 3"),
        ("%0: f32[N,4] = dense %x, %w {units=__import__('os')}", "line 3"),
        ("%0: f32[N;4] = dense %x, %w {units=4}", "line 3"),
        ("0: f32[N,4] dense", "expected VALUES = OP VALUES {FIELDS}"),
        ("input x f32", "expected %NAME: DTYPE[SHAPE]"),
        ("output y = %9", "9"),
    ],
)
def test_lines_that_are_no_graph_text(line: str, words: str) -> None:
    with pytest.raises(ValueError, match="line 3 is no graph text") as caught:
        parse_graph(f"input %x: f32[N,3]\nparam %w: f32[3,4]\n{line}\n")
    assert words in str(caught.value)
