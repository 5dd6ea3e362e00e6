"""The ops: everything a graph can hold. Importing this package fills the registries ``LAYERS`` and ``OPS``."""

from ..ir.graph import LAYERS, OPS
from . import activation, conv, dropout, linear, loss, merge, norm, pool, reduce, reshape

__all__ = [
    "LAYERS",
    "OPS",
    "activation",
    "conv",
    "dropout",
    "linear",
    "loss",
    "merge",
    "norm",
    "pool",
    "reduce",
    "reshape",
]
