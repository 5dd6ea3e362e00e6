"""What a rule is, the registry of rules, and the net as rules look at it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ...source import Source, Span, Trail
from ...syntax import ast
from ..model import Layer, Model
from ..summary import View, views_of


class Finding(NamedTuple):
    """What a rule has found: as a Diagnostic, whose code is then the rule's name."""

    span: Span
    message: str
    label: str = ""
    hint: str = ""
    trail: Trail = ()


@dataclass(frozen=True)
class Net:
    """A checked spec as rules look at it: ``spec`` is what was written, ``model`` what it means."""

    spec: ast.Spec
    model: Model

    @property
    def source(self) -> Source:
        return self.model.source

    @cached_property
    def readers(self) -> dict[str, list[Layer]]:
        """The layers that read each layer, and ``input``, by name."""
        found: dict[str, list[Layer]] = defaultdict(list)
        for layer in self.model.layers:
            for name in layer.inputs:
                found[name].append(layer)
        return found

    @cached_property
    def views(self) -> dict[str, View]:
        """What each layer sees of the picture, along the path that sees most."""
        return views_of(self.model)

    @property
    def own(self) -> tuple[ast.Statement, ...]:
        """The statements of the file itself; a file that it uses may hold more than one net needs."""
        return tuple(s for s in self.spec.statements if s.span.source.name == self.source.name)

    @cached_property
    def nodes(self) -> tuple[ast.Node, ...]:
        """All nodes of the syntax tree, used files included."""
        return tuple(node for statement in self.spec.statements for node in walk(statement))

    def statement(self, section: str, name: str) -> Span | None:
        """Return where a statement of a section stands, such as ``optimizer`` of ``train``."""
        for part in self.spec.statements:
            if isinstance(part, ast.Section) and part.word == section and isinstance(part.body, ast.Body):
                for flow in part.body.statements:
                    if isinstance(flow, ast.Flow) and flow.steps[0].name == name:
                        return flow.steps[0].head
        return None


def walk(node: ast.Node) -> Iterator[ast.Node]:
    """Yield a node and all below it."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        for value in vars(node).values():
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, tuple):  # of an operator and its operand
                    waiting += [p for p in part if isinstance(p, ast.Node)]
                elif isinstance(part, ast.Node):
                    waiting.append(part)


@dataclass(frozen=True)
class Rule:
    """A rule under its name; ``doc`` is one line about it."""

    name: str
    find: Callable[[Net], Iterator[Finding]]

    @property
    def doc(self) -> str:
        return " ".join((self.find.__doc__ or "").split())


RULES: dict[str, Rule] = {}


def rule(name: str) -> Callable[[Callable[[Net], Iterator[Finding]]], Callable[[Net], Iterator[Finding]]]:
    """Register a function as a rule; its docstring is the line that ``cnnspec lint --list`` shows."""

    def register(find: Callable[[Net], Iterator[Finding]]) -> Callable[[Net], Iterator[Finding]]:
        assert name not in RULES, f"two rules are called {name}"
        RULES[name] = Rule(name, find)
        return find

    return register
