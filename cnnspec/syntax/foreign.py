"""Lines of Keras and PyTorch in words of the language, where a line there means one thing here.

``Conv2D(32, (3, 3), activation="relu")`` pads nothing unless it says so, and ``nn.Conv2d(3, 16, 3)`` names the channels
that enter first: a line taken over word by word would be another net.
"""

from __future__ import annotations

import ast as python
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

LONGEST = 400  # characters of a line that is looked at
_WRAPPER = re.compile(r"(?:\w+\s*=\s*)?\w+\.add\(\s*(.*?)\s*\)\s*", re.DOTALL)
_ACTIVATIONS = {
    "relu": "relu", "relu6": "relu6", "tanh": "tanh", "sigmoid": "sigmoid", "softmax": "softmax", "elu": "elu",
    "gelu": "gelu", "silu": "silu", "swish": "silu", "hard_sigmoid": "hardsigmoid", "hard_silu": "hardswish",
    "hard_swish": "hardswish",
}  # fmt: skip
_MISSING: Any = object()


@dataclass
class Line:
    """One call, its arguments still to be taken; what is not taken in the end has no translation."""

    name: str  # the last part: Conv2d of nn.Conv2d
    prefix: str
    positional: list[Any]
    keys: dict[str, Any] = field(default_factory=dict)
    exact: bool = True

    def take(self, *names: str, default: Any = _MISSING) -> Any:
        """Return the next positional argument, or that of the first of these keys."""
        if self.positional:
            return self.positional.pop(0)
        value = self.key(*names, default=default)
        if value is _MISSING:
            raise ValueError(names)
        return value

    def key(self, *names: str, default: Any = None) -> Any:
        for name in names:
            if name in self.keys:
                return self.keys.pop(name)
        return default


def translate(call: str) -> tuple[str, bool, tuple[str, ...]] | None:
    """Return a call of Keras or PyTorch as flow of the language, or None where it is neither.

    Returns
    -------
    the flow, whether it is exactly that, the keys that have no counterpart and are left out.

    >>> translate("Conv2D(32, (3, 3), activation='relu')")
    ('conv 32 3x3 pad=none -> relu', True, ())
    >>> translate("nn.Conv2d(3, 16, 3, padding=1)")
    ('conv 16 3x3 pad=1', True, ())
    """
    if len(call) > LONGEST:
        return None
    wrapped = _WRAPPER.fullmatch(call.strip())
    try:
        tree = python.parse((wrapped.group(1) if wrapped else call).strip(), mode="eval").body
        if isinstance(tree, python.Call) and isinstance(tree.func, python.Call):  # layers.Flatten()(x)
            tree = tree.func
        if not isinstance(tree, python.Call):
            return None
        line = _read(tree)
        written = RULES[line.name](line)
    except (ValueError, LookupError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    if not written or line.positional:
        return None
    return written, line.exact and not line.keys, tuple(line.keys)


def _read(call: python.Call) -> Line:
    if isinstance(call.func, python.Attribute):
        name, prefix = call.func.attr, python.unparse(call.func.value)
    elif isinstance(call.func, python.Name):
        name, prefix = call.func.id, ""
    else:
        raise ValueError
    keys = {k.arg: python.literal_eval(k.value) for k in call.keywords if k.arg is not None}
    return Line(name, prefix, [_value(a) for a in call.args], keys)


def _value(node: python.expr) -> Any:
    if isinstance(node, python.Name):  # in_features, or the x of F.relu(x)
        return node.id
    return python.literal_eval(node)


def _size(value: Any) -> str:
    """Return a size as the language writes it: 3x3 of 3 or (3, 3)."""
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return f"{_whole(value[0])}x{_whole(value[1])}"
    return f"{_whole(value)}x{_whole(value)}"


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise ValueError
    return value


def _short(value: Any) -> str:
    rows, columns = _size(value).split("x")
    return rows if rows == columns else f"{rows}x{columns}"


def _keyed(key: str, value: object, default: object) -> str:
    """Return `` stride=2``, or nothing for the value that the language takes anyway."""
    return "" if value == default else f" {key}={value}"


def _activation(line: Line) -> str:
    name = line.key("activation")
    return "" if name in (None, "linear") else f" -> {_ACTIVATIONS[name]}"


def _keras_pad(line: Line) -> str:
    padding = line.key("padding", default="valid")
    return {"valid": "none", "same": "same"}[padding]


def _bias(line: Line, name: str) -> str:
    return "" if line.key(name, default=True) else " bias=no"


def _opening(line: Line) -> str:
    """Return the input that a first layer of Keras names, with the arrow after it."""
    shape = line.key("input_shape", "shape")
    line.key("name")
    if shape is None:
        return ""
    return f"input {'x'.join(str(_whole(d)) for d in shape)} -> "


def _keras_conv(line: Line) -> str:
    filters, size = _whole(line.take("filters")), _size(line.take("kernel_size"))
    text = _keras_window(line, f"{_opening(line)}conv {filters} {size}", line.take("strides", default=1))
    text += _keyed("dilation", _short(line.key("dilation_rate", default=1)), "1")
    text += _keyed("groups", _whole(line.key("groups", default=1)), 1)
    return text + _bias(line, "use_bias") + _activation(line)


def _keras_depthwise(line: Line) -> str:
    size = _size(line.take("kernel_size"))
    text = _keras_window(line, f"depthwise {size}", line.key("strides", default=1))
    return text + _bias(line, "use_bias") + _activation(line)


def _keras_window(line: Line, text: str, strides: Any) -> str:
    """Return a call with its stride and its padding, which with a stride stands at the other side there."""
    stride, pad = _short(strides), _keras_pad(line)
    line.exact = stride == "1" or pad == "none"
    return text + _keyed("stride", stride, "1") + _keyed("pad", pad, "same")


def _torch_conv(line: Line) -> str:
    line.take("in_channels")
    text = f"conv {_whole(line.take('out_channels'))} {_size(line.take('kernel_size'))}"
    text += _keyed("stride", _short(line.take("stride", default=1)), "1")
    padding = line.take("padding", default=0)
    pad = padding if padding in ("same", "valid") else _short(padding)
    text += _keyed("pad", {"valid": "none", "0": "none"}.get(pad, pad), "same")
    text += _keyed("dilation", _short(line.take("dilation", default=1)), "1")
    text += _keyed("groups", _whole(line.take("groups", default=1)), 1)
    return text + _bias(line, "bias")


def _pool(line: Line) -> str:
    kind = "maxpool" if line.name.startswith("Max") else "avgpool"
    torch = line.name.endswith("2d")
    size = _short(line.take("kernel_size") if torch else line.take("pool_size", default=2))
    stride = line.take("stride", "strides", default=None)
    text = f"{kind} {size}" + ("" if stride is None else _keyed("stride", _short(stride), size))
    if not torch:
        pad = _keras_pad(line)
        line.exact = pad == "none"
        return text + _keyed("pad", pad, "none")
    padding = _short(line.take("padding", default=0))
    if padding != "0" and kind == "avgpool":  # zeros count there
        raise ValueError
    return text + _keyed("pad", padding, "0")


def _dense(line: Line) -> str:
    if line.name == "Dense":
        units = _whole(line.take("units"))
        return f"{_opening(line)}dense {units}" + _bias(line, "use_bias") + _activation(line)
    first = line.take("in_features")
    units = line.take("out_features", default=first)
    return f"dense {_whole(units)}" + _bias(line, "bias")


def _global(line: Line) -> str:
    if line.name.startswith("Adaptive"):
        return "avgpool global" if _short(line.take("output_size")) == "1" else ""
    return "avgpool global" if line.key("keepdims", default=False) else "avgpool global -> flatten"


def _batch_norm(line: Line) -> str:
    if line.name == "BatchNorm2d":
        line.take("num_features", default=None)
    return "bn"


def _leaky(line: Line) -> str:
    default = 0.01 if line.prefix == "nn" else None
    slope = line.take("negative_slope", "alpha", default=default)
    line.key("inplace")
    return f"leaky_relu {float(slope):g}"


def _elu(line: Line) -> str:
    alpha = line.take("alpha", default=1.0)
    line.key("inplace", "name")
    return "elu" if float(alpha) == 1 else f"elu {float(alpha):g}"


def _gelu(line: Line) -> str:
    approximate = line.key("approximate", default="none")
    if approximate not in ("none", "tanh"):
        raise ValueError
    return "gelu" + _keyed("approximate", approximate, "none")


def _plain(line: Line) -> str:
    """Return a layer of the same name that takes nothing."""
    if line.prefix == "F":  # F.relu(x)
        line.take("input", default="")
    line.key("inplace", "dim", "axis")
    line.key("name")
    return line.name.lower()


def _input(line: Line) -> str:
    values = line.take("shape", "input_shape")
    if isinstance(values, int):
        values = [values, *line.positional]
        line.positional.clear()
    line.key("name")
    line.key("batch_size")
    return f"input {'x'.join(str(_whole(v)) for v in values)}"


def _named_activation(line: Line) -> str:
    line.keys["activation"] = line.take("activation")
    return _activation(line).removeprefix(" -> ")


def _dropout(line: Line) -> str:
    rate = line.take("rate", "p", default=0.5)
    line.key("inplace")
    return f"dropout {float(rate):g}"


RULES: Mapping[str, Callable[[Line], str]] = {
    name: rule
    for names, rule in (
        ("Conv2D Convolution2D", _keras_conv),
        ("Conv2d", _torch_conv),
        ("DepthwiseConv2D", _keras_depthwise),
        ("MaxPool2d MaxPool2D MaxPooling2D AvgPool2d AvgPool2D AveragePooling2D", _pool),
        ("AdaptiveAvgPool2d GlobalAveragePooling2D GlobalAvgPool2D", _global),
        ("Dense Linear LazyLinear", _dense),
        ("BatchNormalization BatchNorm2d BatchNorm1d", _batch_norm),
        ("LeakyReLU", _leaky),
        ("ELU", _elu),
        ("GELU", _gelu),
        ("ReLU ReLU6 SiLU Hardsigmoid Hardswish Tanh Sigmoid Softmax relu silu hardswish Flatten", _plain),
        ("Activation", _named_activation),
        ("Dropout", _dropout),
        ("Input InputLayer", _input),
    )
    for name in names.split()
}
