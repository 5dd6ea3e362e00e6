"""The registry of lowerings: every op of a graph has one, and a subclass takes its base's."""

from __future__ import annotations

import pytest
from running import layer_graph

from cnnspec.ir.graph import Op
from cnnspec.lower.compile import compile_plan
from cnnspec.lower.pointwise import lower_activation
from cnnspec.lower.registry import LOWERINGS, lowering
from cnnspec.ops import OPS
from cnnspec.ops.activation import Relu
from cnnspec.ops.norm import Normalize, Renormalize


def test_every_op_of_a_graph_has_a_lowering() -> None:
    """Layers that build other nodes, or none, need none."""
    without = {name for name, cls in OPS.items() if cls not in LOWERINGS}
    assert without <= {name for name, cls in OPS.items() if cls.build is not Op.build}


def test_a_subclass_is_lowered_as_its_base_unless_it_has_its_own() -> None:
    assert LOWERINGS.of(Relu()).emit is lower_activation
    assert LOWERINGS.of(Renormalize(0.1)).emit is not LOWERINGS.of(Normalize(0.1)).emit


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
