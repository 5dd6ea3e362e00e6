"""The interface of passes, and the run of a list of passes: the graph is verified before, between and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from ..ir.graph import Graph
from ..ir.verify import verify_graph


class Pass(Protocol):
    """A rewrite of graphs.

    The docstring of a pass begins with the nodes that it replaces and their replacement. "Valid where" gives the
    condition, and says whether results are bit-identical or equal up to rounding. "Gain" gives the benefit.
    """

    name: ClassVar[str]
    after: ClassVar[tuple[str, ...]]  # names of passes that must run before it if the pipeline has them

    def run(self, graph: Graph) -> Graph: ...


def run_pipeline(graph: Graph, passes: Sequence[Pass], watch: Callable[[str, Graph], None] | None = None) -> Graph:
    """Return the graph after all passes, run in order.

    Parameters
    ----------
    watch : called as ``watch(name of the pass, its result)`` after each pass.

    Raises
    ------
    InternalError
        If the graph is invalid before or after a pass.
    """
    names = [p.name for p in passes]
    verify_graph(graph, "before the passes")
    for position, one in enumerate(passes):
        too_late = [name for name in one.after if name in names[position + 1 :]]
        assert not too_late, f"{one.name} must come after {', '.join(too_late)}"
        before, graph = graph, one.run(graph)
        verify_graph(graph, f"after {one.name}", before)
        if watch:
            watch(one.name, graph)
    return graph
