"""What a pass is, and how a list of them is run: verified before, between and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from ..ir.graph import Graph
from ..ir.verify import verify_graph


class Pass(Protocol):
    """A rewrite of graphs. Its docstring says what it rewrites and why the result is the same."""

    name: ClassVar[str]
    after: ClassVar[tuple[str, ...]]  # passes that must come before it, where they are in the pipeline at all

    def run(self, graph: Graph) -> Graph: ...


def run_pipeline(graph: Graph, passes: Sequence[Pass], watch: Callable[[str, Graph], None] | None = None) -> Graph:
    """Run the passes in order; ``watch(name, graph)`` sees each result. Raises InternalError on an invalid graph."""
    names = [p.name for p in passes]
    verify_graph(graph, "before the passes")
    for position, one in enumerate(passes):
        late = [name for name in one.after if name in names[position + 1 :]]
        assert not late, f"{one.name} must come after {', '.join(late)}"
        graph = one.run(graph)
        verify_graph(graph, f"after {one.name}")
        if watch:
            watch(one.name, graph)
    return graph
