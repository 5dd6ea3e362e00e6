"""How depthwise convolutions and their gradients become kernel calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .activation import activation_args

if TYPE_CHECKING:
    from ..ir.graph import Node
    from ..plan.lower import Emitter
    from .conv import Depthwise, DepthwiseInputGrad, DepthwiseWeightGrad


def lower_depthwise(emit: Emitter, node: Node, op: Depthwise) -> None:
    x, w, *bias = node.inputs
    lx, ly = emit.layout(x), emit.layout(node.output)
    start = lx.origin - op.pads[0] * lx.row - op.pads[1] * lx.channels
    args = (
        ly.height, ly.width, ly.channels, lx.image, lx.row, lx.channels, *emit.strides(node.output),
        *op.kernel_size, *op.stride, *op.dilation, 1 if bias else 0, *activation_args(op.activation),
    )  # fmt: skip
    operands = [
        emit.image(x, at=start),
        emit.whole(w),
        emit.whole(bias[0] if bias else w),
        emit.image(node.output, write=True),
    ]
    emit.call("depthwise", operands, args, flops=2 * op.macs((x.sample,), node.output.sample))


def lower_depthwise_input_grad(emit: Emitter, node: Node, op: DepthwiseInputGrad) -> None:
    dy, w = node.inputs
    lx, ly = emit.layout(node.output), emit.layout(dy)
    args = (
        lx.height, lx.width, lx.channels, ly.height, ly.width, *emit.strides(dy), *emit.strides(node.output),
        *op.kernel_size, *op.stride, *op.padding, *op.dilation,
    )  # fmt: skip
    flops = 2 * ly.height * ly.width * ly.channels * op.kernel_size[0] * op.kernel_size[1]
    emit.call(
        "depthwise_input_grad",
        [emit.image(dy), emit.whole(w), emit.image(node.output, write=True)],
        args,
        flops=flops,
    )


def lower_depthwise_weight_grad(emit: Emitter, node: Node, op: DepthwiseWeightGrad) -> None:
    x, dy = node.inputs
    lx, ly = emit.layout(x), emit.layout(dy)
    start = lx.origin - op.padding[0] * lx.row - op.padding[1] * lx.channels
    total = emit.gradient(node.output, emit.buffer_size(node.output))
    args = (
        ly.height, ly.width, ly.channels, lx.image, lx.row, lx.channels, *emit.strides(dy),
        *op.kernel_size, *op.stride, *op.dilation,
    )  # fmt: skip
    flops = 2 * ly.height * ly.width * ly.channels * op.kernel_size[0] * op.kernel_size[1]
    emit.call(
        "depthwise_weight_grad",
        [emit.image(x, at=start), emit.image(dy), emit.whole(total, write=True)],
        args,
        flops=flops,
    )
