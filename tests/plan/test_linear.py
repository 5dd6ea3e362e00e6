"""The work of planning grows with the number of layers, and not with its square: calls of functions are counted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from cnnspec.compiler import Compiler

NETS = {
    "a chain": "conv 4 3x3 -> relu",
    "a chain with batch norm": "conv 4 3x3 -> bn -> relu",
    "residual blocks": "residual {\n conv 4 3x3 -> bn -> relu -> conv 4 3x3 -> bn\n}\nrelu",
    "a dense block": "concat {\n | identity\n | bn -> relu -> conv 4 3x3\n}",
}


def calls_of(work: Callable[[], object]) -> int:
    """Return how many functions a piece of work calls, built-in ones and steps of generators included."""
    count = 0

    def see(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def compiler(body: str, times: int) -> Compiler:
    net = f"input 8x8x4\nblock one() {{\n{body}\n}}\nrepeat {times} {{ one }}\nflatten -> dense 10\n"
    return Compiler.from_text(net)


@pytest.mark.parametrize("body", NETS.values(), ids=NETS)
@pytest.mark.parametrize("stage", ["summary", "plan", "inference_plan", "diagnosis_plan"])
def test_twice_the_layers_take_twice_the_calls(stage: str, body: str) -> None:
    getattr(compiler(body, 2), stage)  # imports, and what is kept for each class
    one, two, four = (calls_of(lambda n=n: getattr(compiler(body, n), stage)) for n in (20, 40, 80))
    assert four - two < 2.3 * (two - one)  # twice, and a little for a tree that grows deeper


def test_a_wide_net_is_no_other() -> None:
    def wide(n: int) -> Compiler:
        return Compiler.from_text("input 8x8x4\nconcat {\n" + "| conv 4 3x3 -> relu\n" * n + "}\nflatten -> dense 10\n")

    calls_of(lambda: wide(2).plan)
    one, two, four = (calls_of(lambda n=n: wide(n).plan) for n in (20, 40, 80))
    assert four - two < 2.3 * (two - one)
