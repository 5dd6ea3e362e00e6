"""Loops over activation functions that the compiler can turn into vectors, made from the rows of activations.py.

``exp`` is a polynomial of our own: the C library's is a call for each number, about seven times as slow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ..activations import CODES, ROWS, Row
from ._jit import FASTMATH, emits, f32_at, f64_at, specialise


@emits(types.float32, types.float32, types.float32)
def times_power_of_two(builder, x, k):
    """x * 2^k for a whole number k in [-126, 127], both float32: k goes into the exponent's bits."""
    integer = ir.IntType(32)
    exponent = builder.add(builder.fptosi(k, integer), integer(127))
    return builder.fmul(x, builder.bitcast(builder.shl(exponent, integer(23)), ir.FloatType()))


@njit(fastmath=FASTMATH, error_model="numpy", forceinline=True)
def _parts(x):
    """(m, k) with e^x = 2^k (m + 1), for x clamped to [-87, 88]: m is a polynomial on [-ln2/2, ln2/2]."""
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
    return p * r * r + r, k


@njit(fastmath=FASTMATH, error_model="numpy", forceinline=True)
def exp_f32(x):
    """e^x for x clamped to [-87, 88]; relative error 1.2e-7."""
    m, k = _parts(x)
    return times_power_of_two(m + types.float32(1.0), k)


@njit(fastmath=FASTMATH, error_model="numpy", forceinline=True)
def expm1_f32(x):
    """e^x - 1 for x clamped to [-87, 88], to a relative error also near zero, where e^x - 1 cancels."""
    m, k = _parts(x)
    return times_power_of_two(m, k) + (times_power_of_two(types.float32(1.0), k) - types.float32(1.0))


@njit(error_model="numpy", forceinline=True)
def exp_f64(x):
    return math.exp(x)


@njit(fastmath=FASTMATH, error_model="numpy", forceinline=True)
def tanh_f32(x):
    """1 - 2/(e^2x + 1), and near zero, where that cancels, the start of the series: relative error below 4e-6."""
    far = types.float32(1.0) - types.float32(2.0) / (exp_f32(x + x) + types.float32(1.0))
    near = x - x * x * x * types.float32(1.0 / 3.0)
    return near if (x < types.float32(0.02)) & (x > types.float32(-0.02)) else far


@njit(error_model="numpy", forceinline=True)
def tanh_f64(x):
    return math.tanh(x)


@njit(fastmath=FASTMATH, error_model="numpy", forceinline=True)
def gate_f32(x):
    """1 / (1 + e^-x), and 0 below -87, so that a large number times it is 0."""
    y = types.float32(1.0) / (types.float32(1.0) + exp_f32(-x))
    return types.float32(0.0) if x < types.float32(-87.0) else y


@njit(error_model="numpy", forceinline=True)
def gate_f64(x):
    return 1.0 / (1.0 + math.exp(-x))


@njit(fastmath=FASTMATH, error_model="numpy", forceinline=True)
def normal_f32(x):
    """The normal distribution up to x: (1 + erf(x/sqrt2)) / 2, absolute error below 1e-7.

    With z = |x|/sqrt2 and t = 1/(1 + 0.46 z), erfc(z) = e^(-z^2) P(t): the form of Abramowitz & Stegun 1964, 7.1.26,
    with two terms more. P is fitted to erfc(z) e^(z^2) at 600 Chebyshev points of t for z from 0 to 12, by least
    squares reweighted towards the least largest error (Lawson), weighted by e^(-z^2/2).
    """
    a = types.float32(0.7071067811865476) * abs(x)
    t = types.float32(1.0) / (types.float32(1.0) + types.float32(0.46) * a)
    p = types.float32(0.09222707836)
    p = p * t + types.float32(-0.46435463729)
    p = p * t + types.float32(0.74131886473)
    p = p * t + types.float32(-0.25578970106)
    p = p * t + types.float32(0.39953843028)
    p = p * t + types.float32(0.22442611182)
    p = p * t + types.float32(0.26263384390)
    tail = types.float32(0.5) * p * t * exp_f32(-a * a)
    return tail if x < types.float32(0.0) else types.float32(1.0) - tail


@njit(error_model="numpy", forceinline=True)
def expm1_f64(x):
    return math.expm1(x)


@njit(error_model="numpy", forceinline=True)
def normal_f64(x):
    return 0.5 * math.erfc(-0.7071067811865476 * x)


@njit(fastmath=FASTMATH, error_model="numpy", forceinline=True)
def clip(x, low, high):
    """x kept between two bounds; a NaN stays a NaN."""
    x = low if x < low else x
    return high if x > high else x


# ---- loops, each for one row: f and slope are bound by _ladder(), at by the element type ---------------
at = f = slope = None


def in_place(y, count, p):
    """y = f(y): ``count`` numbers side by side from an address on."""
    y = at(y)
    for k in range(count):
        y[k] = f(y[k], p)


def from_to(x, y, count, p):
    """y = f(x)."""
    x, y = at(x), at(y)
    for k in range(count):
        y[k] = f(x[k], p)


def times_slope(dy, v, dx, count, p):
    """dx = dy * slope(v)."""
    dy, v, dx = at(dy), at(v), at(dx)
    for k in range(count):
        dx[k] = dy[k] * slope(v[k], p)


FUNCTIONS = sum(1 << CODES[name] for name, row in ROWS.items() if row.bounds is None)  # a bit for each code
LOW, HIGH = zip(*((-math.inf, math.inf), *(row.bounds or (-math.inf, math.inf) for row in ROWS.values())), strict=True)


def _ladder(loop: Callable[..., Any], rows: dict[str, Row], **bindings: Any) -> Any:
    """Return an intrinsic (code, numbers) that runs the loop of the row with this code, and none for another code."""
    loops = {}
    for name, row in rows.items():
        sides = {
            side: njit(fastmath=FASTMATH, error_model="numpy", forceinline=True)(
                specialise(text, f"{name}_{side}", **bindings)
            )
            for side, text in (("f", row.f), ("slope", row.slope))
        }
        made = specialise(loop, f"{loop.__name__}_{name}", **bindings, **sides)
        loops[CODES[name]] = njit(fastmath=FASTMATH, error_model="numpy")(made)

    @intrinsic
    def ladder(typingctx: Any, code: Any, numbers: Any) -> Any:
        kinds = {number: typingctx.resolve_value_type(loop) for number, loop in loops.items()}
        calls = {number: (kind, kind.get_call_type(typingctx, numbers.types, {})) for number, kind in kinds.items()}

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            for number, (kind, call) in calls.items():
                with builder.if_then(builder.icmp_signed("==", args[0], ir.IntType(64)(number))):
                    run = context.get_function(kind, call)
                    run(builder, cgutils.unpack_tuple(builder, args[1]))
                    context.add_linking_libs(run.libs)
            return context.get_dummy_value()

        return types.void(types.int64, numbers), codegen

    return ladder


def _bindings(bits: int, **functions: Any) -> dict[str, Any]:
    """Return the globals that kernels of one element type bind: T, at, exp, SIZE, and loops over activations.

    activate(code, (y, count, p)), forward(code, (x, y, count, p)) and backward(code, (dy, v, dx, count, p)) work on
    ``count`` numbers side by side from addresses on.
    """
    own = {name: row for name, row in ROWS.items() if row.bounds is None}
    return {
        **{name: functions[name] for name in ("T", "at", "exp")},
        "SIZE": bits // 8,
        "activate": _ladder(in_place, own, **functions),
        "forward": _ladder(from_to, ROWS, **functions),
        "backward": _ladder(times_slope, ROWS, **functions),
    }


TYPES = {  # bits of the element type -> what its kernels bind
    32: _bindings(
        32, T=types.float32, at=f32_at, exp=exp_f32, expm1=expm1_f32, tanh=tanh_f32, clip=clip, gate=gate_f32,
        normal=normal_f32,
    ),
    64: _bindings(
        64, T=types.float64, at=f64_at, exp=exp_f64, expm1=expm1_f64, tanh=tanh_f64, clip=clip, gate=gate_f64,
        normal=normal_f64,
    ),
}  # fmt: skip
