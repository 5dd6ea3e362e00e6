"""Values that are slices of wider ones: concatenation and its gradient without copies.

The inputs of a concat are written straight to their channels of its output, where all who touch them can step over the
other channels (``Lowering.strided``). In a chain of concats (Huang et al. 2017, "Densely connected convolutional
networks") all lie in the last one: memory grows with the channels, not with their square (Pleiss et al. 2017,
"Memory-efficient implementation of DenseNets").
"""

from __future__ import annotations

from dataclasses import dataclass

from ..activations import bounds_of
from ..ir.graph import Graph, Node, Value
from .registry import LOWERINGS


@dataclass(frozen=True)
class Slice:
    """Channels of ``value`` from ``first`` on."""

    value: Value
    first: int

    @property
    def whole(self) -> str:
        """Name of the value that has the memory."""
        return self.value.name


def find_slices(graph: Graph) -> dict[str, Slice]:
    """Return by name which values lie in another's memory."""
    uses, results, producer = graph.uses(), graph.results(), graph.producer()
    found: dict[str, Slice] = {}

    def fits(v: Value) -> bool:
        """Whether all who read or write an image can step over other channels."""
        maker = producer.get(v.name)
        touching = [*([maker] if maker else []), *uses.get(v.name, [])]
        return bool(maker) and len(v.sample) == 3 and v.name not in results and all(map(_strided, touching))

    def place(v: Value) -> Slice:
        return found.get(v.name, Slice(v, 0))

    wholes: set[str] = set()
    for node in reversed(graph.nodes):
        if node.op.name != "concat" or not fits(node.output):
            continue
        whole, first = place(node.output), 0
        for x in node.inputs:
            free = x.name not in found and x.name not in wholes and [i.name for i in node.inputs].count(x.name) == 1
            if free and fits(x):
                found[x.name] = Slice(whole.value, whole.first + first)
                wholes.add(whole.whole)
            first += x.sample[2]
    for node in graph.nodes:
        if node.op.name == "slice" and fits(node.output) and node.inputs[0].name in producer:
            whole = place(node.inputs[0])
            found[node.output.name] = Slice(whole.value, whole.first + node.op.fields()["start"])
        elif getattr(node.op, "plus", False) and fits(node.output):  # a sum may take the place of what it adds
            added = node.inputs[-1]
            if added.name in found and len(uses[added.name]) == 1 and node.output.name not in wholes | found.keys():
                found[node.output.name] = found[added.name]
    return found


def _strided(node: Node) -> bool:
    """Functions that are no bounds run over whole rows of numbers, so they cannot."""
    return LOWERINGS.of(node.op).strided and bool(bounds_of(getattr(node.op, "activation", "")))
