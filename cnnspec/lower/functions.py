"""Activations as arguments of kernels."""

from __future__ import annotations

import math

from ..activations import CODES, bounds_of, split


def activation_of(kind: str) -> dict[str, int | float]:
    """Return the arguments of an activation text ("" for none) that a kernel applies to each number."""
    name, parameter = split(kind)
    return {"activation": CODES[name], "parameter": parameter}


def function_of(kind: str) -> dict[str, int | float]:
    """Return the arguments of an activation text that is fused into a kernel: code, parameter and bounds."""
    low, high = bounds_of(kind) or (-math.inf, math.inf)
    return {**activation_of(kind), "low": low, "high": high}
