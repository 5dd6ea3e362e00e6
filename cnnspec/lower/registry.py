"""The registry of lowerings: for each op type, the function that emits its kernel calls, and its demands on memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ..by_type import ByType
from ..ir.fields import Pair
from ..ir.graph import Node, Op

Halo = Callable[[Node, Any], Mapping[int, Pair]]
Emit = TypeVar("Emit", bound=Callable[..., None])


def no_halo(node: Node, op: Op) -> Mapping[int, Pair]:
    """Return the halos of an op that reads no zeros around its inputs."""
    return {}


@dataclass(frozen=True)
class Lowering:
    """How nodes of one op type become kernel calls.

    Attributes
    ----------
    emit : function of (emitter, node, op) that emits the calls which compute the node's outputs.
    halo : function of (node, op) that returns, by input index, the rows and columns of zeros read around that input.
    strided : whether images may be slices of wider ones: the kernels take any step from pixel to pixel.
    """

    emit: Callable[..., None]
    halo: Halo = no_halo
    strided: bool = False


LOWERINGS: ByType[Lowering] = ByType("lowering")


def lowering(*ops: type[Op], halo: Halo = no_halo, strided: bool = False) -> Callable[[Emit], Emit]:
    """Register a function ``(emit, node, op)`` as the lowering of op types and of their subclasses without one."""

    def register(emit: Emit) -> Emit:
        LOWERINGS.put(Lowering(emit, halo, strided), *ops)
        return emit

    return register
