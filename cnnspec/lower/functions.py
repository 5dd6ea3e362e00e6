"""Activations as arguments of kernels."""

from __future__ import annotations

from ..ops.activation import activation_args, fused_args


def activation_of(kind: str) -> dict[str, int | float]:
    """Return the arguments of an activation text ("" for none) that a kernel applies to each number."""
    code, parameter = activation_args(kind)
    return {"activation": code, "parameter": parameter}


def function_of(kind: str) -> dict[str, int | float]:
    """Return the arguments of an activation text that is fused into a kernel: code, parameter and bounds."""
    code, parameter, low, high = fused_args(kind)
    return {"activation": code, "parameter": parameter, "low": low, "high": high}
