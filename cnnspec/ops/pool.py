"""Pooling: the largest or the mean value of each window, channel by channel."""

from __future__ import annotations

from ..errors import ShapeRuleError
from ..ir.fields import Pair, Shape, attr
from ..ir.graph import Builder, Node, Op, Results, Value, layer, op
from .shapes import InputGrad, WindowGrad, require_image, resolve_padding, slide


class Pool(Op):
    """A window that slides over each channel. ``kernel_size`` None is the whole image."""

    kernel_size: Pair | None
    stride: Pair | None
    padding: str | Pair

    def geometry(self, x: Shape) -> tuple[Pair, Pair, Pair]:
        """Return kernel size, stride and padding for an input of this shape."""
        h, w, _ = require_image(x, self.name)
        if self.kernel_size is None:
            return (h, w), (1, 1), (0, 0)
        pads = resolve_padding(self.padding, self.kernel_size)
        if any(2 * p > k for p, k in zip(pads, self.kernel_size, strict=True)):
            raise ShapeRuleError(
                "the padding is more than half the window, so a window could hold no pixel",
                hint="pad at most half the window's size",
                field="padding",
            )
        return self.kernel_size, self.stride or self.kernel_size, pads

    def infer(self, x: Shape) -> Shape:
        kernel, stride, pads = self.geometry(x)
        h, w = slide(x, kernel, stride, pads)
        return h, w, x[2]

    def window(self, x: Shape) -> tuple[Pair, Pair]:
        kernel, stride, _ = self.geometry(x)
        return kernel, stride


@layer("maxpool")
class MaxPool(Pool):
    """The largest value of each window. ``maxpool 2`` halves height and width.

    Padding never wins: it counts as minus infinity. Stride is the window's size unless given.
    """

    kernel_size: Pair = attr("size", "rows x columns of the window", positional=True, key="size", min=1, max=255)
    stride: Pair | None = attr("size", "from one window to the next; the window's size", default=None, min=1)
    padding: str | Pair = attr("padding", "same, none, or rows and columns", key="pad", default=(0, 0), min=0)

    def results(self, *inputs: Value) -> Results:
        """The pooled values, and for each the place of the maximum in its window, row by row."""
        shape: tuple[int | str, ...] = ("N", *self.infer(inputs[0].sample))
        return [(shape, "f32"), (shape, "u8")]

    def infer(self, x: Shape) -> Shape:
        rows, columns = self.kernel_size
        if rows * columns > 256:
            raise ShapeRuleError(
                f"the window holds {rows * columns} pixels, and maxpool takes at most 256",
                f"{rows} x {columns} = {rows * columns}",
                hint="pool twice, or use avgpool",
                field="kernel_size",
            )
        return super().infer(x)

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        x, index = node.inputs[0], node.outputs[1]
        kernel, stride, pads = self.geometry(x.sample)
        return [b.add(MaxPoolGrad(kernel, stride, pads, x.sample), dy, index)]


@layer("avgpool")
class AvgPool(Pool):
    """The mean of each window; ``avgpool global`` is the mean of the whole image, 1x1xC.

    Padding does not count: windows at the border average the pixels they hold.
    """

    kernel_size: Pair | None = attr(
        "window", "rows x columns of the window, or global", positional=True, key="size", min=1
    )
    stride: Pair | None = attr("size", "from one window to the next; the window's size", default=None, min=1)
    padding: str | Pair = attr("padding", "same, none, or rows and columns", key="pad", default=(0, 0), min=0)

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        x = node.inputs[0]
        return [b.add(AvgPoolGrad(*self.geometry(x.sample), x.sample), dy)]


@op("maxpool_grad")
class MaxPoolGrad(InputGrad, WindowGrad):
    """Gradient of max pooling: dy, index -> dx, each dy added where its maximum was."""

    arity = 2
    input_shape: Shape = attr("size")


@op("avgpool_grad")
class AvgPoolGrad(InputGrad, WindowGrad):
    """Gradient of average pooling: dy -> dx, each dy spread evenly over its window."""

    input_shape: Shape = attr("size")
