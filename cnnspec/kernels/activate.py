"""Activation functions on numbers in a loop that the compiler can turn into vectors.

``exp`` is a polynomial of our own: the C library's is a call for each number, about seven times as slow.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ._jit import FASTMATH, f32_at, f64_at, load_i64


@intrinsic
def times_power_of_two(typingctx: Any, x: Any, k: Any) -> Any:
    """x * 2^k for a whole number k in [-126, 127], both float32: k goes into the exponent's bits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = ir.IntType(32)
        exponent = builder.add(builder.fptosi(args[1], integer), integer(127))
        return builder.fmul(args[0], builder.bitcast(builder.shl(exponent, integer(23)), ir.FloatType()))

    return types.float32(types.float32, types.float32), codegen


@njit(inline="always", fastmath=FASTMATH)
def exp_f32(x):
    """e^x for x clamped to [-87, 88]: 2^k times a polynomial on [-ln2/2, ln2/2]; relative error 1.2e-7."""
    x = types.float32(-87.0) if x < types.float32(-87.0) else x
    x = types.float32(88.0) if x > types.float32(88.0) else x
    k = (x * types.float32(1.4426950408889634) + types.float32(12582912.0)) - types.float32(12582912.0)  # rounds
    r = x - k * types.float32(0.693359375) - k * types.float32(-2.12194440e-4)
    p = types.float32(1.9875691500e-4)
    p = p * r + types.float32(1.3981999507e-3)
    p = p * r + types.float32(8.3334519073e-3)
    p = p * r + types.float32(4.1665795894e-2)
    p = p * r + types.float32(1.6666665459e-1)
    p = p * r + types.float32(5.0000001201e-1)
    p = p * r * r + r + types.float32(1.0)
    return times_power_of_two(p, k)


@njit(inline="always")
def exp_f64(x):
    return math.exp(x)


@njit(inline="always", fastmath=FASTMATH)
def tanh_f32(x):
    """1 - 2/(e^2x + 1), and near zero, where that cancels, the start of the series: relative error below 4e-6."""
    far = types.float32(1.0) - types.float32(2.0) / (exp_f32(x + x) + types.float32(1.0))
    near = x - x * x * x * types.float32(1.0 / 3.0)
    return near if (x < types.float32(0.02)) & (x > types.float32(-0.02)) else far


@njit(inline="always")
def tanh_f64(x):
    return math.tanh(x)


def make_apply(T: Any, exp: Any, tanh: Any) -> Any:
    """Return apply(code, x, param) -> y for one element type; codes are those of ops/activation.py."""

    @njit(inline="always", fastmath=FASTMATH)
    def apply(code, x, param):
        if code == 1:
            return T(0) if x < T(0) else x
        if code == 2:
            x = T(0) if x < T(0) else x
            return T(6) if x > T(6) else x
        if code == 3:
            return x * param if x < T(0) else x
        if code == 4:
            return tanh(x)
        if code == 5:
            return T(1) / (T(1) + exp(-x))
        return x

    return apply


def make_slope(T: Any) -> Any:
    """Return slope(code, y, param): the derivative of an activation as a function of its output."""

    @njit(inline="always", fastmath=FASTMATH)
    def slope(code, y, param):
        if code == 1:
            return T(1) if y > T(0) else T(0)
        if code == 2:
            return T(1) if (y > T(0)) & (y < T(6)) else T(0)
        if code == 3:
            return T(1) if y > T(0) else param
        if code == 4:
            return T(1) - y * y
        if code == 5:
            return y * (T(1) - y)
        return T(1)

    return slope


def make_activate(array_at: Any, apply: Any) -> Any:
    """Return activate(table, rows, count, code, param): in place on rows whose addresses are in a table."""

    @njit(fastmath=FASTMATH, error_model="numpy")
    def activate(table, rows, count, code, param):
        for m in range(rows):
            y = array_at(load_i64(table + 8 * m))
            if code == 3:
                for k in range(count):
                    y[k] = apply(3, y[k], param)
            elif code == 4:
                for k in range(count):
                    y[k] = apply(4, y[k], param)
            elif code == 5:
                for k in range(count):
                    y[k] = apply(5, y[k], param)

    return activate


apply_f32, apply_f64 = make_apply(types.float32, exp_f32, tanh_f32), make_apply(types.float64, exp_f64, tanh_f64)
slope_f32, slope_f64 = make_slope(types.float32), make_slope(types.float64)
activate_f32, activate_f64 = make_activate(f32_at, apply_f32), make_activate(f64_at, apply_f64)
