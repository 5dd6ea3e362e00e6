"""The registry of lowerings: every op of a graph has one, and a subclass takes its base's."""

from __future__ import annotations

import pytest
from running import layer_graph

from cnnspec.ir.graph import Op
from cnnspec.lower.compile import compile_plan
from cnnspec.lower.registry import LOWERINGS, lowering, lowering_of
from cnnspec.ops import OPS
from cnnspec.ops.activation import Activation, Relu
from cnnspec.ops.norm import Normalize, Renormalize


def test_every_op_of_a_graph_has_a_lowering() -> None:
    """Identity and dropout have none: they build other nodes, or none."""
    without = {name for name, cls in OPS.items() if not any(base in LOWERINGS for base in cls.__mro__)}
    assert without == {"identity", "dropout"}


def test_a_subclass_is_lowered_as_its_base_unless_it_has_its_own() -> None:
    assert lowering_of(Relu()) is LOWERINGS[Activation]
    assert lowering_of(Renormalize(0.1)) is LOWERINGS[Renormalize] is not LOWERINGS[Normalize]


def test_an_op_without_a_lowering_is_named() -> None:
    class Strange(Op):
        name = "strange"

        def infer(self, x: tuple[int, ...]) -> tuple[int, ...]:
            return x

    with pytest.raises(NotImplementedError, match="strange has no lowering"):
        compile_plan(layer_graph(Strange(), [(4, 4, 2)], training=False), batch=2)


def test_an_op_has_one_lowering() -> None:
    with pytest.raises(AssertionError, match="Normalize has two lowerings"):
        lowering(Normalize)(lambda emit, node, op: None)
