"""How losses and softmax become calls of kernels that work on one vector [F] at a time."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.graph import Node
from ..ops.activation import Softmax, SoftmaxGrad
from ..ops.loss import CrossEntropyGrad, CrossEntropyLoss, MeanSquaredErrorGrad, MeanSquaredErrorLoss
from .emitter import Emitter
from .registry import lowering


@lowering(Softmax, SoftmaxGrad)
def lower_softmax(emit: Emitter, node: Node, op: Softmax | SoftmaxGrad) -> None:
    names = ("x", "y") if op.name == "softmax" else ("dy", "y", "dx")
    _emit_vectors(emit, op.name, node, names)


@lowering(CrossEntropyLoss, CrossEntropyGrad)
def lower_cross_entropy(emit: Emitter, node: Node, op: CrossEntropyLoss | CrossEntropyGrad) -> None:
    names = ("step", "dx") if op.name.endswith("_grad") else ("loss", "correct")
    _emit_vectors(emit, op.name, node, ("logits", "label", *names), smooth=op.smooth)


@lowering(MeanSquaredErrorLoss, MeanSquaredErrorGrad)
def lower_mean_squared_error(emit: Emitter, node: Node, op: MeanSquaredErrorLoss | MeanSquaredErrorGrad) -> None:
    """Emit the loss or its gradient; class numbers as targets stand for one-hot vectors."""
    names = ("step", "dx") if op.name.endswith("_grad") else ("loss", "correct")
    kernel = f"{op.name}.onehot" if node.inputs[1].dtype == "i32" else op.name
    _emit_vectors(emit, kernel, node, ("y", "target", *names))


def _emit_vectors(emit: Emitter, kernel: str, node: Node, names: Sequence[str], **args: float) -> None:
    """Emit a kernel that works vector by vector; ``names`` of its operands, inputs first."""
    values = dict(zip(names, (*node.inputs, *node.outputs), strict=True))
    emit.call(kernel, values, dict(features=node.inputs[0].sample_size, **args))
