"""Rules that ops share: windows that slide over images, weights with a bias."""

from __future__ import annotations

from ..errors import ShapeRuleError
from ..ir.fields import Pair, Param, Shape, attr, declared, dims
from ..ir.graph import Op

AXES = ("height", "width")


class InputGrad:
    """Mixin of gradients in the input of an op with a window: the input's shape is a field."""

    input_shape: Shape

    def infer(self, *_: Shape) -> Shape:
        return self.input_shape


class SameShape(Op):
    """Base of ops whose output has the shape of their first input."""

    def infer(self, x: Shape, *_: Shape) -> Shape:
        return x


def require_image(x: Shape, op: str) -> tuple[int, int, int]:
    """Return (H, W, C), or raise ShapeRuleError when the input has been flattened."""
    if len(x) != 3:
        raise ShapeRuleError(
            f"{op} needs an image, height x width x channels, but gets a flat vector of {dims(x)}",
            hint=f"move {op} before flatten or dense",
        )
    return x[0], x[1], x[2]


def resolve_padding(padding: str | Pair, kernel: Pair, dilation: Pair = (1, 1)) -> Pair:
    """Return rows and columns of padding on each side; "same" is half the dilated kernel."""
    if padding != "same":
        assert isinstance(padding, tuple)
        return padding
    for size, step, axis in zip(kernel, dilation, AXES, strict=True):
        if size % 2 == 0 and step % 2 == 1:
            raise ShapeRuleError(
                f"pad=same needs an odd kernel, but its {axis} is {size}",
                f"same means {axis} {size}//2 on each side, which is exact only for 1, 3, 5, ...",
                hint="say the padding: pad=none, or rows and columns such as pad=1",
                field="kernel_size",
            )
    return tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))  # type: ignore[return-value]


def slide(x: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)) -> Pair:
    """Return output height and width: floor((size + 2*pad - reach) / stride) + 1, reach = dilation*(k-1) + 1."""
    out = []
    for axis, size, k, s, p, d in zip(AXES, x, kernel, stride, padding, dilation, strict=False):
        reach = d * (k - 1) + 1
        if reach > size + 2 * p:
            what = f"{k}" if d == 1 else f"{k} (dilated to {reach})"
            room = f"{size}" if p == 0 else f"{size} + 2*{p} of padding = {size + 2 * p}"
            raise ShapeRuleError(
                f"the filter is larger than its input: {axis} {what} on {room}",
                f"{axis}: floor(({size} + 2*{p} - {reach}) / {s}) + 1 < 1",
                hint="use a smaller filter, more padding, or fewer poolings and strides before it",
                field="kernel_size",
            )
        out.append((size + 2 * p - reach) // s + 1)
    return out[0], out[1]


def weight_and_bias(shape: Shape, fan_in: int, bias: bool, groups: int = 1) -> tuple[Param, ...]:
    """Return a weight whose last dimension counts the outputs, and a bias for each output where there is one."""
    weight = Param("weight", shape, "kaiming_uniform", fan_in, groups=groups)
    return (weight, Param("bias", shape[-1:], "kaiming_uniform", fan_in)) if bias else (weight,)


@declared
class WindowGrad(Op):
    """Base of gradients of ops with a window that slides: its geometry."""

    kernel_size: Pair = attr("size")
    stride: Pair = attr("size")
    padding: Pair = attr("size")
