"""The layers of a model as a tree of labels and blocks, in which equal repeats stand once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from ..source import Frame
from .model import Layer, Model

ROUNDS = ("repeat", "for")  # frames of a trail that stand for one round of a loop


@dataclass(frozen=True, eq=False)
class Group:
    """The layers of a label, of a call of a block or of the body of a loop.

    Attributes
    ----------
    name : path of the first unit, such as ``stage1.basic1``; "" for the body of a loop, and for the whole net.
    units : what the group holds; more than one where equal groups follow each other, each reading the one before it.
    line : where the first unit is called or, of a label, begins; 0 for the whole net.
    """

    name: str
    units: tuple[tuple[Item, ...], ...]
    line: int = 0

    @property
    def items(self) -> tuple[Item, ...]:
        """What the first unit holds, which stands for the others."""
        return self.units[0]

    @property
    def times(self) -> int:
        return len(self.units)

    @property
    def title(self) -> str:
        """The last part of the name, and which ones the units are: ``basic2``, ``basic2-4 x 3``, ``x 3``."""
        name = self.name.rpartition(".")[2]
        if self.times == 1:
            return name
        base = base_of(name)
        number = name[len(base) :]
        if name and number:
            name = f"{name}-{int(number) + self.times - 1}"
        return f"{name} x {self.times}".strip()

    @property
    def layers(self) -> Iterator[Layer]:
        """All layers, those of all units, in order."""
        return layers_of(item for unit in self.units for item in unit)


Item = Layer | Group


def layers_of(items: Iterator[Item] | Sequence[Item]) -> Iterator[Layer]:
    """Yield the layers of items and of the groups among them, in order."""
    for item in items:
        if isinstance(item, Group):
            yield from item.layers
        else:
            yield item


def base_of(name: str) -> str:
    """Return a name without the number that tells it from its siblings: ``basic`` of ``basic2``."""
    base = name.rstrip("0123456789")
    return base[:-1] if base.endswith("_") and base != name else base


def outline(model: Model) -> Group:
    """Return the tree of a model's layers."""
    return _Outliner(model).whole()


@dataclass
class _Outliner:
    """Builds the tree from the names of layers and the loops of their trails; ``index`` is where each layer stands."""

    model: Model
    index: dict[str, int] = field(default_factory=dict)
    last_reader: list[int] = field(default_factory=list)
    _kinds: dict[object, int] = field(default_factory=dict)
    _kind_of: dict[Group, int] = field(default_factory=dict)

    def whole(self) -> Group:
        layers = self.model.layers
        self.index = {layer.name: i for i, layer in enumerate(layers)}
        self.last_reader = [-1] * len(layers)
        for i, layer in enumerate(layers):
            for name in layer.inputs:
                if name in self.index:
                    self.last_reader[self.index[name]] = i
        return Group("", (tuple(self.level(layers, 0, 0)),))

    def level(self, layers: Sequence[Layer], depth: int, known: int) -> list[Item]:
        """Return the items of a level: ``depth`` parts of the names and ``known`` frames of the trails are above it."""
        items: list[Item] = []
        start = 0
        while start < len(layers):
            frame = _round(layers[start], known)
            stop = start + 1
            while frame is not None and stop < len(layers) and _is_of_loop(frame, layers[stop], known):
                stop += 1
            prefix = _group(layers[start], depth)
            if frame is not None and (not prefix or prefix != _group(layers[stop - 1], depth)):
                items += self.loop(self.rounds(layers[start:stop], depth, known), frame.span.line)
            elif prefix:  # a label that holds a whole loop has one name in all rounds
                while stop < len(layers) and _group(layers[stop], depth) == prefix:
                    stop += 1
                part = layers[start:stop]
                inner = tuple(self.level(part, depth + 1, _common(part, known)))
                items.append(Group(prefix, (inner,), _line(layers[start], known)))
            else:
                items.append(layers[start])
            start = stop
        return self.calls(items)

    def rounds(self, layers: Sequence[Layer], depth: int, known: int) -> list[list[Item]]:
        """Return the items of each round of a loop."""
        found = []
        for _, part in groupby(layers, key=lambda layer: layer.trail[known].name):
            found.append(self.level([*part], depth, known + 1))
        return found

    def loop(self, rounds: list[list[Item]], line: int) -> list[Item]:
        """Return the items of a loop: equal rounds as one group, others as they are."""
        found: list[Item] = []
        for run in self.runs(rounds):
            if len(run) == 1 or (len(run[0]) == 1 and isinstance(run[0][0], Group) and run[0][0].times == 1):
                found += [item for unit in run for item in unit]  # `calls` counts blocks
            else:
                found.append(Group("", tuple(map(tuple, run)), line))
        return found

    def calls(self, items: list[Item]) -> list[Item]:
        """Return items in which equal calls of one block that follow each other are one group."""
        found: list[Item] = []
        for run in self.runs([[item] for item in items]):
            first = run[0][0]
            if len(run) > 1 and isinstance(first, Group) and first.name:
                found.append(Group(first.name, tuple(unit for [item] in run for unit in item.units), first.line))  # type: ignore[union-attr]
            else:
                found += [item for [item] in run]
        return found

    def runs(self, units: list[list[Item]]) -> Iterator[list[list[Item]]]:
        """Yield units that follow each other and are equal, in one list each."""
        run: list[list[Item]] = []
        for unit in units:
            if run and not self.follows(run[-1], unit):
                yield run
                run = []
            run.append(unit)
        if run:
            yield run

    def follows(self, before: list[Item], unit: list[Item]) -> bool:
        """Whether a unit is equal to the one before it, whose end nothing further reads.

        No layer but the end of a unit can be read from outside: labels of blocks and loops stay inside.
        """
        if len(before) != len(unit) or any(self.kind(a) != self.kind(b) for a, b in zip(before, unit, strict=True)):
            return False
        return self.last_reader[self.stop(before[-1]) - 1] < self.stop(unit[-1])

    def stop(self, item: Item) -> int:
        """Return the place behind the last layer of an item."""
        while isinstance(item, Group):
            item = item.units[-1][-1]
        return self.index[item.name] + 1

    def kind(self, item: Item) -> int:
        """Return a number that items share when they are equal but for their place in the net.

        That is: equal ops on equal shapes, wired alike, counted from each reader backwards.
        """
        if isinstance(item, Layer):
            i = self.index[item.name]
            back = tuple(i - self.index.get(name, -1) for name in item.inputs)
            return self._kinds.setdefault((item.op, item.in_shapes, back, item.label), len(self._kinds))
        if item not in self._kind_of:
            calls = {frame.name for frame in next(item.layers).trail if frame.kind == "block"}
            name = item.name.rpartition(".")[2]
            name = base_of(name) if base_of(name) in calls else name  # a label is a name of its own
            known = (name, item.times, *(self.kind(x) for x in item.items))
            self._kind_of[item] = self._kinds.setdefault(known, len(self._kinds))
        return self._kind_of[item]


def _round(layer: Layer, known: int) -> Frame | None:
    """Return the round of a loop that a layer stands in, next below the frames that are known."""
    frame = layer.trail[known] if len(layer.trail) > known else None
    return frame if frame is not None and frame.kind in ROUNDS else None


def _is_of_loop(frame: Frame, layer: Layer, known: int) -> bool:
    found = _round(layer, known)
    return found is not None and found.span == frame.span


def _line(layer: Layer, known: int) -> int:
    """Return the line of what led to a layer, next below the frames that are known; else that of the layer."""
    return (layer.trail[known].span if len(layer.trail) > known else layer.span).line


def _group(layer: Layer, depth: int) -> str:
    """Return the path of the group that holds a layer, ``depth`` groups being above it; "" for none."""
    parts = layer.name.split(".", depth + 1)
    return ".".join(parts[: depth + 1]) if len(parts) > depth + 1 else ""


def _common(layers: Sequence[Layer], known: int) -> int:
    """Return how many frames of their trails the first and the last of some layers share."""
    first, last = layers[0].trail, layers[-1].trail
    n = known
    while n < min(len(first), len(last)) and first[n] == last[n]:
        n += 1
    return n
