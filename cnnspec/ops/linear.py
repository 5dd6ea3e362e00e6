"""The dense layer: every output sees every input."""

from __future__ import annotations

from ..errors import ShapeRuleError
from ..ir.fields import Param, Shape, attr, dims
from ..ir.graph import Builder, Node, Op, Results, Value, layer, op
from .activation import before_activation
from .reduce import ChannelSum
from .shapes import weight_and_bias


@layer("dense")
class Dense(Op):
    """Fully connected layer: y = x w + b, with weights [F_in, F_out].

    ``dense 120`` makes 120 numbers, each a weighted sum of all inputs plus a bias. It needs a flat input: write
    ``flatten`` (or ``avgpool global -> flatten``) before it.
    """

    units: int = attr("int", "number of outputs", positional=True, min=1, max=1_000_000)
    bias: bool = attr("bool", "add a learned number to each output", default=True)
    activation: str = attr("hidden", "activation fused into the kernel", default="")

    def infer(self, x: Shape) -> Shape:
        if len(x) != 1:
            flat = x[0] * x[1] * x[2]
            raise ShapeRuleError(
                f"dense needs a flat vector, but gets an image of {dims(x)}",
                f"flattened it would be {x[0]} * {x[1]} * {x[2]} = {flat} numbers",
                hint="write  flatten  before dense",
            )
        return (self.units,)

    def params(self, x: Shape) -> tuple[Param, ...]:
        return weight_and_bias((x[0], self.units), x[0], self.bias)

    def macs(self, xs: tuple[Shape, ...], y: Shape) -> int:
        return xs[0][0] * y[0]

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        x, w = node.inputs[:2]
        dz = before_activation(b, self.activation, dy, node.output)
        dx = b.add(DenseInputGrad(x.sample[0]), dz, w)
        dw = b.add(DenseWeightGrad(), x, dz)
        return [dx, dw, b.add(ChannelSum(), dz)] if self.bias else [dx, dw]


@op("dense_input_grad")
class DenseInputGrad(Op):
    """Gradient of a dense layer in its input: dy, w -> dx = dy w^T."""

    in_features: int = attr("int")

    def infer(self, dy: Shape) -> Shape:
        return (self.in_features,)


@op("dense_weight_grad")
class DenseWeightGrad(Op):
    """Gradient of a dense layer in its weights: x, dy -> dw = x^T dy, [F_in, F_out]."""

    arity = 2

    def results(self, *inputs: Value) -> Results:
        x, dy = inputs
        return [((x.sample[0], dy.sample[0]), "f32")]
