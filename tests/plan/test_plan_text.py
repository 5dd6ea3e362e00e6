"""Plans as text: one tiny plan is golden, and the text tells of every call and buffer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from golden import cases

from cnnspec.compiler import Compiler
from cnnspec.lower.compile import compile_plan
from cnnspec.passes.pipelines import inference_graph, training_graph


@pytest.mark.parametrize("path", cases("plan"))
def test_case(path: Path, golden: Callable[[Path, Callable[[str], str]], None]) -> None:
    golden(path, lambda text: str(compile_plan(inference_graph(Compiler.from_text(text).model), batch=4)))


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_the_text_tells_of_every_call(dtype: str) -> None:
    model = Compiler.from_text("input 6x6x2\nconv 4 3x3 -> bn -> relu\nmaxpool 2\nflatten -> dense 3\n").model
    plan = compile_plan(training_graph(model), batch=10, dtype=dtype)
    lines = str(plan).splitlines()
    assert lines[0].startswith(f"plan batch=10 dtype={dtype} arena={plan.arena} bytes")
    calls = [call for segment in plan.segments for call in segment.calls]
    shown = [line for line in lines if line.startswith("  ")]
    assert len(shown) == len(calls)
    for line, call in zip(shown, calls, strict=True):
        assert f" = {call.kernel} " in line
        for operand in call.operands:
            assert operand.buffer.name in line
    assert sum(line.startswith("segment") for line in lines) == len(plan.segments)
    assert set(plan.kernels) == {call.kernel for call in calls}


def test_the_same_spec_gives_the_same_plan() -> None:
    model = Compiler.from_text("input 6x6x2\nconv 4 3x3 -> bn -> relu\nflatten -> dense 3\n").model
    texts = {str(compile_plan(training_graph(model), batch=10)) for _ in range(3)}
    assert len(texts) == 1
