"""What a model costs, layer by layer and in all: parameters, multiply-accumulates, bytes, fields seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..ir.fields import Pair, Shape, dims
from .branches import padding_of
from .forms import format_default, written
from .model import INPUT, Layer, Model
from .sweeps import Sweep

BYTES = 4  # of a float32


@dataclass(frozen=True)
class Row:
    """One layer in numbers, of one sample.

    Attributes
    ----------
    name, kind : the layer's path and what a spec writes for it.
    line : where it stands in the spec, from 1.
    inputs : names of the layers it reads.
    in_shape, out_shape : (H, W, C) or (F,); ``in_shape`` is that of the first input.
    params : numbers that it learns or that are frozen; running statistics are no parameters.
    macs : multiply-accumulates of one forward call.
    activation_bytes : of its output in float32.
    receptive_field : rows and columns of the input that one of its outputs sees, padding included.
    detail : its arguments as text, the padding always said: ``3x3 stride=2 pad=1``.
    frozen : numbers among ``params`` that training leaves as they are, in its first epoch.
    """

    name: str
    kind: str
    line: int
    inputs: tuple[str, ...]
    in_shape: Shape
    out_shape: Shape
    params: int
    macs: int
    activation_bytes: int
    receptive_field: Pair
    detail: str = ""
    frozen: int = 0

    def to_json(self) -> dict[str, object]:
        """Return the row as JSON-ready values."""
        return {
            "name": self.name,
            "line": self.line,
            "kind": self.kind,
            "inputs": list(self.inputs),
            "in": list(self.in_shape),
            "out": list(self.out_shape),
            "params": self.params,
            "frozen_params": self.frozen,
            "macs": self.macs,
            "activation_bytes": self.activation_bytes,
            "receptive_field": list(self.receptive_field),
            "detail": self.detail,
        }


@dataclass(frozen=True)
class Summary:
    """All rows of a model and their totals, for one sample."""

    name: str
    input_shape: Shape
    output_shape: Shape
    rows: tuple[Row, ...]
    sweep: Sweep | None = None

    @property
    def params(self) -> int:
        return sum(row.params for row in self.rows)

    @property
    def trainable_params(self) -> int:
        """Those that training changes from its first epoch on."""
        return self.params - sum(row.frozen for row in self.rows)

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        return sum(row.activation_bytes for row in self.rows)

    @property
    def weight_bytes(self) -> int:
        return self.params * BYTES

    @property
    def receptive_field(self) -> Pair:
        return self.rows[-1].receptive_field if self.rows else (1, 1)

    def to_json(self) -> dict[str, object]:
        """Return the summary as JSON-ready values, as ``cnnspec summary --json`` prints it."""
        return {
            "params": self.params,
            "trainable_params": self.trainable_params,
            "macs": self.macs,
            "activation_bytes": self.activation_bytes,
            "weight_bytes": self.weight_bytes,
            "receptive_field": list(self.receptive_field),
            "input": list(self.input_shape),
            "output": list(self.output_shape),
            "layers": [row.to_json() for row in self.rows],
        } | ({"sweep": self.sweep.to_json()} if self.sweep is not None else {})


@dataclass(frozen=True)
class View:
    """What one element of a layer's output sees: ``field`` input rows and columns, its neighbour ``jump`` on.

    ``extent`` is how many positions lie behind it: the image's, also after flatten.
    """

    field: Pair
    jump: Pair
    extent: Pair


def summarize(model: Model) -> Summary:
    """Return the summary of a model."""
    views = views_of(model)
    rows = [row_of(layer, views[layer.name].field) for layer in model.layers]
    return Summary(model.source.name, model.input_shape, model.output_shape, tuple(rows), model.sweep)


def row_of(layer: Layer, receptive_field: Pair) -> Row:
    """Return a layer in numbers."""
    return Row(
        layer.name,
        layer.op.name,
        layer.span.line,
        layer.inputs,
        layer.in_shapes[0],
        layer.out_shape,
        sum(p.size for p in layer.params if p.trainable),
        layer.macs,
        math.prod(layer.out_shape) * BYTES,
        receptive_field,
        describe_op(layer),
        sum(p.frozen_size() for p in layer.params if p.trainable),
    )


def views_of(model: Model, of: Callable[[Iterable[int]], int] = max) -> dict[str, View]:
    """Return what each layer sees, and the input, by name; ``of`` chooses among branches that meet."""
    h, w, _ = model.input_shape
    views = {INPUT: View((1, 1), (1, 1), (h, w))}
    for layer in model.layers:
        views[layer.name] = view_of(layer, [views[name] for name in layer.inputs], of)
    return views


def view_of(layer: Layer, behind: list[View], of: Callable[[Iterable[int]], int] = max) -> View:
    """Return the view of a layer: that of its inputs, widened by its window (Araujo et al. 2019, "Computing
    receptive fields of convolutional neural networks")."""
    field = of(v.field[0] for v in behind), of(v.field[1] for v in behind)
    jump = of(v.jump[0] for v in behind), of(v.jump[1] for v in behind)
    extent = behind[0].extent
    x, y = layer.in_shapes[0], layer.out_shape
    window = layer.op.window(x) if len(x) == 3 else None
    if window is not None:
        kernel, stride = window
        field = _grow(field, jump, kernel)
        jump = (jump[0] * stride[0], jump[1] * stride[1])
        extent = (y[0], y[1])
    elif len(x) == 1 and len(layer.params) > 0 and layer.params[0].shape[:1] == x and len(layer.params[0].shape) == 2:
        field, extent = _grow(field, jump, extent), (1, 1)  # dense: every output sees every input
    return View(field, jump, extent)


def _grow(field: Pair, jump: Pair, kernel: Pair) -> Pair:
    return field[0] + (kernel[0] - 1) * jump[0], field[1] + (kernel[1] - 1) * jump[1]


def describe_op(layer: Layer) -> str:
    """Return a layer's arguments in few words; the padding is always said in numbers."""
    words = []
    for name, a in written(type(layer.op)).items():
        value = getattr(layer.op, name)
        if a.kind == "padding":
            pads = padding_of(layer.op, layer.in_shapes[0])
            words.append(f"pad={pads[0] if pads[0] == pads[1] else f'{pads[0]}x{pads[1]}'}")
        elif a.kind == "window" and value is None:
            words.append("global")
        elif a.positional:
            words.append(dims(value) if isinstance(value, tuple) else format_default(value))
        elif value is not None and value != a.default:
            words.append(f"{a.key}={format_default(value)}")
    return " ".join(words)


def static_metrics(model: Model) -> dict[str, float]:
    """Return the metrics that ``expect`` can judge without training."""
    summary = summarize(model)
    return {
        "params": summary.params,
        "trainable_params": summary.trainable_params,
        "macs": summary.macs,
        "layers": len(summary.rows),
        "activation_bytes": summary.activation_bytes,
        "weight_bytes": summary.weight_bytes,
        "receptive_field": max(summary.receptive_field),
    }
