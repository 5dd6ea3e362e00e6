"""Where branches meet: add, multiply, concat, and the slices that their gradients are made of."""

from __future__ import annotations

from ..errors import ShapeRuleError
from ..ir.fields import Shape, attr, dims
from ..ir.graph import Builder, Node, Op, Results, Value, layer, op
from .activation import before_activation
from .reduce import SpatialSum


@layer("add")
class Add(Op):
    """The sum of branches of equal shape. He et al. 2016 use it for the residual."""

    arity = None
    activation: str = attr("hidden", "activation fused into the kernel", default="")

    def infer(self, *xs: Shape) -> Shape:
        for i, x in enumerate(xs[1:], start=2):
            if x != xs[0]:
                raise ShapeRuleError(
                    f"add needs branches of one shape, but branch 1 makes {dims(xs[0])} and branch {i} {dims(x)}",
                    hint="make the branches end in equal height, width and channels",
                )
        return xs[0]

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        return [before_activation(b, self.activation, dy, node.output)] * len(node.inputs)


@layer("multiply")
class Multiply(Op):
    """The product of two branches; a 1x1xC branch scales whole channels (Hu et al. 2018, squeeze-and-excitation)."""

    arity = 2

    def infer(self, *xs: Shape) -> Shape:
        if len(xs) != 2:
            raise ShapeRuleError(
                f"multiply takes two branches, but gets {len(xs)}",
                hint="nest a second multiply for a third branch",
            )
        a, b = xs
        if a == b or (len(a) == len(b) == 3 and a[2] == b[2] and (1, 1) in (a[:2], b[:2])):
            return max(a, b)
        raise ShapeRuleError(
            f"multiply needs equal shapes, or one branch of 1x1xC, but gets {dims(a)} and {dims(b)}",
            hint="end one branch in  avgpool global  and as many channels as the other has",
        )

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        grads: list[Value | None] = []
        for mine, other in (node.inputs, node.inputs[::-1]):
            g = b.add(Multiply(), dy, other)
            grads.append(g if mine.sample == dy.sample else b.add(SpatialSum(), g))
        return grads


@layer("concat")
class Concat(Op):
    """The branches' channels one after another. Height and width must agree."""

    arity = None

    def infer(self, *xs: Shape) -> Shape:
        for i, x in enumerate(xs[1:], start=2):
            if x[:-1] != xs[0][:-1]:
                raise ShapeRuleError(
                    f"concat needs branches of one height and width, but branch 1 makes {dims(xs[0])} "
                    f"and branch {i} {dims(x)}",
                    hint="give the branches the same strides and paddings",
                )
        return (*xs[0][:-1], sum(x[-1] for x in xs))

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        grads: list[Value | None] = []
        start = 0
        for x in node.inputs:
            stop = start + x.sample[-1]
            grads.append(b.add(Slice(start, stop), dy))
            start = stop
        return grads


@op("join")
class Join(Op):
    """Vectors [C1], [C2], ... -> [C1 + C2 + ...]: the statistics of a concat from those of its parts."""

    arity = None

    def results(self, *inputs: Value) -> Results:
        return [((sum(v.sample_size for v in inputs),), "f32")]


@op("slice")
class Slice(Op):
    """Channels ``start`` to ``stop`` of an image or vector."""

    start: int = attr("int")
    stop: int = attr("int")

    def infer(self, x: Shape) -> Shape:
        return (*x[:-1], self.stop - self.start)
