"""The model: named layers with typed ops, wired, shapes inferred. What every later stage starts from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..errors import Diagnostic
from ..ir.fields import Param, Shape, phases_of
from ..ir.graph import Op
from ..source import Source, Span, Trail
from .settings import DataSettings, TrainSettings
from .sweeps import Sweep

INPUT = "input"


@dataclass(frozen=True)
class Layer:
    """One expanded layer.

    Attributes
    ----------
    name : unique path such as ``stage1.basic1.conv2``: labels where the author wrote them, kind and
        number elsewhere.
    op : the typed op.
    inputs : names of the layers it reads, or ``input``.
    in_shapes, out_shape : shapes of one sample, (H, W, C) or (F,).
    span : where it is written; ``trail`` how it was reached, outermost first.
    label : the innermost label that names this very layer, else "".
    changed : its parameters, where the ``train`` section freezes some of them.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    in_shapes: tuple[Shape, ...]
    out_shape: Shape
    span: Span
    trail: Trail = ()
    label: str = ""
    changed: tuple[Param, ...] = ()

    @cached_property
    def params(self) -> tuple[Param, ...]:
        return self.changed or self.op.params(*self.in_shapes)

    def is_frozen(self, epoch: int) -> bool:
        """Return whether an epoch changes none of the parameters that the layer learns otherwise."""
        learned = [p for p in self.params if p.trainable]
        return bool(learned) and all(p.is_frozen(epoch) for p in learned)

    @property
    def macs(self) -> int:
        return self.op.macs(self.in_shapes, self.out_shape)


@dataclass(frozen=True)
class Expect:
    """One ``expect`` line: ``metric`` (params, macs, test.accuracy, ...), ``relation``, ``value``."""

    metric: str
    relation: str
    value: float
    span: Span


@dataclass(frozen=True)
class Model:
    """A checked spec. ``layers`` stand in an order in which inputs come first; ``output`` names the end."""

    source: Source
    input_shape: Shape
    layers: tuple[Layer, ...]
    output: str
    classes: int | None
    data: DataSettings | None
    train: TrainSettings
    expects: tuple[Expect, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()  # what --set changed
    warnings: tuple[Diagnostic, ...] = ()  # what is whole but hardly meant
    sweep: Sweep | None = None
    used: tuple[tuple[str, Source], ...] = ()  # files that the spec uses, by their path from its folder

    def layer(self, name: str) -> Layer:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def phases(self) -> tuple[int, ...]:
        """The epochs from which more parameters learn than before: the first one, and those of ``unfreeze``."""
        return tuple(map(int, phases_of(self.params.values())))

    def phase(self, epoch: int) -> int:
        """Return the epoch with which the phase of an epoch began."""
        return max(begun for begun in self.phases if begun <= max(1, epoch))

    @property
    def output_shape(self) -> Shape:
        return self.layer(self.output).out_shape if self.layers else self.input_shape

    @property
    def label_count(self) -> int | None:
        """How many classes labels may name: those of the spec, else the net's outputs; None for an image."""
        if self.classes is not None:
            return self.classes
        return self.output_shape[0] if len(self.output_shape) == 1 else None

    @cached_property
    def params(self) -> dict[str, Param]:
        """All parameters by their name in weight files: ``LAYER.weight``, ``LAYER.bias``, ..."""
        return {f"{layer.name}.{p.name}": p for layer in self.layers for p in layer.params}
