"""The ops: everything a graph can hold. Importing this package fills the registry ``LAYERS``."""

from . import activation, conv, dropout, linear, loss, merge, norm, pool, reduce, reshape
from .base import LAYERS, OPS, Attr, Op, Param, Shape, attr, attrs_of, dims, layer, op

__all__ = [
    "LAYERS",
    "OPS",
    "Attr",
    "Op",
    "Param",
    "Shape",
    "activation",
    "attr",
    "attrs_of",
    "conv",
    "dims",
    "dropout",
    "layer",
    "linear",
    "loss",
    "merge",
    "norm",
    "op",
    "pool",
    "reduce",
    "reshape",
]
