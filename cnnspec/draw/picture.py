"""A net as boxes, frames and edges: what every format draws.

Layers that change no shape, such as bn and relu, stand in the box of the layer before them. Labels and blocks are
frames, or boxes where they are folded. An equal block that follows is not drawn again but counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..ir.fields import Shape, dims
from ..model.model import INPUT, Layer, Model
from ..model.outline import Group, Item, outline
from ..model.summary import describe_op
from ..text import count, short, shorten, some, visible

LONGEST = 44  # columns of the text of a row
STACKED = ("activation", "norm", "dropout")  # families that stand in the box of the layer before
PLAIN, BLOCK = "plain", "block"
FAMILIES = {  # by the module of cnnspec/ops that a layer's class stands in; others are PLAIN
    "conv": "conv",
    "linear": "dense",
    "pool": "pool",
    "norm": "norm",
    "activation": "activation",
    "merge": "join",
    "dropout": "dropout",
}


@dataclass(frozen=True)
class Row:
    """One layer of a box, or a folded block: its text, how many parameters it has, its family, and all about it."""

    text: str
    params: int
    family: str
    about: str


@dataclass
class Box:
    """Layers that are drawn as one; ``shape`` is that of its output, ``joins`` the kind of the join it begins with."""

    rows: list[Row]
    shape: Shape
    joins: str = ""


@dataclass
class Frame:
    """A label or block that is drawn open: boxes by number, and frames. The outermost has no title."""

    title: str
    params: int
    parts: list[int | Frame] = field(default_factory=list)
    first: int = 0
    stop: int = 0  # its boxes are those of the numbers first to stop - 1


@dataclass
class Picture:
    """A net to draw. ``edges`` leads from each box to those that read it, as pairs of numbers in order."""

    title: str
    about: str
    boxes: list[Box]
    root: Frame
    edges: list[tuple[int, int]]


def picture_of(model: Model, depth: int | None = None) -> Picture:
    """Return the picture of a model; labels and blocks that are more than ``depth - 1`` deep are folded into boxes."""
    return _Painter(model, depth).picture()


@dataclass
class _Painter:
    model: Model
    depth: int | None
    boxes: list[Box] = field(default_factory=list)
    edges: dict[tuple[int, int], None] = field(default_factory=dict)
    box_of: dict[str, int] = field(default_factory=dict)
    readers: dict[str, int] = field(default_factory=dict)

    def picture(self) -> Picture:
        model, whole = self.model, outline(self.model)
        for layer in model.layers:
            for name in layer.inputs:
                self.readers[name] = self.readers.get(name, 0) + 1
        shape = model.input_shape
        self.box_of[INPUT] = self.add(Row(f"input {dims(shape)}", 0, PLAIN, "what enters the net"), shape, [])
        root = Frame("", 0)
        root.parts.append(0)
        self.fill(root, whole.items, 1)
        end = dims(model.output_shape)
        leaves = self.add(Row(f"output {end}", 0, PLAIN, "what leaves the net"), model.output_shape, [model.output])
        root.parts.append(leaves)
        root.stop = len(self.boxes)
        params = sum(p.size for layer in model.layers for p in layer.params if p.trainable)
        macs = sum(layer.macs for layer in model.layers)
        figures = f"{some(params, 'parameter')}, {short(macs)} mult-adds an image"
        title = visible(model.source.name.replace("\\", "/").rpartition("/")[2])
        about = (
            f"The net {title}, drawn from the top, its input of {dims(model.input_shape)}, to the bottom, its output "
            f"of {end}: {some(len(model.layers), 'layer')}, {figures}. {' '.join(_parts(whole.items))}"
        ).strip()
        return Picture(f"{title}: {figures}", about, self.boxes, root, list(self.edges))

    def fill(self, frame: Frame, items: tuple[Item, ...], depth: int) -> None:
        """Add what a frame holds; ``depth`` is how many levels of labels and blocks are open."""
        before: Layer | None = None
        for item in items:
            if isinstance(item, Layer):
                self.layer(frame, item, before)
                before = item
                continue
            before = None
            if item.name and self.depth is not None and depth >= self.depth:
                frame.parts.append(self.folded(item))
                continue
            inner = Frame(item.title, _params(item.layers), first=len(self.boxes))
            self.fill(inner, item.items, depth + bool(item.name))
            if inner.parts:
                frame.parts.append(inner)
            self.stand_for(item)
        frame.stop = len(self.boxes)

    def layer(self, frame: Frame, layer: Layer, before: Layer | None) -> None:
        """Add a layer: to the box of the one before it, in a box of its own, or not at all where it does nothing."""
        row, family = _row(layer), _family(layer)
        if layer.op.name == "identity" and not layer.label and layer.name != self.model.output:
            self.box_of[layer.name] = self.box_of[layer.inputs[0]]  # a row of a join that changes nothing
        elif (
            before is not None
            and family in STACKED
            and layer.inputs == (before.name,)
            and self.readers[before.name] == 1
            and layer.out_shape == before.out_shape
            and frame.parts
            and self.box_of[before.name] == frame.parts[-1]
        ):
            self.boxes[-1].rows.append(row)
            self.box_of[layer.name] = len(self.boxes) - 1
        else:
            joins = layer.op.name if len(layer.inputs) > 1 else ""
            made = self.box_of[layer.name] = self.add(row, layer.out_shape, layer.inputs, joins)
            frame.parts.append(made)

    def folded(self, group: Group) -> int:
        """Add a label or block as one box."""
        layers = [*group.layers]
        inside = {layer.name for layer in layers}
        params = _params(iter(layers))
        about = f"{group.name}: {some(len(layers), 'layer')}, {some(params, 'parameter')}"
        text = f"{group.title} · {some(len(layers), 'layer')}"
        outer = [name for layer in layers for name in layer.inputs if name not in inside]
        made = self.add(Row(shorten(text, LONGEST), params, BLOCK, about), layers[-1].out_shape, outer)
        self.box_of.update(dict.fromkeys(inside, made))
        return made

    def stand_for(self, group: Group) -> None:
        """Let the boxes of the first unit stand for the layers of the others."""
        first = [self.box_of[layer.name] for layer in group.layers if layer.name in self.box_of]
        for k, layer in enumerate(group.layers):
            self.box_of.setdefault(layer.name, first[k % len(first)])

    def add(self, row: Row, shape: Shape, inputs: list[str] | tuple[str, ...], joins: str = "") -> int:
        """Add a box that reads the outputs of layers, and return its number."""
        made = len(self.boxes)
        self.boxes.append(Box([row], shape, joins))
        for name in inputs:
            self.edges[self.box_of[name], made] = None
        return made


def _parts(items: tuple[Item, ...]) -> Iterator[str]:
    """Yield the names of labels and blocks at the top, of short nets those of the layers too."""
    names = [item.title if isinstance(item, Group) else item.name for item in items]
    if 0 < len(names) <= 40:
        yield f"Its parts are {', '.join(filter(None, names))}."


def _params(layers: Iterator[Layer]) -> int:
    return sum(p.size for layer in layers for p in layer.params if p.trainable)


def _family(layer: Layer) -> str:
    return FAMILIES.get(type(layer.op).__module__.rpartition(".")[2], PLAIN)


def _row(layer: Layer) -> Row:
    params = _params(iter([layer]))
    words = [word for word in describe_op(layer).split() if word not in ("bias=no", "pad=0")]
    label = f"{layer.label}: " if layer.label else ""
    text = visible(" ".join([label + layer.op.name, *words]))
    about = [
        f"{layer.name} (line {layer.span.line})",
        f"{' and '.join(map(dims, layer.in_shapes[:8]))} -> {dims(layer.out_shape)}",
        some(params, "parameter"),
        f"{short(layer.macs)} mult-adds",
    ]
    return Row(shorten(text, LONGEST), params, _family(layer), visible(", ".join(about)))


def params_of(row: Row) -> str:
    """Return the parameters of a row as text; "" for none."""
    return count(row.params) if row.params else ""
