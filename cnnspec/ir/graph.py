"""The graph: ops applied to values, in SSA form. Gradients are ordinary nodes.

A class registered by :func:`layer` may be written in a spec under its name. A class registered by :func:`op` exists
only in graphs: a gradient, a loss or a part of a layer. See docs/adding-a-layer.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import is_
from typing import Any, ClassVar, TypeVar, cast

from .fields import Pair, Param, Shape, attr, dataclass_transform, declared

T = TypeVar("T", bound=type)
Dims = tuple[int | str, ...]  # "N" stands for the batch
Results = list[tuple[Dims, str]]  # shape and dtype of each output


@dataclass(frozen=True, slots=True)
class Value:
    """An array in a graph. Values with equal names are the same value.

    Attributes
    ----------
    shape : begins with "N", the batch, for values that have a part for each sample, e.g. ``("N", 28, 28, 16)``.
    dtype : ``f32``, ``i32``, ``i64`` or ``u8``. In a float64 plan every f32 becomes f64.
    """

    name: str
    shape: Dims = field(compare=False)
    dtype: str = field(default="f32", compare=False)

    @property
    def has_batch(self) -> bool:
        return bool(self.shape) and self.shape[0] == "N"

    @property
    def sample(self) -> Shape:
        """The shape without the batch dimension."""
        return cast(Shape, self.shape[1:] if self.has_batch else self.shape)

    @property
    def sample_size(self) -> int:
        """Number of elements of one sample, or of the whole value if it has no batch dimension."""
        return math.prod(self.sample)

    def __str__(self) -> str:
        return f"%{self.name}"


class Op:
    """Base of all ops: typed fields, a shape rule, parameters, cost and gradient. Subclasses are frozen dataclasses."""

    name: ClassVar[str] = ""
    arity: ClassVar[int | None] = 1  # number of activation inputs; None for any number from two on

    def fields(self) -> dict[str, Any]:
        """Return the op's fields by name, in order."""
        return dict(vars(self))

    @classmethod
    def written(cls, values: dict[str, Any]) -> Op:
        """Return the op that a spec writes with these fields; those that others say are filled in here."""
        return cls(**values)

    # ---- of a layer -----------------------------------------------------------------------------
    def infer(self, *xs: Any, **_: Any) -> Shape:
        """Return the shape of one output sample. Raises ShapeRuleError, which names the shapes that do not fit."""
        raise NotImplementedError

    def params(self, *xs: Any, **_: Any) -> tuple[Param, ...]:
        """Return the arrays that this op owns. A node reads them in this order, behind its activations."""
        return ()

    def macs(self, xs: tuple[Shape, ...], y: Shape) -> int:
        """Return the multiply-accumulates of one forward call on one sample."""
        return 0

    def window(self, x: Shape) -> tuple[Pair, Pair] | None:
        """Return (effective kernel size, stride) for receptive fields; None if an output pixel sees one pixel only."""
        return None

    def build(self, b: Builder, xs: Sequence[Value], params: Sequence[Value], training: bool) -> Value:
        """Append the op's forward nodes to a graph and return its output; one node unless overridden."""
        return b.add(self, *xs, *params)

    # ---- of a node ------------------------------------------------------------------------------
    def results(self, *inputs: Value) -> Results:
        """Return shape and dtype of each output of a node with these inputs (batch first, as "N")."""
        xs = inputs[: self.arity] if self.arity is not None else inputs
        return [(("N", *self.infer(*(x.sample for x in xs))), "f32")]

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        """Append the gradient nodes and return one gradient (or None) for each input of the node.

        ``dy`` is the gradient of the first output; further outputs have none. Of a loss, it is the value ``step``.
        """
        raise NotImplementedError(f"{self.name} has no gradient")


LAYERS: dict[str, type[Op]] = {}  # the layers of the language; the package ops fills it, so import it from there
OPS: dict[str, type[Op]] = {}  # all ops, layers included


@dataclass_transform(frozen_default=True, field_specifiers=(attr,))
def op(name: str) -> Callable[[T], T]:
    """Register a class as a graph op and make it a frozen dataclass."""

    def register(cls: T) -> T:
        assert name not in OPS, f"op {name!r} is registered twice"
        cls.name = name  # type: ignore[attr-defined]
        OPS[name] = declared(cls)
        return OPS[name]  # type: ignore[return-value]

    return register


@dataclass_transform(frozen_default=True, field_specifiers=(attr,))
def layer(name: str) -> Callable[[T], T]:
    """Register a class as an op that a spec may write under this name."""

    def register(cls: T) -> T:
        made = op(name)(cls)
        LAYERS[name] = made
        return made

    return register


@dataclass(frozen=True, slots=True)
class Node:
    """One op applied to values. ``layer`` names the layer of the spec that it comes from, "" if none."""

    op: Op
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    layer: str = ""

    @property
    def output(self) -> Value:
        return self.outputs[0]


@dataclass(frozen=True, slots=True)
class ParamValue:
    """A parameter in a graph: the value that stands for it and its declaration."""

    value: Value
    param: Param


@dataclass(frozen=True)
class Graph:
    """A whole computation.

    Attributes
    ----------
    inputs : values that the caller provides: ``x``, ``target``, ``keys``, ``step`` (see passes/build.py).
    params : parameters by their name in weight files, e.g. ``"stem.conv.weight"``.
    nodes : every node stands behind the nodes that make its inputs.
    outputs : named results, e.g. ``logits``, ``loss``, and ``grad:NAME`` for each trainable parameter.
    updates : name of a running statistic -> the value that replaces it after the step.
    """

    inputs: tuple[Value, ...]
    params: dict[str, ParamValue]
    nodes: tuple[Node, ...]
    outputs: dict[str, Value]
    updates: dict[str, Value] = field(default_factory=dict)

    def with_nodes(self, nodes: Iterable[Node]) -> Graph:
        """Return the graph with other nodes; the same object where they are the same objects."""
        made = tuple(nodes)
        same = len(made) == len(self.nodes) and all(map(is_, made, self.nodes))
        return self if same else replace(self, nodes=made)

    @cached_property
    def producer(self) -> dict[str, Node]:
        """Return name of a value -> the node that makes it."""
        return {v.name: node for node in self.nodes for v in node.outputs}

    @cached_property
    def uses(self) -> dict[str, list[Node]]:
        """Return name of a value -> the nodes that read it, in order."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for v in node.inputs:
                found.setdefault(v.name, []).append(node)
        return found

    def results(self) -> set[str]:
        """Return the names of the results: outputs and updates. No pass removes or renames a result by itself."""
        return {v.name for v in (*self.outputs.values(), *self.updates.values())}


STEP_SIZE = 16  # elements of the input ``step``
STEP_STRIDE = 8  # elements from the numbers of one phase of training to those of the next, in ``step``


class Builder:
    """Appends nodes to a new graph. Their outputs are named ``0``, ``1``, ... in order, beginning with ``start``."""

    def __init__(self, inputs: dict[str, Value] | None = None, start: int = 0) -> None:
        self.nodes: list[Node] = []
        self.inputs = inputs or {}
        self.updates: dict[str, Value] = {}
        self.layer = ""
        self.randoms = 0  # number of random streams given out so far
        self._next = start

    @property
    def step(self) -> Value:
        """Input f32[16]: the numbers of the current step, see Step in cnnspec/abi/constants.py."""
        return self.inputs["step"]

    @property
    def keys(self) -> Value:
        """Input i64[N,1]: one random key for each sample, a function of seed, epoch and sample."""
        return self.inputs["keys"]

    def add(self, op: Op, *inputs: Value) -> Value:
        """Append a node with the layer ``self.layer`` and return its first output."""
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
