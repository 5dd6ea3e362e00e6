"""How losses and softmax become calls of kernels that work on one vector [F] at a time."""

from __future__ import annotations

from ..ir.graph import Node
from ..ops.activation import Softmax, SoftmaxGrad
from ..ops.loss import CrossEntropyGrad, CrossEntropyLoss, MeanSquaredErrorGrad, MeanSquaredErrorLoss
from .emitter import Emitter
from .registry import lowering


@lowering(Softmax, SoftmaxGrad)
def lower_softmax(emit: Emitter, node: Node, op: Softmax | SoftmaxGrad) -> None:
    _emit_vectors(emit, op.name, node)


@lowering(CrossEntropyLoss, CrossEntropyGrad)
def lower_cross_entropy(emit: Emitter, node: Node, op: CrossEntropyLoss | CrossEntropyGrad) -> None:
    _emit_vectors(emit, op.name, node, op.smooth)


@lowering(MeanSquaredErrorLoss, MeanSquaredErrorGrad)
def lower_mean_squared_error(emit: Emitter, node: Node, op: MeanSquaredErrorLoss | MeanSquaredErrorGrad) -> None:
    """Emit the loss or its gradient; class numbers as targets stand for one-hot vectors."""
    _emit_vectors(emit, f"{op.name}.onehot" if node.inputs[1].dtype == "i32" else op.name, node)


def _emit_vectors(emit: Emitter, kernel: str, node: Node, *args: float) -> None:
    """Emit a kernel that works vector by vector."""
    operands = [emit.image(v) if v.has_batch else emit.whole(v) for v in node.inputs]
    operands += [emit.image(v, write=True) for v in node.outputs]
    strides = [emit.layout(v).image if v.has_batch else 0 for v in (*node.inputs, *node.outputs)]
    emit.call(kernel, operands, (node.inputs[0].sample_size, *strides, *args))
