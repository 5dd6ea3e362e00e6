"""Activations for tests to draw: each of the registry, with the parameters of its samples, so that none is left out."""

from __future__ import annotations

import dataclasses

import numpy as np
from reference import REFERENCES
from samples import SAMPLES

from cnnspec.activations import bounds_of, is_of_input
from cnnspec.ir.fields import attrs_of
from cnnspec.ops.activation import Activation


def line_of(op: Activation) -> str:
    """Return an activation as a spec writes it."""
    keys = attrs_of(type(op))
    fields = {f.name: f.default for f in dataclasses.fields(op)}  # type: ignore[arg-type]
    given = {name: value for name, value in op.fields().items() if value != fields[name]}
    return " ".join([op.name, *(f"{keys[name].key}={value}" for name, value in given.items())])


BY_KIND = {
    good.op.kind: good.op for samples in SAMPLES.values() for good in samples.good if isinstance(good.op, Activation)
}
LINES = [line_of(op) for op in BY_KIND.values()]
KINDS = ["", *BY_KIND]  # "" is none
CLAMPS = [kind for kind in KINDS if bounds_of(kind)]
TRAINABLE = [kind for kind in KINDS if not is_of_input(kind)]  # may be fused where a gradient follows


def activate(kind: str, x: np.ndarray) -> np.ndarray:
    """Return what an activation text makes of float64 numbers, by the reference."""
    with np.errstate(all="ignore"):
        return REFERENCES[BY_KIND[kind].name](BY_KIND[kind], [x], {}) if kind else x
