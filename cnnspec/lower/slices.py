"""Images that lie in the memory of a wider image: concatenation and its gradient without copies.

Images are NHWC, so a concat of images [H, W, C1], [H, W, C2], ... along the channels has pixels of C1 + C2 + ...
channels. The node that makes an input of the concat writes it straight to its channels of the output. All kernels that
read or write the input must then take any stride from pixel to pixel (``Lowering.strided``). In a chain of concats
(Huang et al. 2017, "Densely connected convolutional networks") every input lies in the output of the last concat.
Memory grows with the number of channels, not with its square (Pleiss et al. 2017, "Memory-efficient implementation of
DenseNets"). Backward, the gradient of an input is a ``slice`` of the concat's gradient, and lies in it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ..activations import bounds_of
from ..ir.graph import Graph, Node, Value
from .registry import LOWERINGS


@dataclass(frozen=True)
class Slice:
    """The place of an image [H, W, C]: C channels from ``channel_offset`` on, of ``value`` [H, W, C' >= C].

    ``value`` has memory of its own: it is never a slice itself.
    """

    value: Value
    channel_offset: int

    @property
    def whole(self) -> str:
        """Name of ``value``."""
        return self.value.name


def find_slices(graph: Graph) -> dict[str, Slice]:
    """Return the place of each image that lies in another's memory, by the image's name.

    Three kinds of values do: inputs of a concat, outputs of ``slice`` (channels from ``start`` on), and a sum made by a
    node with ``addend``, whose last input is the addend: the sum takes the place of an addend that is a slice.
    """
    uses, results, producer = graph.uses, graph.results(), graph.producer
    found: dict[str, Slice] = {}

    def fits(v: Value) -> bool:
        """Whether ``v`` is an image [H, W, C] that only strided kernels read and write.

        Inputs and results of the graph keep memory of their own, which the host reads or writes.
        """
        maker = producer.get(v.name)
        touching = [*([maker] if maker else []), *uses.get(v.name, [])]
        return bool(maker) and len(v.sample) == 3 and v.name not in results and all(map(_strided, touching))

    def place(v: Value) -> Slice:
        """Return where ``v`` lies: in another value, or at channel 0 of itself."""
        return found.get(v.name, Slice(v, 0))

    wholes: set[str] = set()  # names of the values that hold others
    for node in reversed(graph.nodes):  # the last concat first: inputs of an earlier one then lie in it, too
        if node.op.name != "concat" or not fits(node.output):
            continue
        whole, first = place(node.output), 0
        times = Counter(x.name for x in node.inputs)  # an image cannot lie in two places
        for x in node.inputs:
            free = times[x.name] == 1 and x.name not in found and x.name not in wholes
            if free and fits(x):
                found[x.name] = Slice(whole.value, whole.channel_offset + first)
                wholes.add(whole.whole)
            first += x.sample[2]
    for node in graph.nodes:
        if node.op.name == "slice" and fits(node.output) and node.inputs[0].name in producer:
            whole = place(node.inputs[0])
            found[node.output.name] = Slice(whole.value, whole.channel_offset + node.op.fields()["start"])
        elif getattr(node.op, "addend", False) and fits(node.output):
            added = node.inputs[-1]
            read_once = len(uses[added.name]) == 1  # the sum writes over the addend
            if added.name in found and read_once and node.output.name not in wholes and node.output.name not in found:
                found[node.output.name] = found[added.name]
    return found


def _strided(node: Node) -> bool:
    """Whether all kernels of a node take any stride from pixel to pixel.

    Fused activations that are bounds (relu, relu6) are applied in registers. Kernels apply the others (tanh, ...) to
    whole rows of W * C numbers, so their images must have no gaps.
    """
    return LOWERINGS.of(node.op).strided and bool(bounds_of(getattr(node.op, "activation", "")))
