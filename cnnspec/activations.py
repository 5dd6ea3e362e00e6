"""Activations, one row each: function, derivative, bounds. Lowering, passes, gradients, kernels and tests draw from it.

A function takes one number x and the parameter p of the activation (0 where it has none). It is a template: its names
``T``, ``exp``, ``expm1``, ``tanh``, ``clip``, ``gate`` and ``normal`` are bound for each element type by
kernels/activate.py, which makes loops over vectors of it. A NaN stays a NaN in each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# The element type; e^x; e^x - 1; tanh; x kept between two bounds; 1 / (1 + e^-x); the normal distribution up to x.
T: Any = None
exp: Any = None
expm1: Any = None
tanh: Any = None
clip: Any = None
gate: Any = None
normal: Any = None


@dataclass(frozen=True)
class Row:
    """One function of single numbers.

    Attributes
    ----------
    f : the function, f(x, p).
    slope : its derivative, slope(y, p) of the output y, or slope(x, p) of the input where ``of_input``.
    of_input : whether the output does not determine the derivative. Then training keeps the input.
    bounds : of a function that only keeps x between two bounds, and None of any other. Kernels apply bounds while a
        sum is in a register; any other function runs over rows of finished sums.
    """

    f: Callable[[Any, Any], Any]
    slope: Callable[[Any, Any], Any]
    of_input: bool = False
    bounds: tuple[float, float] | None = None


def _gelu_tanh(x: Any, p: Any) -> Any:
    return x * gate(T(2.0 * math.sqrt(2.0 / math.pi)) * (x + T(0.044715) * x * x * x))


# Beyond +-16 a slope is 0 or 1 in any float; where x^2 overflows, 0 * x^2 would be NaN.
def _gelu_slope(x: Any, p: Any) -> Any:
    z = clip(x, T(-16), T(16))
    return normal(x) + T(1.0 / math.sqrt(2.0 * math.pi)) * z * exp(T(-0.5) * z * z)


def _gelu_tanh_slope(x: Any, p: Any) -> Any:
    z = clip(x, T(-16), T(16))
    s = gate(T(2.0 * math.sqrt(2.0 / math.pi)) * (z + T(0.044715) * z * z * z))
    inner = T(2.0 * math.sqrt(2.0 / math.pi)) * (T(1) + T(3 * 0.044715) * z * z)
    return s + z * s * (T(1) - s) * inner


def _silu_slope(x: Any, p: Any) -> Any:
    s = gate(x)
    return s * (T(1) + x * (T(1) - s))


def _hardswish_slope(x: Any, p: Any) -> Any:
    middle = x / T(3) + T(0.5)
    return T(0) if x <= T(-3) else (T(1) if x >= T(3) else middle)


ROWS: dict[str, Row] = {
    "relu": Row(
        lambda x, p: T(0) if x < T(0) else x,
        lambda y, p: T(1) if y > T(0) else T(0),
        bounds=(0.0, math.inf),
    ),
    "relu6": Row(
        lambda x, p: clip(x, T(0), T(6)),
        lambda y, p: T(1) if (y > T(0)) & (y < T(6)) else T(0),
        bounds=(0.0, 6.0),
    ),
    "leaky_relu": Row(lambda x, p: x * p if x < T(0) else x, lambda y, p: T(1) if y > T(0) else p),
    "tanh": Row(lambda x, p: tanh(x), lambda y, p: T(1) - y * y),
    "sigmoid": Row(lambda x, p: T(1) / (T(1) + exp(-x)), lambda y, p: y * (T(1) - y)),
    "elu": Row(lambda x, p: x if x > T(0) else p * expm1(x), lambda y, p: T(1) if y > T(0) else y + p),
    "gelu": Row(lambda x, p: x * normal(x), _gelu_slope, of_input=True),
    "gelu_tanh": Row(_gelu_tanh, _gelu_tanh_slope, of_input=True),
    "silu": Row(lambda x, p: x * gate(x), _silu_slope, of_input=True),
    "hardsigmoid": Row(
        lambda x, p: clip(x + T(3), T(0), T(6)) / T(6),
        lambda y, p: T(1.0 / 6.0) if (y > T(0)) & (y < T(1)) else T(0),
    ),
    "hardswish": Row(lambda x, p: x * (clip(x + T(3), T(0), T(6)) / T(6)), _hardswish_slope, of_input=True),
}

# The number by which kernels know an activation, "" for none.
CODES = {name: code for code, name in enumerate(["", *ROWS])}


def split(kind: str) -> tuple[str, float]:
    """Return row name and parameter of an activation text such as ``leaky_relu:0.1`` or ``relu``; "" is none.

    Raises
    ------
    NotImplementedError
        Where the table has no row of that name, so that nothing is compiled without its function.
    """
    name, _, parameter = kind.partition(":")
    if name not in CODES:
        raise NotImplementedError(f"the activation {name} has no row in cnnspec/activations.py")
    return name, float(parameter or 0.0)


def is_of_input(kind: str) -> bool:
    """Whether the gradient of an activation text needs its input; False of none."""
    name, _ = split(kind)
    return bool(name) and ROWS[name].of_input


def bounds_of(kind: str) -> tuple[float, float] | None:
    """Return the bounds of an activation text that only keeps numbers between bounds; infinite of none, else None."""
    name, _ = split(kind)
    return ROWS[name].bounds if name else (-math.inf, math.inf)
