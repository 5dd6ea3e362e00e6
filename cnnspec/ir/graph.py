"""The graph: nodes of ops on values, in SSA form. Gradients are ordinary nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..ops.base import Op, Param

Dims = tuple[int | str, ...]  # "N" stands for the batch


@dataclass(frozen=True)
class Value:
    """An array in a graph. Equal names are the same value.

    ``shape`` starts with "N" for values that exist once a sample; ``dtype`` is ``f32``, ``i32``, ``i64`` or ``u8``
    (a plan may be made in float64, where every f32 becomes f64).
    """

    name: str
    shape: Dims = field(compare=False)
    dtype: str = field(default="f32", compare=False)

    @property
    def has_batch(self) -> bool:
        return bool(self.shape) and self.shape[0] == "N"

    @property
    def sample(self) -> tuple[int, ...]:
        """The shape without the batch dimension."""
        return tuple(int(d) for d in (self.shape[1:] if self.has_batch else self.shape))

    @property
    def sample_size(self) -> int:
        """Elements of one sample (or of the whole value where there is no batch)."""
        n = 1
        for d in self.sample:
            n *= d
        return n

    def __str__(self) -> str:
        return f"%{self.name}"


@dataclass(frozen=True)
class Node:
    """One op applied to values. ``layer`` names the layer of the spec that it comes from, "" if none."""

    op: Op
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    layer: str = ""

    @property
    def output(self) -> Value:
        return self.outputs[0]


@dataclass(frozen=True)
class ParamValue:
    """A parameter in a graph: the value that stands for it and its declaration."""

    value: Value
    param: Param


@dataclass(frozen=True)
class Graph:
    """A whole computation.

    Attributes
    ----------
    inputs : what a caller hands over: ``x``, ``target``, ``sample_ids``, ``step`` (see ir/build.py).
    params : parameters by their name in weight files, e.g. ``"stem.conv.weight"``.
    nodes : in an order in which every input comes before its use.
    outputs : named results, e.g. ``logits``, ``loss``, and ``grad:NAME`` for each trainable parameter.
    updates : running statistics: parameter name -> value that replaces it after the step.
    """

    inputs: tuple[Value, ...]
    params: dict[str, ParamValue]
    nodes: tuple[Node, ...]
    outputs: dict[str, Value]
    updates: dict[str, Value] = field(default_factory=dict)

    def with_nodes(self, nodes: Iterable[Node]) -> Graph:
        return replace(self, nodes=tuple(nodes))

    def producer(self) -> dict[str, Node]:
        """Map each value's name to the node that makes it."""
        return {v.name: node for node in self.nodes for v in node.outputs}

    def uses(self) -> dict[str, list[Node]]:
        """Map each value's name to the nodes that read it, in order."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for v in node.inputs:
                found.setdefault(v.name, []).append(node)
        return found

    def results(self) -> set[str]:
        """Names of the values that must survive: outputs and updates."""
        return {v.name for v in (*self.outputs.values(), *self.updates.values())}


class Builder:
    """Appends nodes and names their values ``0``, ``1``, ... in order."""

    def __init__(self, inputs: dict[str, Value] | None = None, start: int = 0) -> None:
        self.nodes: list[Node] = []
        self.inputs = inputs or {}
        self.updates: dict[str, Value] = {}
        self.layer = ""
        self.randoms = 0  # random streams given out so far
        self._next = start

    @property
    def step(self) -> Value:
        """Numbers of this very step, set by the host: see STEP in ir/build.py."""
        return self.inputs["step"]

    @property
    def keys(self) -> Value:
        """One random key for each sample, a function of seed, epoch and sample."""
        return self.inputs["keys"]

    def add(self, op: Op, *inputs: Value) -> Value:
        """Append a node and return its first output."""
        return self.add_all(op, *inputs)[0]

    def add_all(self, op: Op, *inputs: Value) -> tuple[Value, ...]:
        """Append a node and return all its outputs."""
        outputs = []
        for shape, dtype in op.results(*inputs):
            outputs.append(Value(str(self._next), shape, dtype))
            self._next += 1
        node = Node(op, tuple(inputs), tuple(outputs), self.layer)
        self.nodes.append(node)
        return node.outputs

    def sum(self, values: Sequence[Value]) -> Value:
        """Return the sum of one or more values of equal shape."""
        from ..ops.merge import Add

        return values[0] if len(values) == 1 else self.add(Add(), *values)
